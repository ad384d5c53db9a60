/* softmax.h - Softmax and LogSoftmax along any axis, ROW. */
#include "backend/cpu/body/tail_range.h"
#include "backend/cpu/body/vmath.h"
#include "backend/cpu/kernel.h"
#include "ops/softmax.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(softmax);

#define COLUMNS 64 /* neighbours done together when the axis is not the last */

struct softmax_state {
    bool log;
    int64_t outer, axis, inner;
    int64_t segments; /* of inner */
    struct dyno_cpu_tail tail;
};

static bool is_softmax(enum dyno_op_id op)
{
    return op == DYNO_OP_softmax || op == DYNO_OP_log_softmax;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    if (max < 1 || !is_softmax(site->step->op))
        return 0;
    const double count = (double)dyno_cpu_count(&site->ins[0]);
    out[0].est_us =
        (float)((dyno_cpu_move_us(site->target, 8.0 * count) + count * 0.5e-3) * DYNO_CPU_ISA_COST);
    return 1;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    (void)asked;
    const struct dyno_buf *x = &site->ins[0];
    if (!is_softmax(site->step->op) || !dyno_cpu_is_f32(x) || x->rank < 1 ||
        !dyno_cpu_is_f32(&site->outs[0]) || !dyno_cpu_tail_accepts(site) ||
        !dyno_cpu_settle_row(site, 0, tactic))
        return dyno_cpu_refuse(site, err);
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct softmax_state *state = state_bytes;
    const struct dyno_softmax_attrs *attrs = site->step->attrs;
    const struct dyno_buf *x = &site->ins[0];
    const int axis = (int)(attrs->axis < 0 ? attrs->axis + x->rank : attrs->axis);
    state->log = site->step->op == DYNO_OP_log_softmax;
    state->outer = dyno_cpu_product(x->dims, 0, axis);
    state->axis = x->dims[axis];
    state->inner = dyno_cpu_product(x->dims, axis + 1, x->rank);
    state->segments = dyno_cpu_div_up(state->inner, COLUMNS);
    *workspace_bytes_out = 0;
    return dyno_cpu_tail_prepare(site, DYNO_CPU_TAIL_MERGED, &state->tail, err);
}

/* The first `left` of LANES elements, the others -infinity: they add nothing. */
static inline vf load_padded(const float *src, int left)
{
    float lanes[LANES];
    for (int i = 0; i < LANES; i++)
        lanes[i] = i < left ? src[i] : -INFINITY;
    return vf_load(lanes);
}

static float row_max(const float *src, int64_t count)
{
    vf most = vf_set1(-INFINITY);
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        most = vf_max(vf_load(src + i), most);
    if (i < count)
        most = vf_max(load_padded(src + i, (int)(count - i)), most);
    return vf_hmax(most);
}

/* Sum of e^(x - most); the terms go to dst unless it is NULL. */
static float row_exp(const float *src, float *dst, int64_t count, vf most)
{
    vf sum = vf_zero();
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const vf e = vexp(vf_sub(vf_load(src + i), most));
        sum = vf_add(sum, e);
        if (dst != NULL)
            vf_store(dst + i, e);
    }
    if (i < count) {
        const int left = (int)(count - i);
        const vf e = vexp(vf_sub(load_padded(src + i, left), most));
        sum = vf_add(sum, e);
        if (dst != NULL)
            vf_store_n(dst + i, e, left);
    }
    return vf_hsum(sum);
}

static void row_affine(const float *src, float *dst, int64_t count, float scale, float shift)
{
    const vf a = vf_set1(scale);
    const vf b = vf_set1(shift);
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        vf_store(dst + i, vf_mul(a, vf_sub(vf_load(src + i), b)));
    if (i < count) {
        const int left = (int)(count - i);
        vf_store_n(dst + i, vf_mul(a, vf_sub(vf_load_n(src + i, left), b)), left);
    }
}

static void last_axis(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct softmax_state *state = args->state;
    const int64_t first = unit * state->axis;
    const float *src = (const float *)args->ins[0].data + first;
    float *out = args->outs[0].data;
    float *dst = out + first;
    const float most = row_max(src, state->axis);
    if (state->log) {
        const float sum = row_exp(src, NULL, state->axis, vf_set1(most));
        row_affine(src, dst, state->axis, 1.0F, most + logf(sum));
    } else {
        const float sum = row_exp(src, dst, state->axis, vf_set1(most));
        row_affine(dst, dst, state->axis, 1.0F / sum, 0.0F);
    }
    tail_range(&state->tail, args->ins, out, first, state->axis);
}

/* LANES columns (or fewer) of one outer index: src and dst step by `inner`. */
static void columns(const struct softmax_state *state, const float *src, float *dst, int left)
{
    const int64_t step = state->inner;
    vf most = vf_set1(-INFINITY);
    for (int64_t i = 0; i < state->axis; i++)
        most =
            vf_max(left == LANES ? vf_load(src + i * step) : vf_load_n(src + i * step, left), most);
    vf sum = vf_zero();
    for (int64_t i = 0; i < state->axis; i++) {
        const vf x = left == LANES ? vf_load(src + i * step) : vf_load_n(src + i * step, left);
        const vf e = vexp(vf_sub(x, most));
        sum = vf_add(sum, e);
        if (left == LANES)
            vf_store(dst + i * step, e);
        else
            vf_store_n(dst + i * step, e, left);
    }
    const vf shift = state->log ? vf_add(most, vlog(sum)) : vf_zero();
    const vf scale = state->log ? vf_set1(1.0F) : vf_div(vf_set1(1.0F), sum);
    const float *from = state->log ? src : dst;
    for (int64_t i = 0; i < state->axis; i++) {
        const vf x = left == LANES ? vf_load(from + i * step) : vf_load_n(from + i * step, left);
        const vf y = vf_mul(vf_sub(x, shift), scale);
        if (left == LANES)
            vf_store(dst + i * step, y);
        else
            vf_store_n(dst + i * step, y, left);
    }
}

static void other_axis(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct softmax_state *state = args->state;
    const int64_t outer = unit / state->segments;
    const int64_t col0 = unit % state->segments * COLUMNS;
    const int64_t count = dyno_cpu_min(state->inner - col0, COLUMNS);
    const int64_t first = outer * state->axis * state->inner + col0;
    float *out = args->outs[0].data;
    const float *in = args->ins[0].data;
    for (int64_t i = 0; i < count; i += LANES)
        columns(state, in + first + i, out + first + i, (int)dyno_cpu_min(LANES, count - i));
    for (int64_t i = 0; i < state->axis; i++)
        tail_range(&state->tail, args->ins, out, first + i * state->inner, count);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct softmax_state *state = args->state;
    if (state->axis == 0)
        return DYNO_OK;
    if (state->inner == 1)
        dyno_cpu_units(args, state->outer, state->axis * 4, last_axis);
    else
        dyno_cpu_units(args, state->outer * state->segments,
                       state->axis * dyno_cpu_min(state->inner, COLUMNS) * 4, other_axis);
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(softmax) = {
    .name = DYNO_CPU_KERNEL_NAME("softmax"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 1,
    .state_bytes = sizeof(struct softmax_state),
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
