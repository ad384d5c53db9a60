/* reorder.c - a tensor from one layout of the GPU into another. */
#include "backend/cuda/tail.h"

extern const struct dyno_kernel dyno_kernel_cuda_reorder;

#define THREADS 256
#define TILE_C  32 /* as in reorder.cu */
#define TILE_S  64

struct reorder_state {
    bool rows; /* both are rows: only the element type differs */
    struct dyno_gpu_reorder params;
    struct dyno_gpu_pointwise pointwise;
    int64_t grid[3];
};

/* cfg[0]: number of the input's layout. */
static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    int count = 0;
    const double elems = site->outs[0].rank >= 0
                             ? (double)dyno_cuda_count(&site->outs[0], 0, site->outs[0].rank)
                             : 0.0;
    for (int i = 0; i < dyno_cuda_layout_count; i++) {
        for (int k = 0; k < dyno_cuda_layout_count && count < max; k++) {
            if (i == k || !dyno_cuda_layout_allowed(dyno_cuda_layouts[i], site->target) ||
                !dyno_cuda_layout_allowed(dyno_cuda_layouts[k], site->target))
                continue;
            out[count] = (struct dyno_tactic){.cfg = {(uint32_t)i}};
            out[count].out_layout = dyno_cuda_layouts[k];
            out[count++].est_us = (float)dyno_cuda_move_us(site->target, 8.0 * elems);
        }
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    const struct dyno_buf *x = &site->ins[0];
    if (site->step->op != DYNO_OP_reorder || site->step->tail.instr_count != 0 ||
        !dyno_cuda_is_f32(x) || !dyno_cuda_is_f32(&site->outs[0]) || !dyno_cuda_readable(site, 0) ||
        asked->cfg[0] >= (uint32_t)dyno_cuda_layout_count || !dyno_cuda_rest_is_zero(asked, 1) ||
        !dyno_cuda_layout_known(asked->out_layout))
        return dyno_cuda_refuse(site, err);
    tactic->in_layouts[0] = dyno_cuda_layouts[asked->cfg[0]];
    const bool last =
        dyno_cuda_is_last(tactic->in_layouts[0]) || dyno_cuda_is_last(asked->out_layout);
    if (dyno_layout_same(tactic->in_layouts[0], asked->out_layout) || (last && x->rank < 2))
        return dyno_cuda_refuse(site, err);
    return DYNO_OK;
}

static bool is_rows(const struct dyno_tactic *tactic)
{
    return !dyno_cuda_is_last(tactic->in_layouts[0]) && !dyno_cuda_is_last(tactic->out_layout);
}

static enum dyno_status program_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   const char **source_out, struct dyno_strbuf *choices,
                                   struct dyno_err *err)
{
    const struct dyno_tail nothing = {.instr_count = 0};
    const struct dyno_cuda_tail none = {.in_count = 0};
    (void)site;
    (void)err;
    dyno_strbuf_printf(choices, "#define T %s\n#define TO %s\n",
                       dyno_cuda_type(tactic->in_layouts[0]), dyno_cuda_type(tactic->out_layout));
    if (is_rows(tactic)) {
        *source_out = "pointwise.cu";
        dyno_strbuf_puts(choices, "#define VEC 1\n#define LOAD 1\n");
    } else {
        *source_out = "reorder.cu";
        dyno_strbuf_printf(choices, "#define X_LAST %d\n#define Y_LAST %d\n",
                           dyno_cuda_is_last(tactic->in_layouts[0]),
                           dyno_cuda_is_last(tactic->out_layout));
    }
    dyno_cuda_tail_text(&nothing, &none, choices);
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)packed;
    struct reorder_state *state = state_bytes;
    const struct dyno_buf *x = &site->ins[0];
    const int64_t count = dyno_cuda_count(x, 0, x->rank);
    *state = (struct reorder_state){.rows = is_rows(tactic), .grid = {1, 1, 1}};
    *workspace_bytes_out = 0;
    if (state->rows) {
        state->pointwise = (struct dyno_gpu_pointwise){.count = count,
                                                       .stored = INT32_MAX,
                                                       .columns = INT32_MAX,
                                                       .x_ld = INT32_MAX,
                                                       .y_ld = INT32_MAX};
        state->grid[0] = dyno_cuda_div_up(count, THREADS);
        return DYNO_OK;
    }
    if (x->dims[0] > INT32_MAX || x->dims[1] > INT32_MAX / 16)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a tensor with a dimension too large for the GPU");
    const bool from_last = dyno_cuda_is_last(tactic->in_layouts[0]);
    const bool to_last = dyno_cuda_is_last(tactic->out_layout);
    const int64_t channels = x->dims[1];
    state->params = (struct dyno_gpu_reorder){
        .batch = (int)x->dims[0],
        .channels = (int)channels,
        .stored =
            (int)dyno_cuda_stored(channels, to_last ? tactic->out_layout : tactic->in_layouts[0]),
        .x_ld = from_last ? (int)dyno_cuda_ld(x, tactic->in_layouts[0]) : 0,
        .y_ld = to_last ? (int)dyno_cuda_ld(&site->outs[0], tactic->out_layout) : 0,
        .positions = dyno_cuda_count(x, 2, x->rank),
    };
    state->params.narrow = from_last != to_last && state->params.stored <= 8;
    if (state->params.narrow != 0) {
        state->grid[0] = dyno_cuda_div_up(state->params.positions, THREADS);
        state->grid[2] = x->dims[0];
        return DYNO_OK;
    }
    state->grid[0] = dyno_cuda_div_up(state->params.positions, TILE_S);
    state->grid[1] = dyno_cuda_div_up(channels, TILE_C);
    state->grid[2] = x->dims[0];
    return DYNO_OK;
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct reorder_state *state = args->state;
    const unsigned long long x = dyno_cuda_address(args->ins[0].data);
    const unsigned long long y = dyno_cuda_address(args->outs[0].data);
    if (state->rows) {
        struct dyno_gpu_pointwise params = state->pointwise;
        params.x = x;
        params.y = y;
        return dyno_cuda_launch(args, state->grid, THREADS, 0, &params, sizeof(params));
    }
    struct dyno_gpu_reorder params = state->params;
    params.x = x;
    params.y = y;
    return dyno_cuda_launch(args, state->grid, THREADS, 0, &params, sizeof(params));
}

const struct dyno_kernel dyno_kernel_cuda_reorder = {
    .name = "reorder_cuda",
    .packing = 1,
    .state_bytes = sizeof(struct reorder_state),
    .strided = true,
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
    .program = program_of,
};
