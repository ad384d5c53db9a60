/* rows.c - Softmax, LayerNormalization and RMSNormalization along the last axes, by rows. */
#include "backend/cuda/tail.h"
#include "ops/norm.h"
#include "ops/softmax.h"

extern const struct dyno_kernel dyno_kernel_cuda_rows;

#define HELD_ELEMS_MAX 32   /* of a row, a thread */
#define BLOCK_THREADS  512  /* where a block makes a row */
#define SOFTMAX_LONG   8192 /* elements of a row from which on a block has all threads */
#define ROWS_A_BLOCK   8    /* where a warp does, at most */

struct rows_state {
    struct dyno_gpu_rows params;
    struct dyno_cuda_tail tail;
    bool has_bias, apart; /* apart: a thread a column of elements that lie apart */
    int threads, rows_a_block;
};

struct rows {
    int axis; /* the first of those that make a row */
    float epsilon;
    bool centre, has_bias;
};

/* How a norm's rows, whose length is that of its constant scale, go to threads. */
struct row_shape {
    int vec;   /* elements a thread takes at once: 16 bytes where rows are a multiple of that */
    int held;  /* such vectors a thread, in registers; 0: the row is too long */
    int lanes; /* threads a row: 32, or 0: a block */
};

static struct row_shape shape_of(int64_t columns, struct dyno_layout layout)
{
    const int wide = layout.elem != 0 ? 8 : 4;
    struct row_shape shape = {.vec = columns % wide == 0 ? wide : 1, .lanes = 32};
    const int64_t vectors = columns / shape.vec;
    const int held_max = HELD_ELEMS_MAX / shape.vec;
    if (vectors > 32 * (int64_t)held_max)
        shape.lanes = 0;
    const int64_t a_thread = dyno_cuda_div_up(vectors, shape.lanes != 0 ? 32 : BLOCK_THREADS);
    if (a_thread <= held_max)
        shape.held = (int)(a_thread > 0 ? a_thread : 1);
    return shape;
}

static bool row_vector(const struct dyno_site *site, uint32_t i, int64_t columns)
{
    return i < site->step->own_in_count && site->ins[i].rank >= 0 &&
           site->ins[i].dtype == DYNO_F32 && dyno_cuda_readable(site, i) && site->in_is_weight[i] &&
           dyno_cuda_count(&site->ins[i], 0, site->ins[i].rank) == columns;
}

/* False when the step is none of these operators, or not along the last axes. */
static bool describe(const struct dyno_site *site, struct rows *rows)
{
    const struct dyno_step *step = site->step;
    const struct dyno_buf *x = &site->ins[0];
    *rows = (struct rows){.axis = 0};
    int64_t axis = 0;
    if (!dyno_cuda_is_f32(x) || x->rank < 1 || !dyno_cuda_readable(site, 0) ||
        site->in_is_weight[0])
        return false;
    if (step->op == DYNO_OP_softmax) {
        axis = ((const struct dyno_softmax_attrs *)step->attrs)->axis;
    } else if (step->op == DYNO_OP_layer_normalization) {
        const struct dyno_layer_norm_attrs *attrs = step->attrs;
        axis = attrs->axis;
        rows->epsilon = attrs->epsilon;
        rows->centre = true;
    } else if (step->op == DYNO_OP_rms_normalization) {
        const struct dyno_rms_norm_attrs *attrs = step->attrs;
        axis = attrs->axis;
        rows->epsilon = attrs->epsilon;
    } else {
        return false;
    }
    axis += axis < 0 ? x->rank : 0;
    if (axis < 0 || axis >= x->rank || site->step->out_count != 1)
        return false;
    rows->axis = (int)axis;
    if (step->op == DYNO_OP_softmax)
        return true;
    const int64_t columns = dyno_cuda_count(x, (int)axis, x->rank);
    rows->has_bias = step->own_in_count > 2 && site->ins[2].rank >= 0;
    return row_vector(site, 1, columns) && (!rows->has_bias || row_vector(site, 2, columns));
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    struct rows rows;
    int count = 0;
    for (int i = 0; i < dyno_cuda_layout_count && count < max; i++) {
        const struct dyno_layout layout = dyno_cuda_layouts[i];
        if (dyno_cuda_is_last(layout) || !dyno_cuda_layout_allowed(layout, site->target) ||
            !describe(site, &rows))
            continue;
        out[count] = (struct dyno_tactic){.cfg = {(uint32_t)i}};
        dyno_cuda_tail_layouts(site, layout, &out[count]);
        out[count++].est_us = (float)dyno_cuda_move_us(
            site->target, 8.0 * (double)dyno_cuda_count(&site->ins[0], 0, site->ins[0].rank));
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct rows rows;
    if (!describe(site, &rows) || !dyno_cuda_rest_is_zero(asked, 1) ||
        !dyno_cuda_asks_layout(asked, false))
        return dyno_cuda_refuse(site, err);
    return dyno_cuda_settle_input(site, asked->out_layout, tactic, err);
}

static enum dyno_status program_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   const char **source_out, struct dyno_strbuf *choices,
                                   struct dyno_err *err)
{
    struct rows rows;
    struct dyno_cuda_tail tail;
    if (!describe(site, &rows) || !dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    const bool is_softmax = site->step->op == DYNO_OP_softmax;
    const char *type = dyno_cuda_type(tactic->out_layout);
    *source_out = !is_softmax                          ? "row_norm.cu"
                  : rows.axis == site->ins[0].rank - 1 ? "softmax.cu"
                                                       : "softmax_columns.cu";
    dyno_strbuf_printf(choices, "#define T %s\n#define TO %s\n", type, type);
    if (!is_softmax) {
        const struct dyno_buf *x = &site->ins[0];
        const struct row_shape shape =
            shape_of(dyno_cuda_count(x, rows.axis, x->rank), tactic->out_layout);
        dyno_strbuf_printf(choices,
                           "#define CENTRE %d\n#define BIAS %d\n#define VEC %d\n#define HELD %d\n"
                           "#define LANES %d\n",
                           rows.centre, rows.has_bias, shape.vec, shape.held, shape.lanes);
    }
    dyno_cuda_tail_text(&site->step->tail, &tail, choices);
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)packed;
    struct rows_state *state = state_bytes;
    const struct dyno_buf *x = &site->ins[0];
    struct rows rows;
    *state = (struct rows_state){.threads = 32, .rows_a_block = 1};
    *workspace_bytes_out = 0;
    if (!describe(site, &rows) || !dyno_cuda_tail_plan(site, tactic, &state->tail))
        return dyno_cuda_refuse(site, err);
    const bool whole = site->step->op != DYNO_OP_softmax; /* all axes from the first on are a row */
    const int64_t columns = whole ? dyno_cuda_count(x, rows.axis, x->rank) : x->dims[rows.axis];
    const int64_t inner = whole ? 1 : dyno_cuda_count(x, rows.axis + 1, x->rank);
    const int64_t count = dyno_cuda_count(x, 0, rows.axis);
    if (columns > INT32_MAX / 16 || count > INT32_MAX || inner > INT32_MAX ||
        (inner != 1 && count * inner > INT32_MAX) ||
        !dyno_cuda_tail_sizes(site, tactic, &state->tail, &state->params.tail))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "%lld rows of %lld are too large for the GPU",
                         (long long)count, (long long)columns);
    state->params.rows = count;
    state->params.columns = (int)columns;
    state->params.inner = (int)inner;
    state->apart = site->step->op == DYNO_OP_softmax && rows.axis != x->rank - 1;
    state->params.epsilon = rows.epsilon;
    state->has_bias = rows.has_bias;
    if (state->apart)
        state->threads = 128;
    if (whole && shape_of(columns, tactic->out_layout).lanes == 0) {
        state->threads = BLOCK_THREADS;
    } else if (whole) {
        /* Few rows go to as many multiprocessors as there are. */
        while (state->rows_a_block < ROWS_A_BLOCK &&
               count / (2LL * state->rows_a_block) >= site->target->gpu.sm_count)
            state->rows_a_block *= 2;
        state->threads = 32 * state->rows_a_block;
    }
    const int threads_max = columns > SOFTMAX_LONG ? 1024 : 512;
    while (!whole && !state->apart && state->threads < threads_max &&
           2LL * state->threads < columns)
        state->threads *= 2;
    return DYNO_OK;
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct rows_state *state = args->state;
    struct dyno_gpu_rows params = state->params;
    params.x = dyno_cuda_address(args->ins[0].data);
    params.y = dyno_cuda_address(args->outs[0].data);
    if (args->step->op != DYNO_OP_softmax)
        params.scale = dyno_cuda_address(args->ins[1].data);
    if (state->has_bias)
        params.bias = dyno_cuda_address(args->ins[2].data);
    dyno_cuda_tail_bind(args, &state->tail, &params.tail);
    const int64_t blocks = dyno_cuda_div_up(params.rows, state->rows_a_block);
    int64_t grid[3] = {params.columns != 0 ? blocks : 0, 1, 1};
    if (state->apart)
        grid[0] = dyno_cuda_div_up(grid[0] * params.inner, state->threads);
    return dyno_cuda_launch(args, grid, state->threads, 0, &params, sizeof(params));
}

const struct dyno_kernel dyno_kernel_cuda_rows = {
    .name = "rows_cuda",
    .packing = 1,
    .state_bytes = sizeof(struct rows_state),
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
    .program = program_of,
};
