/* resize.c - Resize of the last two axes, channels last; for the unoptimised execution in rows of
 * f32.
 */
#include "ops/resize.h"

#include <math.h>
#include <string.h>

#include "backend/cuda/tail.h"

extern const struct dyno_kernel dyno_kernel_cuda_resize;

#define THREADS 256

struct resize_state {
    struct dyno_gpu_resize params;
    struct dyno_cuda_tail tail;
    int64_t blocks;
};

static enum dyno_status plan_of(const struct dyno_site *site, struct dyno_resize_plan *plan,
                                struct dyno_err *err)
{
    struct dyno_tensor tensors[4];
    const struct dyno_tensor *ptrs[4] = {NULL};
    for (uint32_t i = 0; i < site->step->own_in_count && i < 4; i++) {
        const struct dyno_buf *buf = &site->ins[i];
        tensors[i] =
            (struct dyno_tensor){.dtype = buf->dtype, .rank = buf->rank, .data = buf->data};
        memcpy(tensors[i].dims, buf->dims, sizeof(tensors[i].dims));
        if (buf->rank < 0 || i == 1 || (i > 1 && dyno_tensor_count(&tensors[i]) == 0))
            continue;
        if (i > 1 && buf->data == NULL)
            return dyno_cuda_refuse(site, err);
        ptrs[i] = &tensors[i];
    }
    return dyno_resize_plan(site->step->attrs, ptrs[0], NULL, ptrs[2], ptrs[3], plan, err);
}

/* Coordinates as o * step + first.  False where that is not the same number for every output, or
 * rounds to another neighbour. */
static bool line_of(const struct dyno_resize_attrs *attrs, const struct dyno_resize_plan *plan,
                    int axis, double *step_out, double *first_out)
{
    *first_out = dyno_resize_coord(attrs, plan, axis, 0);
    *step_out = dyno_resize_coord(attrs, plan, axis, 1) - *first_out;
    for (int64_t o = 0; o < plan->out[axis]; o++) {
        const double want = dyno_resize_coord(attrs, plan, axis, o);
        const double got = (double)o * *step_out + *first_out;
        if (fabs(got - want) > 1e-9 * (1.0 + fabs(want)) || floor(got) != floor(want) ||
            ceil(got) != ceil(want) || floor(got + 0.5) != floor(want + 0.5) ||
            ceil(got - 0.5) != ceil(want - 0.5))
            return false;
    }
    return true;
}

static enum dyno_status sizes_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                 struct dyno_gpu_resize *params, struct dyno_err *err)
{
    const struct dyno_resize_attrs *attrs = site->step->attrs;
    const struct dyno_buf *x = &site->ins[0];
    const struct dyno_buf *y = &site->outs[0];
    struct dyno_resize_plan plan = {.rank = 0};
    if (x->rank != 4 || y->rank != 4 || x->dims[0] != y->dims[0] || x->dims[1] != y->dims[1] ||
        attrs->coord == DYNO_RESIZE_TF_CROP_AND_RESIZE || attrs->antialias != 0 ||
        attrs->exclude_outside != 0 || attrs->mode == DYNO_RESIZE_CUBIC)
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(plan_of(site, &plan, err));
    *params = (struct dyno_gpu_resize){.batch = (int)x->dims[0]};
    for (int i = 0; i < 4; i++) {
        if (x->dims[i] > INT32_MAX / 16 || y->dims[i] > INT32_MAX / 16 || x->dims[i] < 1 ||
            plan.out[i] != y->dims[i] || (i < 2 && plan.scale[i] != 1.0))
            return dyno_cuda_refuse(site, err);
    }
    if (!line_of(attrs, &plan, 2, &params->y_step, &params->y_first) ||
        !line_of(attrs, &plan, 3, &params->x_step, &params->x_first))
        return dyno_cuda_refuse(site, err);
    params->c = (int)dyno_cuda_stored(x->dims[1], tactic->out_layout);
    params->channels = (int)x->dims[1];
    params->h = (int)x->dims[2];
    params->w = (int)x->dims[3];
    params->oh = (int)y->dims[2];
    params->ow = (int)y->dims[3];
    return DYNO_OK;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    int count = 0;
    for (int i = 0; i < dyno_cuda_layout_count && count < max; i++) {
        const struct dyno_layout layout = dyno_cuda_layouts[i];
        if (!(dyno_cuda_is_last(layout) ||
              (dyno_cuda_is_plain(layout) && site->target->baseline)) ||
            !dyno_cuda_layout_allowed(layout, site->target) || site->step->op != DYNO_OP_resize)
            continue;
        out[count] = (struct dyno_tactic){.cfg = {0}};
        dyno_cuda_tail_layouts(site, layout, &out[count]);
        out[count++].est_us = (float)dyno_cuda_move_us(
            site->target, 4.0 * (double)dyno_cuda_count(&site->outs[0], 0, site->outs[0].rank));
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct dyno_gpu_resize params;
    if (site->step->op != DYNO_OP_resize || !dyno_cuda_is_f32(&site->ins[0]) ||
        !dyno_cuda_readable(site, 0) || site->in_is_weight[0] ||
        !dyno_cuda_rest_is_zero(asked, 0) || !dyno_cuda_layout_known(asked->out_layout) ||
        !(dyno_cuda_is_last(asked->out_layout) || dyno_cuda_is_plain(asked->out_layout)))
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(dyno_cuda_settle_input(site, asked->out_layout, tactic, err));
    return sizes_of(site, tactic, &params, err);
}

static enum dyno_status program_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   const char **source_out, struct dyno_strbuf *choices,
                                   struct dyno_err *err)
{
    const struct dyno_resize_attrs *attrs = site->step->attrs;
    struct dyno_cuda_tail tail;
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    const char *type = dyno_cuda_type(tactic->out_layout);
    const bool rows = dyno_cuda_is_plain(tactic->out_layout);
    *source_out = rows ? "resize_rows.cu" : "resize.cu";
    if (!rows)
        dyno_strbuf_printf(choices, "#define T %s\n#define TO %s\n#define VEC %d\n", type, type,
                           tactic->out_layout.block);
    dyno_strbuf_printf(choices, "#define LINEAR %d\n#define ROUND %d\n",
                       attrs->mode == DYNO_RESIZE_LINEAR, attrs->round);
    dyno_cuda_tail_text(&site->step->tail, &tail, choices);
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)packed;
    struct resize_state *state = state_bytes;
    *state = (struct resize_state){.blocks = 0};
    *workspace_bytes_out = 0;
    if (!dyno_cuda_tail_plan(site, tactic, &state->tail))
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(sizes_of(site, tactic, &state->params, err));
    const int64_t pixels = (int64_t)state->params.batch * state->params.oh * state->params.ow;
    if (pixels > INT32_MAX ||
        !dyno_cuda_tail_sizes(site, tactic, &state->tail, &state->params.tail))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a Resize to %lld positions is too large",
                         (long long)pixels);
    const bool last = dyno_cuda_is_last(tactic->out_layout);
    const int64_t vector = last ? tactic->out_layout.block : 1;
    if (last) {
        state->params.x_ld = (int)dyno_cuda_ld(&site->ins[0], tactic->out_layout);
        state->params.y_ld = (int)dyno_cuda_ld(&site->outs[0], tactic->out_layout);
    }
    state->blocks = dyno_cuda_div_up(pixels * (state->params.c / vector), THREADS);
    return DYNO_OK;
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct resize_state *state = args->state;
    struct dyno_gpu_resize params = state->params;
    params.x = dyno_cuda_address(args->ins[0].data);
    params.y = dyno_cuda_address(args->outs[0].data);
    dyno_cuda_tail_bind(args, &state->tail, &params.tail);
    const int64_t grid[3] = {state->blocks, 1, 1};
    return dyno_cuda_launch(args, grid, THREADS, 0, &params, sizeof(params));
}

const struct dyno_kernel dyno_kernel_cuda_resize = {
    .name = "resize_cuda",
    .packing = 1,
    .state_bytes = sizeof(struct resize_state),
    .strided = true,
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
    .program = program_of,
};
