/* channel_norm.h - InstanceNormalization, GroupNormalization and BatchNormalization: a scale and a
 * shift a channel, from moments of the data or from weights.  BLOCK and ROW. */
#include "backend/cpu/body/moments.h"
#include "backend/cpu/body/tail_range.h"
#include "backend/cpu/kernel.h"
#include "ops/norm.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(channel_norm);

#define PARTS (DYNO_CPU_BLOCK / LANES) /* vectors a block */

struct channel_norm_state {
    bool block, batch;
    int64_t batch_count, channels, spatial, block_count;
    int64_t group_channels; /* channels that share moments */
    float epsilon;
    struct dyno_cpu_tail tail;
};

static bool read_attrs(const struct dyno_site *site, float *epsilon_out, int64_t *groups_out)
{
    const void *attrs = site->step->attrs;
    *groups_out = 0;
    if (site->step->op == DYNO_OP_instance_normalization) {
        *epsilon_out = ((const struct dyno_instance_norm_attrs *)attrs)->epsilon;
    } else if (site->step->op == DYNO_OP_group_normalization) {
        *epsilon_out = ((const struct dyno_group_norm_attrs *)attrs)->epsilon;
        *groups_out = ((const struct dyno_group_norm_attrs *)attrs)->num_groups;
    } else if (site->step->op == DYNO_OP_batch_normalization) {
        *epsilon_out = ((const struct dyno_batch_norm_attrs *)attrs)->epsilon;
    } else {
        return false;
    }
    return true;
}

static int64_t group_size(const struct dyno_site *site, int64_t groups)
{
    return groups == 0 ? 1 : site->ins[0].dims[1] / groups;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    float epsilon = 0.0F;
    int64_t groups = 0;
    if (!read_attrs(site, &epsilon, &groups) || max < 2)
        return 0;
    const double count = (double)dyno_cpu_count(&site->ins[0]);
    const double us =
        (dyno_cpu_move_us(site->target, 8.0 * count) + count * 0.15e-3) * DYNO_CPU_ISA_COST;
    out[0].est_us = (float)us;
    dyno_cpu_tactic_block(&out[1], site, us);
    return 2;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    float epsilon = 0.0F;
    int64_t groups = 0;
    const struct dyno_buf *x = &site->ins[0];
    if (!read_attrs(site, &epsilon, &groups) || site->step->out_count != 1 ||
        !dyno_cpu_blockable(x) || !dyno_cpu_tail_accepts(site) || groups < 0 ||
        (groups > 0 && (x->dims[1] < groups || x->dims[1] % groups != 0)))
        return dyno_cpu_refuse(site, err);
    for (uint32_t i = 1; i < site->step->own_in_count; i++)
        if (!dyno_cpu_is_f32(&site->ins[i]) || dyno_cpu_count(&site->ins[i]) != x->dims[1])
            return dyno_cpu_refuse(site, err);
    const int64_t together = group_size(site, groups);
    const bool whole = together == 1 || together % DYNO_CPU_BLOCK == 0;
    const bool ok = dyno_cpu_asks_block(asked) ? whole && dyno_cpu_settle_block(site, 0, 1, tactic)
                                               : dyno_cpu_settle_row(site, 0, tactic);
    return ok ? DYNO_OK : dyno_cpu_refuse(site, err);
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct channel_norm_state *state = state_bytes;
    const struct dyno_buf *x = &site->ins[0];
    int64_t groups = 0;
    (void)read_attrs(site, &state->epsilon, &groups);
    state->block = dyno_cpu_is_block(x);
    state->batch = site->step->op == DYNO_OP_batch_normalization;
    state->batch_count = x->dims[0];
    state->channels = x->dims[1];
    state->spatial = dyno_cpu_spatial(x);
    state->block_count = dyno_cpu_blocks(x);
    state->group_channels = group_size(site, groups);
    *workspace_bytes_out = 0;
    return dyno_cpu_tail_prepare(site, DYNO_CPU_TAIL_MERGED, &state->tail, err);
}

/* y = x * scale + shift for channel c, whose moments are known. */
struct affine {
    float scale, shift;
};

static struct affine channel_affine(const struct dyno_run_args *args, int64_t c, float mean,
                                    float var)
{
    const struct channel_norm_state *state = args->state;
    const float *scale = args->ins[1].data;
    const float *bias = args->ins[2].data;
    struct affine affine;
    affine.scale = scale[c] / sqrtf(var + state->epsilon);
    affine.shift = bias[c] - mean * affine.scale;
    return affine;
}

static struct affine batch_affine(const struct dyno_run_args *args, int64_t c)
{
    const float *mean = args->ins[3].data;
    const float *var = args->ins[4].data;
    return channel_affine(args, c, mean[c], var[c]);
}

/* --- ROW --- */

static void row_plane(const struct dyno_run_args *args, int64_t plane, struct affine affine)
{
    const struct channel_norm_state *state = args->state;
    const int64_t first = plane * state->spatial;
    float *out = args->outs[0].data;
    stretch_affine((const float *)args->ins[0].data + first, out + first, state->spatial,
                   affine.scale, affine.shift);
    tail_range(&state->tail, args->ins, out, first, state->spatial);
}

static void row_batch_unit(const struct dyno_run_args *args, int64_t plane, int thread)
{
    (void)thread;
    const struct channel_norm_state *state = args->state;
    row_plane(args, plane, batch_affine(args, plane % state->channels));
}

static void row_group_unit(const struct dyno_run_args *args, int64_t group, int thread)
{
    (void)thread;
    const struct channel_norm_state *state = args->state;
    const int64_t count = state->group_channels * state->spatial;
    const float *src = (const float *)args->ins[0].data + group * count;
    const float mean = stretch_sum(src, count) / (float)count;
    const float var = stretch_square_sum(src, count, mean) / (float)count;
    for (int64_t i = 0; i < state->group_channels; i++) {
        const int64_t plane = group * state->group_channels + i;
        row_plane(args, plane, channel_affine(args, plane % state->channels, mean, var));
    }
}

/* --- BLOCK --- */

static void block_plane(const struct dyno_run_args *args, int64_t n, int64_t cb,
                        const struct affine *affine)
{
    const struct channel_norm_state *state = args->state;
    const float *src = dyno_cpu_block_at(&args->ins[0], n, cb);
    float *dst = dyno_cpu_block_at(&args->outs[0], n, cb);
    float scale[DYNO_CPU_BLOCK], shift[DYNO_CPU_BLOCK];
    for (int i = 0; i < DYNO_CPU_BLOCK; i++) {
        scale[i] = affine[i].scale;
        shift[i] = affine[i].shift;
    }
    for (int64_t i = 0; i < state->spatial * DYNO_CPU_BLOCK; i += LANES) {
        const int64_t lane = i & (DYNO_CPU_BLOCK - 1);
        vf_store(dst + i, vf_fma(vf_load(src + i), vf_load(scale + lane), vf_load(shift + lane)));
    }
    if (state->tail.instr_count != 0)
        tail_block(&state->tail, args->ins, dst, dst, n, cb, 0, state->spatial);
}

/* Sums a lane of x, or of (x - shift)^2. */
static void lane_sums(const float *src, int64_t spatial, const float *shift, float *sums)
{
    vf acc[2][PARTS];
    for (int64_t v = 0; v < PARTS; v++)
        acc[0][v] = acc[1][v] = vf_zero();
    for (int64_t i = 0; i < spatial; i++)
        for (int64_t v = 0; v < PARTS; v++) {
            vf x = vf_load(src + i * DYNO_CPU_BLOCK + v * LANES);
            vf *to = &acc[i & 1][v];
            if (shift != NULL) {
                x = vf_sub(x, vf_load(shift + v * LANES));
                *to = vf_fma(x, x, *to);
            } else {
                *to = vf_add(*to, x);
            }
        }
    for (int64_t v = 0; v < PARTS; v++)
        vf_store(sums + v * LANES, vf_add(acc[0][v], acc[1][v]));
}

static void block_batch_unit(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct channel_norm_state *state = args->state;
    const int64_t cb = unit % state->block_count;
    struct affine affine[DYNO_CPU_BLOCK] = {{0.0F, 0.0F}};
    for (int64_t i = 0; i < DYNO_CPU_BLOCK && cb * DYNO_CPU_BLOCK + i < state->channels; i++)
        affine[i] = batch_affine(args, cb * DYNO_CPU_BLOCK + i);
    block_plane(args, unit / state->block_count, cb, affine);
}

/* Moments of each lane for itself. */
static void block_instance_unit(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct channel_norm_state *state = args->state;
    const int64_t n = unit / state->block_count;
    const int64_t cb = unit % state->block_count;
    const float *src = dyno_cpu_block_at(&args->ins[0], n, cb);
    float mean[DYNO_CPU_BLOCK], var[DYNO_CPU_BLOCK];
    lane_sums(src, state->spatial, NULL, mean);
    for (int i = 0; i < DYNO_CPU_BLOCK; i++)
        mean[i] /= (float)state->spatial;
    lane_sums(src, state->spatial, mean, var);
    struct affine affine[DYNO_CPU_BLOCK] = {{0.0F, 0.0F}};
    for (int64_t i = 0; i < DYNO_CPU_BLOCK && cb * DYNO_CPU_BLOCK + i < state->channels; i++)
        affine[i] =
            channel_affine(args, cb * DYNO_CPU_BLOCK + i, mean[i], var[i] / (float)state->spatial);
    block_plane(args, n, cb, affine);
}

/* A group is whole blocks, one behind the other. */
static void block_group_unit(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct channel_norm_state *state = args->state;
    const int64_t blocks = state->group_channels / DYNO_CPU_BLOCK;
    const int64_t groups = state->block_count / blocks;
    const int64_t n = unit / groups;
    const int64_t cb0 = unit % groups * blocks;
    const int64_t count = state->group_channels * state->spatial;
    const float *src = dyno_cpu_block_at(&args->ins[0], n, cb0);
    const float mean = stretch_sum(src, count) / (float)count;
    const float var = stretch_square_sum(src, count, mean) / (float)count;
    for (int64_t cb = cb0; cb < cb0 + blocks; cb++) {
        struct affine affine[DYNO_CPU_BLOCK];
        for (int64_t i = 0; i < DYNO_CPU_BLOCK; i++)
            affine[i] = channel_affine(args, cb * DYNO_CPU_BLOCK + i, mean, var);
        block_plane(args, n, cb, affine);
    }
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct channel_norm_state *state = args->state;
    const int64_t n = state->batch_count;
    if (!state->block) {
        if (state->batch)
            dyno_cpu_units(args, n * state->channels, state->spatial, row_batch_unit);
        else
            dyno_cpu_units(args, n * (state->channels / state->group_channels),
                           state->group_channels * state->spatial * 2, row_group_unit);
    } else if (state->batch) {
        dyno_cpu_units(args, n * state->block_count, state->spatial * DYNO_CPU_BLOCK,
                       block_batch_unit);
    } else if (state->group_channels == 1) {
        dyno_cpu_units(args, n * state->block_count, state->spatial * DYNO_CPU_BLOCK * 2,
                       block_instance_unit);
    } else {
        dyno_cpu_units(args, n * (state->channels / state->group_channels),
                       state->group_channels * state->spatial * 2, block_group_unit);
    }
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(channel_norm) = {
    .name = DYNO_CPU_KERNEL_NAME("channel_norm"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 1,
    .state_bytes = sizeof(struct channel_norm_state),
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
