/* gather.c - Gather of f32 slices by indices that are there. */
#include "backend/cuda/kernel.h"
#include "ops/move.h"

extern const struct dyno_kernel dyno_kernel_cuda_gather;

#define THREADS 256

struct gather_state {
    struct dyno_gpu_gather params;
};

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    int count = 0;
    for (int i = 0; i < dyno_cuda_layout_count && count < max; i++) {
        const struct dyno_layout layout = dyno_cuda_layouts[i];
        if (dyno_cuda_is_last(layout) || !dyno_cuda_layout_allowed(layout, site->target) ||
            site->step->op != DYNO_OP_gather || site->outs[0].rank < 0)
            continue;
        out[count] = (struct dyno_tactic){.out_layout = layout};
        out[count++].est_us = (float)dyno_cuda_move_us(
            site->target, 6.0 * (double)dyno_cuda_count(&site->outs[0], 0, site->outs[0].rank));
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    const struct dyno_buf *x = &site->ins[0];
    if (site->step->op != DYNO_OP_gather || site->step->tail.instr_count != 0 ||
        !dyno_cuda_is_f32(x) || x->rank < 1 || !dyno_cuda_readable(site, 0) ||
        !dyno_cuda_readable(site, 1) || !dyno_cuda_is_f32(&site->outs[0]) ||
        (site->ins[1].dtype != DYNO_I64 && site->ins[1].dtype != DYNO_I32) ||
        !dyno_cuda_rest_is_zero(asked, 0) || !dyno_cuda_layout_known(asked->out_layout) ||
        dyno_cuda_is_last(asked->out_layout))
        return dyno_cuda_refuse(site, err);
    tactic->flags = asked->out_layout.elem == 0 ? DYNO_TACTIC_BASELINE : 0;
    return DYNO_OK;
}

static enum dyno_status program_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   const char **source_out, struct dyno_strbuf *choices,
                                   struct dyno_err *err)
{
    (void)err;
    *source_out = "gather.cu";
    dyno_strbuf_printf(choices, "#define T float\n#define TO %s\n#define INDEX %s\n",
                       dyno_cuda_type(tactic->out_layout),
                       site->ins[1].dtype == DYNO_I64 ? "i64" : "int");
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct gather_state *state = state_bytes;
    const struct dyno_axis_attrs *attrs = site->step->attrs;
    const struct dyno_buf *x = &site->ins[0];
    const int axis = (int)(attrs->axis < 0 ? attrs->axis + x->rank : attrs->axis);
    *workspace_bytes_out = 0;
    if (axis < 0 || axis >= x->rank)
        return dyno_cuda_refuse(site, err);
    state->params = (struct dyno_gpu_gather){
        .outer = dyno_cuda_count(x, 0, axis),
        .axis = x->dims[axis],
        .indices = dyno_cuda_count(&site->ins[1], 0, site->ins[1].rank),
        .inner = dyno_cuda_count(x, axis + 1, x->rank),
    };
    if (state->params.axis == 0 && dyno_cuda_count(&site->outs[0], 0, site->outs[0].rank) != 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "'%s' gathers from an axis without elements",
                         site->step->name);
    return DYNO_OK;
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct gather_state *state = args->state;
    struct dyno_gpu_gather params = state->params;
    params.x = dyno_cuda_address(args->ins[0].data);
    params.index = dyno_cuda_address(args->ins[1].data);
    params.y = dyno_cuda_address(args->outs[0].data);
    const int64_t grid[3] = {
        dyno_cuda_div_up(params.outer * params.indices * params.inner, THREADS), 1, 1};
    return dyno_cuda_launch(args, grid, THREADS, 0, &params, sizeof(params));
}

const struct dyno_kernel dyno_kernel_cuda_gather = {
    .name = "gather_cuda",
    .packing = 1,
    .state_bytes = sizeof(struct gather_state),
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
    .program = program_of,
};
