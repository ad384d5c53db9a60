/* reduce.c - Reduce* over neighbouring axes of rows. */
#include "ops/reduce.h"

#include <string.h>

#include "backend/cuda/tail.h"

extern const struct dyno_kernel dyno_kernel_cuda_reduce;

#define THREADS 256 /* of a block in which each makes a result */

struct reduce_state {
    struct dyno_gpu_reduce params;
    struct dyno_cuda_tail tail;
    int threads;
    int64_t grid[3];
};

struct reduction {
    int fold; /* FOLD of reduce.cu */
    bool is_mean, has_root;
    bool is_along; /* to the last axis: by their numbers, as sizes may differ between shapes */
    int64_t outer, axis, inner;
};

static bool fold_of(enum dyno_op_id op, struct reduction *reduction)
{
    static const struct {
        enum dyno_op_id op;
        int fold;
    } rows[] = {{DYNO_OP_reduce_sum, 0}, {DYNO_OP_reduce_mean, 0}, {DYNO_OP_reduce_sum_square, 1},
                {DYNO_OP_reduce_l2, 1},  {DYNO_OP_reduce_l1, 2},   {DYNO_OP_reduce_max, 3},
                {DYNO_OP_reduce_min, 4}, {DYNO_OP_reduce_prod, 5}};
    *reduction = (struct reduction){.is_mean = op == DYNO_OP_reduce_mean,
                                    .has_root = op == DYNO_OP_reduce_l2};
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        reduction->fold = rows[i].fold;
        if (rows[i].op == op)
            return true;
    }
    return false;
}

/* False when the axes are unknown, empty or not neighbours. */
static bool axes_of(const struct dyno_site *site, struct reduction *reduction)
{
    const struct dyno_buf *x = &site->ins[0];
    bool reduced[DYNO_RANK_MAX] = {false};
    struct dyno_tensor axes;
    const bool has_axes = site->step->own_in_count > 1 && site->ins[1].rank >= 0;
    if (has_axes) {
        if (site->ins[1].data == NULL)
            return false;
        axes = (struct dyno_tensor){
            .dtype = site->ins[1].dtype, .rank = site->ins[1].rank, .data = site->ins[1].data};
        memcpy(axes.dims, site->ins[1].dims, sizeof(axes.dims));
    }
    if (dyno_reduce_axes(site->step->attrs, x->rank, has_axes ? &axes : NULL, reduced, NULL) !=
        DYNO_OK)
        return false;
    int first = 0, last = x->rank;
    while (first < x->rank && !reduced[first])
        first++;
    while (last > first && !reduced[last - 1])
        last--;
    for (int i = first; i < last; i++) {
        if (!reduced[i])
            return false;
    }
    reduction->outer = dyno_cuda_count(x, 0, first);
    reduction->axis = dyno_cuda_count(x, first, last);
    reduction->inner = dyno_cuda_count(x, last, x->rank);
    reduction->is_along = last == x->rank;
    return reduction->axis > 0;
}

static bool describe(const struct dyno_site *site, struct reduction *reduction)
{
    return fold_of(site->step->op, reduction) && site->step->out_count == 1 &&
           dyno_cuda_is_f32(&site->ins[0]) && site->ins[0].rank >= 1 &&
           dyno_cuda_is_f32(&site->outs[0]) && dyno_cuda_readable(site, 0) &&
           !site->in_is_weight[0] && axes_of(site, reduction);
}

/* cfg[0]: number of the layout. */
static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    struct reduction reduction;
    int count = 0;
    for (int i = 0; i < dyno_cuda_layout_count && count < max; i++) {
        const struct dyno_layout layout = dyno_cuda_layouts[i];
        if (dyno_cuda_is_last(layout) || !dyno_cuda_layout_allowed(layout, site->target) ||
            !describe(site, &reduction))
            continue;
        out[count] = (struct dyno_tactic){.cfg = {(uint32_t)i}};
        dyno_cuda_tail_layouts(site, layout, &out[count]);
        out[count++].est_us = (float)dyno_cuda_move_us(
            site->target, (layout.elem != 0 ? 2.0 : 4.0) *
                              (double)dyno_cuda_count(&site->ins[0], 0, site->ins[0].rank));
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct reduction reduction;
    if (!describe(site, &reduction) || !dyno_cuda_rest_is_zero(asked, 1) ||
        !dyno_cuda_asks_layout(asked, false))
        return dyno_cuda_refuse(site, err);
    return dyno_cuda_settle_input(site, asked->out_layout, tactic, err);
}

static enum dyno_status program_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   const char **source_out, struct dyno_strbuf *choices,
                                   struct dyno_err *err)
{
    struct reduction reduction;
    struct dyno_cuda_tail tail;
    if (!describe(site, &reduction) || !dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    const char *type = dyno_cuda_type(tactic->out_layout);
    *source_out = "reduce.cu";
    dyno_strbuf_printf(choices,
                       "#define T %s\n#define TO %s\n#define FOLD %d\n#define ROOT %d\n"
                       "#define ALONG %d\n",
                       type, type, reduction.fold, reduction.has_root, reduction.is_along);
    dyno_cuda_tail_text(&site->step->tail, &tail, choices);
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)packed;
    struct reduce_state *state = state_bytes;
    const struct dyno_buf *y = &site->outs[0];
    struct dyno_gpu_reduce *params = &state->params;
    struct reduction reduction;
    *state = (struct reduce_state){.threads = 32, .grid = {0, 1, 1}};
    *workspace_bytes_out = 0;
    if (!describe(site, &reduction) || !dyno_cuda_tail_plan(site, tactic, &state->tail))
        return dyno_cuda_refuse(site, err);
    const int64_t count = reduction.outer * reduction.inner;
    const int64_t columns = y->rank > 0 ? y->dims[y->rank - 1] : 1;
    if (reduction.axis > INT32_MAX / 16 || count > INT32_MAX || columns > INT32_MAX ||
        !dyno_cuda_tail_sizes(site, tactic, &state->tail, &params->tail))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "%lld sums of %lld elements are too large for the GPU",
                         (long long)count, (long long)reduction.axis);
    params->outer = reduction.outer;
    params->inner = reduction.inner;
    params->axis = (int)reduction.axis;
    params->columns = (int)(columns > 0 ? columns : 1);
    params->scale = reduction.is_mean ? 1.0F / (float)reduction.axis : 1.0F;
    if (!reduction.is_along) {
        state->threads = THREADS;
        state->grid[0] = dyno_cuda_div_up(count, THREADS);
        return DYNO_OK;
    }
    while (state->threads < 512 && 4LL * state->threads < reduction.axis)
        state->threads *= 2;
    state->grid[0] = count;
    return DYNO_OK;
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct reduce_state *state = args->state;
    struct dyno_gpu_reduce params = state->params;
    params.x = dyno_cuda_address(args->ins[0].data);
    params.y = dyno_cuda_address(args->outs[0].data);
    dyno_cuda_tail_bind(args, &state->tail, &params.tail);
    return dyno_cuda_launch(args, state->grid, state->threads, 0, &params, sizeof(params));
}

const struct dyno_kernel dyno_kernel_cuda_reduce = {
    .name = "reduce_cuda",
    .packing = 1,
    .state_bytes = sizeof(struct reduce_state),
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
    .program = program_of,
};
