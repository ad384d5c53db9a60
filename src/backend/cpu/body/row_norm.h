/* row_norm.h - LayerNormalization and RMSNormalization: each row by its own moments, ROW. */
#include "backend/cpu/body/moments.h"
#include "backend/cpu/body/tail_range.h"
#include "backend/cpu/kernel.h"
#include "ops/norm.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(row_norm);

struct row_norm_state {
    bool centred; /* layer norm; else rms norm */
    bool has_bias;
    int64_t rows, cols;
    float epsilon;
    struct dyno_cpu_tail tail;
};

static int split_axis(const struct dyno_site *site, float *epsilon_out)
{
    int64_t axis = 0;
    if (site->step->op == DYNO_OP_layer_normalization) {
        const struct dyno_layer_norm_attrs *attrs = site->step->attrs;
        axis = attrs->axis;
        *epsilon_out = attrs->epsilon;
    } else {
        const struct dyno_rms_norm_attrs *attrs = site->step->attrs;
        axis = attrs->axis;
        *epsilon_out = attrs->epsilon;
    }
    return (int)(axis < 0 ? axis + site->ins[0].rank : axis);
}

static bool is_absent(const struct dyno_site *site, uint32_t idx)
{
    return idx >= site->step->own_in_count || site->ins[idx].rank < 0;
}

static bool is_row_norm(const struct dyno_step *step)
{
    return step->op == DYNO_OP_layer_normalization || step->op == DYNO_OP_rms_normalization;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    if (max < 1 || !is_row_norm(site->step))
        return 0;
    const double count = (double)dyno_cpu_count(&site->ins[0]);
    out[0].est_us = (float)((dyno_cpu_move_us(site->target, 8.0 * count) + count * 0.15e-3) *
                            DYNO_CPU_ISA_COST);
    return 1;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    (void)asked;
    const struct dyno_step *step = site->step;
    const struct dyno_buf *x = &site->ins[0];
    if (!is_row_norm(step) || !dyno_cpu_is_f32(x) || x->rank < 1 ||
        !dyno_cpu_is_f32(&site->outs[0]) || !dyno_cpu_tail_accepts(site) || is_absent(site, 1) ||
        !dyno_cpu_settle_row(site, 0, tactic))
        return dyno_cpu_refuse(site, err);
    for (uint32_t i = 1; i < step->out_count; i++)
        if (step->outs[i] != DYNO_NO_TENSOR)
            return dyno_cpu_refuse(site, err);
    float epsilon = 0.0F;
    const int64_t cols = dyno_cpu_product(x->dims, split_axis(site, &epsilon), x->rank);
    for (uint32_t i = 1; i < 3; i++)
        if (!is_absent(site, i) &&
            (!dyno_cpu_is_f32(&site->ins[i]) || dyno_cpu_count(&site->ins[i]) != cols))
            return dyno_cpu_refuse(site, err);
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct row_norm_state *state = state_bytes;
    const struct dyno_buf *x = &site->ins[0];
    const int axis = split_axis(site, &state->epsilon);
    state->centred = site->step->op == DYNO_OP_layer_normalization;
    state->has_bias = state->centred && !is_absent(site, 2);
    state->rows = dyno_cpu_product(x->dims, 0, axis);
    state->cols = dyno_cpu_product(x->dims, axis, x->rank);
    *workspace_bytes_out = 0;
    return dyno_cpu_tail_prepare(site, DYNO_CPU_TAIL_MERGED, &state->tail, err);
}

static void do_row(const struct dyno_run_args *args, int64_t row, int thread)
{
    (void)thread;
    const struct row_norm_state *state = args->state;
    const int64_t count = state->cols;
    const float *src = (const float *)args->ins[0].data + row * count;
    const float *scale = args->ins[1].data;
    const float *bias = state->has_bias ? args->ins[2].data : NULL;
    float *out = args->outs[0].data;
    float *dst = out + row * count;
    const float mean = state->centred ? stretch_sum(src, count) / (float)count : 0.0F;
    const float var = stretch_square_sum(src, count, mean) / (float)count;
    const vf shift = vf_set1(mean);
    const vf factor = vf_set1(1.0F / sqrtf(var + state->epsilon));
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const vf y = vf_mul(vf_sub(vf_load(src + i), shift), factor);
        const vf b = bias != NULL ? vf_load(bias + i) : vf_zero();
        vf_store(dst + i, vf_fma(y, vf_load(scale + i), b));
    }
    if (i < count) {
        const int left = (int)(count - i);
        const vf y = vf_mul(vf_sub(vf_load_n(src + i, left), shift), factor);
        const vf b = bias != NULL ? vf_load_n(bias + i, left) : vf_zero();
        vf_store_n(dst + i, vf_fma(y, vf_load_n(scale + i, left), b), left);
    }
    tail_range(&state->tail, args->ins, out, row * count, count);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct row_norm_state *state = args->state;
    dyno_cpu_units(args, state->rows, state->cols * 2, do_row);
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(row_norm) = {
    .name = DYNO_CPU_KERNEL_NAME("row_norm"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 1,
    .state_bytes = sizeof(struct row_norm_state),
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
