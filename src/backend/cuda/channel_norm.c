/* channel_norm.c - InstanceNormalization, GroupNormalization and BatchNormalization, channels last;
 * for the unoptimised execution in rows of f32. */
#include "backend/cuda/tail.h"
#include "ops/norm.h"

extern const struct dyno_kernel dyno_kernel_cuda_channel_norm;

#define THREADS     256
#define LANES       32 /* positions at a time; a block has 8 vectors of channels */
#define CHUNKS_MAX  64
#define BLOCKS_A_SM 4

struct channel_norm_state {
    struct dyno_gpu_channel_norm params;
    struct dyno_cuda_tail tail;
    int64_t grid[3];
};

struct norm {
    float epsilon;
    int64_t group; /* channels that share moments; 0: they are given */
};

static bool is_vector(const struct dyno_site *site, uint32_t i)
{
    return i < site->step->own_in_count && dyno_cuda_is_f32(&site->ins[i]) &&
           site->in_is_weight[i] &&
           dyno_cuda_count(&site->ins[i], 0, site->ins[i].rank) == site->ins[0].dims[1];
}

/* False when the step is none of these operators, or not one for this kernel. */
static bool describe(const struct dyno_site *site, struct norm *norm)
{
    const struct dyno_step *step = site->step;
    const struct dyno_buf *x = &site->ins[0];
    if (!dyno_cuda_is_f32(x) || x->rank < 3 || x->dims[1] < 1 || !dyno_cuda_readable(site, 0) ||
        site->in_is_weight[0] || step->out_count != 1)
        return false;
    if (step->op == DYNO_OP_instance_normalization) {
        const struct dyno_instance_norm_attrs *attrs = step->attrs;
        *norm = (struct norm){.epsilon = attrs->epsilon, .group = 1};
    } else if (step->op == DYNO_OP_group_normalization) {
        const struct dyno_group_norm_attrs *attrs = step->attrs;
        if (attrs->num_groups < 1 || x->dims[1] % attrs->num_groups != 0)
            return false;
        *norm = (struct norm){attrs->epsilon, x->dims[1] / attrs->num_groups};
    } else if (step->op == DYNO_OP_batch_normalization) {
        const struct dyno_batch_norm_attrs *attrs = step->attrs;
        *norm = (struct norm){.epsilon = attrs->epsilon};
    } else {
        return false;
    }
    return is_vector(site, 1) && is_vector(site, 2) &&
           (norm->group != 0 || (is_vector(site, 3) && is_vector(site, 4)));
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    struct norm norm;
    int count = 0;
    for (int i = 0; i < dyno_cuda_layout_count && count < max; i++) {
        const struct dyno_layout layout = dyno_cuda_layouts[i];
        if (!(dyno_cuda_is_last(layout) ||
              (dyno_cuda_is_plain(layout) && site->target->baseline)) ||
            !dyno_cuda_layout_allowed(layout, site->target) || !describe(site, &norm))
            continue;
        out[count] = (struct dyno_tactic){.cfg = {(uint32_t)i}};
        dyno_cuda_tail_layouts(site, layout, &out[count]);
        const double bytes = (layout.elem != 0 ? 2.0 : 4.0) *
                             (double)dyno_cuda_count(&site->ins[0], 0, site->ins[0].rank);
        out[count++].est_us =
            (float)((norm.group != 0 ? dyno_cuda_move_us(site->target, bytes) : 0.0) +
                    dyno_cuda_move_us(site->target, 2.0 * bytes));
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct norm norm;
    if (!describe(site, &norm) || !dyno_cuda_rest_is_zero(asked, 1) ||
        !(dyno_cuda_asks_layout(asked, true) ||
          (dyno_cuda_asks_layout(asked, false) && dyno_cuda_is_plain(asked->out_layout))))
        return dyno_cuda_refuse(site, err);
    return dyno_cuda_settle_input(site, asked->out_layout, tactic, err);
}

static enum dyno_status program_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   const char **source_out, struct dyno_strbuf *choices,
                                   struct dyno_err *err)
{
    struct norm norm;
    struct dyno_cuda_tail tail;
    if (!describe(site, &norm) || !dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    const char *type = dyno_cuda_type(tactic->out_layout);
    const bool rows = dyno_cuda_is_plain(tactic->out_layout);
    *source_out = rows ? "channel_norm_rows.cu" : "channel_norm.cu";
    if (!rows)
        dyno_strbuf_printf(choices, "#define T %s\n#define TO %s\n#define VEC %d\n", type, type,
                           tactic->out_layout.block);
    dyno_strbuf_printf(choices, "#define MOMENTS %d\n", norm.group != 0);
    dyno_cuda_tail_text(&site->step->tail, &tail, choices);
    return DYNO_OK;
}

/* Stretches of positions, so that all multiprocessors have something to do. */
static void cut(const struct dyno_site *site, struct dyno_gpu_channel_norm *params, int64_t columns)
{
    const int64_t sms = site->target->gpu.sm_count > 0 ? site->target->gpu.sm_count : 100;
    const int64_t wanted =
        dyno_cuda_div_up(sms * BLOCKS_A_SM, columns * (params->batch > 0 ? params->batch : 1));
    const int64_t most = dyno_cuda_div_up(params->positions, LANES);
    int64_t chunks = wanted < CHUNKS_MAX ? wanted : CHUNKS_MAX;
    chunks = chunks < most ? chunks : most;
    params->chunk = chunks > 0 ? dyno_cuda_div_up(params->positions, chunks) : 1;
    params->chunks = (int)dyno_cuda_div_up(params->positions, params->chunk);
}

/* One launch: a block for channels that share moments, or threads for some neighbours each. */
static void set_rows(const struct dyno_buf *x, struct channel_norm_state *state)
{
    struct dyno_gpu_channel_norm *params = &state->params;
    const int64_t count = (int64_t)params->batch * params->channels * params->positions;
    params->c = (int)x->dims[x->rank - 1];
    params->chunk = params->positions % 4 == 0 && params->c % 4 == 0 ? 4 : 1;
    params->phase = 1;
    state->grid[1] = state->grid[2] = 1;
    state->grid[0] = params->group != 0 ? (int64_t)params->batch * params->channels / params->group
                                        : dyno_cuda_div_up(count / params->chunk, THREADS);
    if (count == 0)
        state->grid[0] = 0;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)packed;
    struct channel_norm_state *state = state_bytes;
    const struct dyno_buf *x = &site->ins[0];
    struct dyno_gpu_channel_norm *params = &state->params;
    struct norm norm;
    *state = (struct channel_norm_state){.grid = {0}};
    *workspace_bytes_out = 0;
    const int block = tactic->in_layouts[0].block;
    const bool rows = dyno_cuda_is_plain(tactic->in_layouts[0]);
    if ((!rows && block < 1) || !describe(site, &norm) ||
        !dyno_cuda_tail_plan(site, tactic, &state->tail))
        return dyno_cuda_refuse(site, err);
    const int64_t positions = dyno_cuda_count(x, 2, x->rank);
    if (x->dims[0] > INT32_MAX || x->dims[1] > INT32_MAX / 16 ||
        (x->dims[0] != 0 && positions > INT32_MAX / x->dims[0]) ||
        !dyno_cuda_tail_sizes(site, tactic, &state->tail, &params->tail))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "a normalization of %lld items of %lld positions",
                         (long long)x->dims[0], (long long)positions);
    params->positions = positions;
    params->batch = (int)x->dims[0];
    params->c = (int)dyno_cuda_stored(x->dims[1], tactic->in_layouts[0]);
    params->channels = (int)x->dims[1];
    params->group = (int)norm.group;
    params->epsilon = norm.epsilon;
    if (rows) {
        set_rows(x, state);
        return DYNO_OK;
    }
    params->x_ld = (int)dyno_cuda_ld(x, tactic->in_layouts[0]);
    params->y_ld = (int)dyno_cuda_ld(&site->outs[0], tactic->out_layout);
    state->grid[0] = dyno_cuda_div_up(params->c, 8LL * block);
    cut(site, params, state->grid[0]);
    state->grid[1] = params->chunks;
    state->grid[2] = params->batch;
    if (norm.group != 0)
        *workspace_bytes_out = (uint64_t)params->batch * (uint64_t)params->chunks *
                               (uint64_t)params->c * 2 * sizeof(float);
    return DYNO_OK;
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct channel_norm_state *state = args->state;
    struct dyno_gpu_channel_norm params = state->params;
    params.x = dyno_cuda_address(args->ins[0].data);
    params.y = dyno_cuda_address(args->outs[0].data);
    params.scale = dyno_cuda_address(args->ins[1].data);
    params.bias = dyno_cuda_address(args->ins[2].data);
    if (params.group == 0) {
        params.mean = dyno_cuda_address(args->ins[3].data);
        params.var = dyno_cuda_address(args->ins[4].data);
    }
    params.parts = dyno_cuda_address(args->workspace);
    dyno_cuda_tail_bind(args, &state->tail, &params.tail);
    if (params.group != 0 && params.phase == 0)
        DYNO_TRY(dyno_cuda_launch(args, state->grid, THREADS, 0, &params, sizeof(params)));
    params.phase = 1;
    return dyno_cuda_launch(args, state->grid, THREADS, 0, &params, sizeof(params));
}

const struct dyno_kernel dyno_kernel_cuda_channel_norm = {
    .name = "channel_norm_cuda",
    .packing = 1,
    .state_bytes = sizeof(struct channel_norm_state),
    .strided = true,
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
    .program = program_of,
};
