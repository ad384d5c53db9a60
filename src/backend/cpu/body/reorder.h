/* reorder.h - between ROW and BLOCK layout: transposes of [channels][positions]. */
#include "backend/cpu/kernel.h"

#include "backend/cpu/body/transpose.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(reorder);

#define SEGMENT 512 /* positions a unit of work; a multiple of LANES */

struct reorder_state {
    bool to_block;
    int64_t channels, spatial, block_count;
    int64_t rows, segments;
};

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    if (site->step->op != DYNO_OP_reorder || max < 2)
        return 0;
    const double us = dyno_cpu_move_us(site->target, 8.0 * (double)dyno_cpu_count(&site->ins[0])) *
                      DYNO_CPU_ISA_COST;
    out[0].est_us = out[1].est_us = (float)us;
    out[0].out_layout = DYNO_BLOCK16;
    return 2;
}

/* The input lies the other way. */
static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    if (site->step->op != DYNO_OP_reorder || !dyno_cpu_blockable(&site->ins[0]) ||
        site->step->tail.instr_count != 0)
        return dyno_cpu_refuse(site, err);
    const bool to_block = dyno_cpu_asks_block(asked);
    const bool ok =
        to_block ? dyno_cpu_settle_block(site, 0, 0, tactic) : dyno_cpu_settle_row(site, 0, tactic);
    tactic->in_layouts[0] = to_block ? DYNO_ROW : DYNO_BLOCK16;
    tactic->flags = DYNO_TACTIC_BASELINE;
    return ok ? DYNO_OK : dyno_cpu_refuse(site, err);
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    const struct dyno_buf *in = &site->ins[0];
    if (dyno_cpu_is_block(in) == dyno_cpu_is_block(&site->outs[0]))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "'%s' does not change the layout", site->step->name);
    struct reorder_state *state = state_bytes;
    state->to_block = !dyno_cpu_is_block(in);
    state->channels = in->dims[1];
    state->spatial = dyno_cpu_spatial(in);
    state->block_count = dyno_cpu_blocks(in);
    state->rows = in->dims[0] * state->block_count;
    state->segments = dyno_cpu_div_up(state->spatial, SEGMENT);
    *workspace_bytes_out = 0;
    return DYNO_OK;
}

/* src: channel rows `spatial` apart, `have` of them; dst: [count][16]. */
static void to_block(const float *src, int64_t spatial, int have, float *dst, int64_t count)
{
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int c0 = 0; c0 < DYNO_CPU_BLOCK; c0 += LANES) {
            vf r[LANES];
            for (int c = 0; c < LANES; c++)
                r[c] = c0 + c < have ? vf_load(src + (c0 + c) * spatial + i) : vf_zero();
            vf_transpose(r);
            for (int k = 0; k < LANES; k++)
                vf_store(dst + (i + k) * DYNO_CPU_BLOCK + c0, r[k]);
        }
    }
    for (; i < count; i++)
        for (int c = 0; c < DYNO_CPU_BLOCK; c++)
            dst[i * DYNO_CPU_BLOCK + c] = c < have ? src[c * spatial + i] : 0.0F;
}

static void from_block(const float *src, float *dst, int64_t spatial, int have, int64_t count)
{
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int c0 = 0; c0 < have; c0 += LANES) {
            vf r[LANES];
            for (int k = 0; k < LANES; k++)
                r[k] = vf_load(src + (i + k) * DYNO_CPU_BLOCK + c0);
            vf_transpose(r);
            for (int c = 0; c < LANES && c0 + c < have; c++)
                vf_store(dst + (c0 + c) * spatial + i, r[c]);
        }
    }
    for (; i < count; i++)
        for (int c = 0; c < have; c++)
            dst[c * spatial + i] = src[i * DYNO_CPU_BLOCK + c];
}

static void do_unit(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct reorder_state *state = args->state;
    const int64_t row = unit / state->segments;
    const int64_t pos = unit % state->segments * SEGMENT;
    const int64_t count = dyno_cpu_min(state->spatial - pos, SEGMENT);
    const int64_t n = row / state->block_count;
    const int64_t cb = row % state->block_count;
    const int64_t channel = cb * DYNO_CPU_BLOCK;
    const int have = (int)dyno_cpu_min(state->channels - channel, DYNO_CPU_BLOCK);
    const int64_t dense = (n * state->channels + channel) * state->spatial + pos;
    const struct dyno_buf *blocked = state->to_block ? &args->outs[0] : &args->ins[0];
    float *block = dyno_cpu_block_at(blocked, n, cb) + pos * DYNO_CPU_BLOCK;
    if (state->to_block)
        to_block((const float *)args->ins[0].data + dense, state->spatial, have, block, count);
    else
        from_block(block, (float *)args->outs[0].data + dense, state->spatial, have, count);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct reorder_state *state = args->state;
    const int64_t units = state->rows * state->segments;
    if (units != 0)
        dyno_cpu_units(args, units, state->spatial * DYNO_CPU_BLOCK / state->segments, do_unit);
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(reorder) = {
    .name = DYNO_CPU_KERNEL_NAME("reorder"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 1,
    .state_bytes = sizeof(struct reorder_state),
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
