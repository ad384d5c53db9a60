/* pool.c - MaxPool, AveragePool and GlobalAveragePool, channels last; for the unoptimised execution
 * in rows of f32. */
#include "ops/pool.h"

#include "backend/cuda/tail.h"

extern const struct dyno_kernel dyno_kernel_cuda_pool;

#define THREADS    256
#define WINDOW_MAX 16 /* taps that are loaded at once */

/* Of means over all positions. */
#define LANES_MAX   32
#define LOADS       4  /* that a thread has in flight, of the kernel */
#define LOADS_ALONE 16 /* of a thread, for which a second launch does not pay */
#define BLOCKS_A_SM 2
#define CLUSTER     8 /* blocks that share a mean, on compute capability 9.0 */

struct pool_state {
    struct dyno_gpu_pool params;
    struct dyno_cuda_tail tail;
    int64_t grid[3];
    uint32_t shared_bytes;
};

static bool is_global(enum dyno_op_id op)
{
    return op == DYNO_OP_global_average_pool;
}

/* cfg[0]: number of the input's layout; cfg[1]: of a mean, blocks of a cluster, or 0: launches. */
static enum dyno_status sizes_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                 struct dyno_gpu_pool *params, struct dyno_err *err)
{
    const struct dyno_buf *x = &site->ins[0];
    struct dyno_window window = {.axes = 0};
    if (is_global(site->step->op)) {
        const int64_t positions = dyno_cuda_count(x, 2, x->rank);
        if (positions > INT32_MAX - LOADS * THREADS || positions < 1) /* a thread steps past them */
            return DYNO_FAIL(err, DYNO_E_LIMIT, "a pooling of %lld positions",
                             (long long)positions);
        *params = (struct dyno_gpu_pool){.h = 1, .w = (int)positions};
    } else {
        DYNO_TRY(dyno_pooling_window(site->step->attrs, x->rank, x->dims, &window, err));
        window = dyno_window_as_3d(&window);
        const int64_t *const lists[] = {window.in,     window.out,      window.kernel,
                                        window.stride, window.dilation, window.pad_begin,
                                        window.pad_end};
        for (size_t i = 0; i < DYNO_COUNT(lists); i++) {
            if (lists[i][1] < 0 || lists[i][1] > INT32_MAX / 16 || lists[i][2] < 0 ||
                lists[i][2] > INT32_MAX / 16)
                return DYNO_FAIL(err, DYNO_E_LIMIT, "a pooling whose sizes are too large");
        }
        *params = (struct dyno_gpu_pool){
            .h = (int)window.in[1],
            .w = (int)window.in[2],
            .oh = (int)window.out[1],
            .ow = (int)window.out[2],
            .kh = (int)window.kernel[1],
            .kw = (int)window.kernel[2],
            .sh = (int)window.stride[1],
            .sw = (int)window.stride[2],
            .dh = (int)window.dilation[1],
            .dw = (int)window.dilation[2],
            .ph = (int)window.pad_begin[1],
            .pw = (int)window.pad_begin[2],
            .ph_end = (int)window.pad_end[1],
            .pw_end = (int)window.pad_end[2],
        };
    }
    if (x->dims[0] > INT32_MAX || x->dims[1] > INT32_MAX / 16)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a pooling whose sizes are too large");
    params->batch = (int)x->dims[0];
    params->channels = (int)x->dims[1];
    params->c = (int)dyno_cuda_stored(x->dims[1], tactic->in_layouts[0]);
    return DYNO_OK;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    const struct dyno_buf *x = &site->ins[0];
    int count = 0;
    for (int i = 0; i < dyno_cuda_layout_count && x->rank >= 3; i++) {
        const struct dyno_layout in = dyno_cuda_layouts[i];
        if (!(dyno_cuda_is_last(in) || (dyno_cuda_is_plain(in) && site->target->baseline)) ||
            !dyno_cuda_layout_allowed(in, site->target))
            continue;
        const struct dyno_layout outs[] = {in, dyno_cuda_row((enum dyno_dtype)in.elem), DYNO_ROW};
        const int out_count =
            is_global(site->step->op) && dyno_cuda_is_last(in) ? (in.elem != 0 ? 3 : 2) : 1;
        const bool clusters =
            is_global(site->step->op) && dyno_cuda_is_last(in) && site->target->gpu.compute >= 90;
        for (int k = 0; k < out_count * (clusters ? 2 : 1) && count < max; k++) {
            const uint32_t cluster = k < out_count ? 0 : CLUSTER;
            out[count] = (struct dyno_tactic){.cfg = {(uint32_t)i, cluster}};
            dyno_cuda_tail_layouts(site, outs[k % out_count], &out[count]);
            const double bytes =
                (in.elem != 0 ? 2.0 : 4.0) * (double)dyno_cuda_count(x, 0, x->rank) * 1.5;
            out[count++].est_us =
                (float)(dyno_cuda_move_us(site->target, bytes) + (cluster != 0 ? 0.5 : 0.0));
        }
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    const enum dyno_op_id op = site->step->op;
    const struct dyno_buf *x = &site->ins[0];
    struct dyno_gpu_pool params;
    if ((op != DYNO_OP_max_pool && op != DYNO_OP_average_pool && !is_global(op)) ||
        site->step->out_count != 1 || !dyno_cuda_is_f32(x) || !dyno_cuda_readable(site, 0) ||
        site->in_is_weight[0] || x->rank < 3 || (!is_global(op) && x->rank > 4) ||
        asked->cfg[0] >= (uint32_t)dyno_cuda_layout_count || !dyno_cuda_rest_is_zero(asked, 2))
        return dyno_cuda_refuse(site, err);
    const struct dyno_layout in = dyno_cuda_layouts[asked->cfg[0]];
    if (asked->cfg[1] != 0 &&
        (asked->cfg[1] != CLUSTER || !is_global(op) || !dyno_cuda_is_last(in)))
        return dyno_cuda_refuse(site, err);
    const bool row = asked->out_layout.kind == DYNO_LAYOUT_ROW && asked->out_layout.block == 0 &&
                     (asked->out_layout.elem == in.elem || asked->out_layout.elem == 0);
    if ((!dyno_cuda_is_last(in) && !dyno_cuda_is_plain(in)) ||
        (!dyno_layout_same(asked->out_layout, in) && !(row && is_global(op))))
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(dyno_cuda_settle_input(site, in, tactic, err));
    return sizes_of(site, tactic, &params, err);
}

static enum dyno_status program_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   const char **source_out, struct dyno_strbuf *choices,
                                   struct dyno_err *err)
{
    struct dyno_cuda_tail tail;
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    const bool rows = dyno_cuda_is_plain(tactic->in_layouts[0]);
    if (!rows)
        dyno_strbuf_printf(choices, "#define T %s\n#define TO %s\n#define VEC %d\n",
                           dyno_cuda_type(tactic->in_layouts[0]),
                           dyno_cuda_type(tactic->out_layout), tactic->in_layouts[0].block);
    if (is_global(site->step->op)) {
        *source_out = rows ? "global_pool_rows.cu" : "global_pool.cu";
        if (!rows)
            dyno_strbuf_printf(choices, "#define PLAIN %d\n#define CLUSTER %u\n",
                               tactic->out_layout.kind == DYNO_LAYOUT_ROW, tactic->cfg[1]);
    } else {
        const struct dyno_pooling_attrs *attrs = site->step->attrs;
        struct dyno_gpu_pool params;
        DYNO_TRY(sizes_of(site, tactic, &params, err));
        *source_out = rows ? "pool_rows.cu" : "pool.cu";
        dyno_strbuf_printf(choices, "#define MAX %d\n#define COUNT_PADDING %d\n",
                           site->step->op == DYNO_OP_max_pool, attrs->count_include_pad != 0);
        if ((int64_t)params.kh * params.kw <= WINDOW_MAX)
            dyno_strbuf_printf(choices, "#define KH %d\n#define KW %d\n", params.kh, params.kw);
        else
            dyno_strbuf_puts(choices, "#define KH p.kh\n#define KW p.kw\n");
    }
    dyno_cuda_tail_text(&site->step->tail, &tail, choices);
    return DYNO_OK;
}

/* Channels to threads and positions to blocks, so that all multiprocessors have something to do and
 * neither launch leaves a thread with much more than the other. */
static void cut(const struct dyno_site *site, const struct dyno_tactic *tactic,
                struct pool_state *state, int64_t groups)
{
    struct dyno_gpu_pool *params = &state->params;
    const int64_t sms = site->target->gpu.sm_count > 0 ? site->target->gpu.sm_count : 100;
    const int64_t columns = dyno_cuda_div_up(groups, LANES_MAX), positions = params->w;
    const int64_t lanes = columns > 0 ? dyno_cuda_div_up(groups, columns) : 1;
    const int64_t rows = THREADS / lanes, blocks = columns * params->batch;
    int64_t chunks = 1;
    if (tactic->cfg[1] != 0) {
        chunks = tactic->cfg[1];
    } else if (positions > LOADS_ALONE * rows && blocks > 0) {
        const int64_t most = positions / (LOADS * rows);
        chunks = sms * BLOCKS_A_SM / blocks;
        chunks = chunks < most ? chunks : most;
        while (chunks > 1 && chunks * chunks > positions)
            chunks--;
        chunks = chunks > 1 ? chunks : 1;
    }
    params->lanes = (int)lanes;
    params->chunk = (int)dyno_cuda_div_up(positions, chunks);
    params->chunks = (int)dyno_cuda_div_up(positions, params->chunk);
    state->grid[0] = columns;
    state->grid[1] = params->chunks;
    if (tactic->cfg[1] != 0) { /* blocks past the last stretch have nothing, and all meet */
        params->chunks = 1;
        state->grid[1] = tactic->cfg[1];
        state->shared_bytes =
            (uint32_t)(THREADS * (tactic->in_layouts[0].block + 1) * (int)sizeof(float));
    }
    state->grid[2] = params->batch;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)packed;
    struct pool_state *state = state_bytes;
    *state = (struct pool_state){.grid = {0, 1, 1}};
    *workspace_bytes_out = 0;
    if (!dyno_cuda_tail_plan(site, tactic, &state->tail))
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(sizes_of(site, tactic, &state->params, err));
    if (!dyno_cuda_tail_sizes(site, tactic, &state->tail, &state->params.tail))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "an operand of the tail is too large");
    struct dyno_gpu_pool *params = &state->params;
    const bool rows = dyno_cuda_is_plain(tactic->in_layouts[0]);
    params->x_ld = rows ? 0 : (int)dyno_cuda_ld(&site->ins[0], tactic->in_layouts[0]);
    if (dyno_cuda_is_last(tactic->out_layout))
        params->y_ld = (int)dyno_cuda_ld(&site->outs[0], tactic->out_layout);
    const int64_t groups = rows ? params->c : params->c / tactic->in_layouts[0].block;
    if (is_global(site->step->op) && rows) {
        state->grid[0] = dyno_cuda_div_up(params->batch * groups, THREADS / 32);
    } else if (is_global(site->step->op)) {
        cut(site, tactic, state, groups);
        if (params->chunks > 1)
            *workspace_bytes_out = (uint64_t)params->batch * (uint64_t)params->chunks *
                                   (uint64_t)params->c * sizeof(float);
    } else {
        const int64_t pixels = (int64_t)params->batch * params->oh * params->ow;
        if (pixels > INT32_MAX)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "a pooling of %lld positions is too large",
                             (long long)pixels);
        state->grid[0] = dyno_cuda_div_up(pixels * groups, THREADS);
    }
    return DYNO_OK;
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct pool_state *state = args->state;
    struct dyno_gpu_pool params = state->params;
    params.x = dyno_cuda_address(args->ins[0].data);
    params.y = dyno_cuda_address(args->outs[0].data);
    dyno_cuda_tail_bind(args, &state->tail, &params.tail);
    int64_t grid[] = {state->grid[0], state->grid[1], state->grid[2]};
    if (params.chunks > 1) {
        params.parts = dyno_cuda_address(args->workspace);
        DYNO_TRY(dyno_cuda_launch(args, grid, THREADS, 0, &params, sizeof(params)));
        grid[1] = 1;
    }
    params.phase = 1;
    return dyno_cuda_launch(args, grid, THREADS, state->shared_bytes, &params, sizeof(params));
}

const struct dyno_kernel dyno_kernel_cuda_pool = {
    .name = "pool_cuda",
    .packing = 1,
    .state_bytes = sizeof(struct pool_state),
    .strided = true,
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
    .program = program_of,
};
