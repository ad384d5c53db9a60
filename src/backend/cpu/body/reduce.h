/* reduce.h - Reduce* over neighbouring axes of an f32 tensor, ROW: [outer][axis][inner]. */
#include "backend/cpu/body/moments.h"
#include "backend/cpu/body/tail_range.h"
#include "backend/cpu/kernel.h"
#include "ops/reduce.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(reduce);

#define COLUMNS 256 /* neighbours folded together when inner is not 1 */

enum fold { FOLD_SUM, FOLD_SQUARES, FOLD_MAGNITUDES, FOLD_MAX, FOLD_MIN, FOLD_PRODUCT };

struct reduce_state {
    enum fold fold;
    bool mean, root;
    int64_t outer, axis, inner;
    int64_t segments; /* of inner */
    struct dyno_cpu_tail tail;
};

static bool describe(enum dyno_op_id op, struct reduce_state *state)
{
    state->mean = op == DYNO_OP_reduce_mean;
    state->root = op == DYNO_OP_reduce_l2;
    if (op == DYNO_OP_reduce_sum || op == DYNO_OP_reduce_mean)
        state->fold = FOLD_SUM;
    else if (op == DYNO_OP_reduce_sum_square || op == DYNO_OP_reduce_l2)
        state->fold = FOLD_SQUARES;
    else if (op == DYNO_OP_reduce_l1)
        state->fold = FOLD_MAGNITUDES;
    else if (op == DYNO_OP_reduce_max)
        state->fold = FOLD_MAX;
    else if (op == DYNO_OP_reduce_min)
        state->fold = FOLD_MIN;
    else if (op == DYNO_OP_reduce_prod)
        state->fold = FOLD_PRODUCT;
    else
        return false;
    return true;
}

/* Fill outer, axis and inner; false when the axes are unknown or not neighbours. */
static bool find_axes(const struct dyno_site *site, struct reduce_state *state)
{
    const struct dyno_buf *x = &site->ins[0];
    bool reduced[DYNO_RANK_MAX] = {false};
    struct dyno_tensor axes;
    const struct dyno_tensor *axes_ptr = NULL;
    if (site->step->own_in_count > 1 && site->ins[1].rank >= 0) {
        if (site->ins[1].data == NULL)
            return false;
        axes = (struct dyno_tensor){.dtype = site->ins[1].dtype, .rank = site->ins[1].rank};
        memcpy(axes.dims, site->ins[1].dims, sizeof(axes.dims));
        axes.data = site->ins[1].data;
        axes_ptr = &axes;
    }
    if (dyno_reduce_axes(site->step->attrs, x->rank, axes_ptr, reduced, NULL) != DYNO_OK)
        return false;
    int first = 0;
    int last = x->rank;
    while (first < x->rank && (!reduced[first] || x->dims[first] == 1))
        first++;
    while (last > first && (!reduced[last - 1] || x->dims[last - 1] == 1))
        last--;
    for (int i = first; i < last; i++)
        if (!reduced[i] && x->dims[i] != 1)
            return false;
    state->outer = dyno_cpu_product(x->dims, 0, first);
    state->axis = dyno_cpu_product(x->dims, first, last);
    state->inner = dyno_cpu_product(x->dims, last, x->rank);
    state->segments = dyno_cpu_div_up(state->inner, COLUMNS);
    return state->axis > 0;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    struct reduce_state state;
    if (max < 1 || !describe(site->step->op, &state))
        return 0;
    out[0].est_us =
        (float)(dyno_cpu_move_us(site->target, 4.0 * (double)dyno_cpu_count(&site->ins[0])) *
                DYNO_CPU_ISA_COST);
    return 1;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    (void)asked;
    struct reduce_state state;
    const struct dyno_buf *x = &site->ins[0];
    if (!describe(site->step->op, &state) || !dyno_cpu_is_f32(x) || x->rank < 1 ||
        !dyno_cpu_is_f32(&site->outs[0]) || !dyno_cpu_tail_accepts(site) ||
        !find_axes(site, &state) || !dyno_cpu_settle_row(site, 0, tactic))
        return dyno_cpu_refuse(site, err);
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct reduce_state *state = state_bytes;
    *workspace_bytes_out = 0;
    if (!describe(site->step->op, state) || !find_axes(site, state))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "'%s' reduces axes that are not neighbours or empty",
                         site->step->name);
    return dyno_cpu_tail_prepare(site, DYNO_CPU_TAIL_MERGED, &state->tail, err);
}

/* --- folding --- */

static inline vf fold_start(enum fold fold)
{
    if (fold == FOLD_MAX)
        return vf_set1(-INFINITY);
    if (fold == FOLD_MIN)
        return vf_set1(INFINITY);
    return vf_set1(fold == FOLD_PRODUCT ? 1.0F : 0.0F);
}

/* NaN stays: the greatest of a set with NaN is NaN. */
static inline vf fold_add(enum fold fold, vf acc, vf x)
{
    switch (fold) {
    case FOLD_SQUARES:
        return vf_fma(x, x, acc);
    case FOLD_MAGNITUDES:
        return vf_add(acc, vf_abs(x));
    case FOLD_MAX:
        return vf_select(vf_isnan(x), x, vf_max(x, acc));
    case FOLD_MIN:
        return vf_select(vf_isnan(x), x, vf_min(x, acc));
    case FOLD_PRODUCT:
        return vf_mul(acc, x);
    case FOLD_SUM:
    default:
        return vf_add(acc, x);
    }
}

/* What joins two accumulators. */
static inline enum fold fold_join(enum fold fold)
{
    return fold == FOLD_SQUARES || fold == FOLD_MAGNITUDES ? FOLD_SUM : fold;
}

static inline vf fold_finish(const struct reduce_state *state, vf acc)
{
    if (state->mean)
        acc = vf_div(acc, vf_set1((float)state->axis));
    return state->root ? vf_sqrt(acc) : acc;
}

static inline vf fold_stretch(enum fold fold, const float *src, int64_t count)
{
    vf acc[CHAINS];
    for (int64_t k = 0; k < CHAINS; k++)
        acc[k] = fold_start(fold);
    int64_t i = 0;
    for (; i + STRIDE <= count; i += STRIDE)
        for (int64_t k = 0; k < CHAINS; k++)
            acc[k] = fold_add(fold, acc[k], vf_load(src + i + k * LANES));
    for (; i + LANES <= count; i += LANES)
        acc[0] = fold_add(fold, acc[0], vf_load(src + i));
    const enum fold join = fold_join(fold);
    vf all = fold_add(join, fold_add(join, acc[0], acc[1]), fold_add(join, acc[2], acc[3]));
    /* Lanes, then the rest, one by one in lane 0. */
    float lanes[LANES];
    vf_store(lanes, all);
    all = vf_set1(lanes[0]);
    for (int k = 1; k < LANES; k++)
        all = fold_add(join, all, vf_set1(lanes[k]));
    for (; i < count; i++)
        all = fold_add(fold, all, vf_set1(src[i]));
    return all;
}

static void last_axes(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct reduce_state *state = args->state;
    const float *src = (const float *)args->ins[0].data + unit * state->axis;
    float *dst = args->outs[0].data;
    vf acc;
    switch (state->fold) { /* one loop a fold */
    case FOLD_SQUARES:
        acc = fold_stretch(FOLD_SQUARES, src, state->axis);
        break;
    case FOLD_MAGNITUDES:
        acc = fold_stretch(FOLD_MAGNITUDES, src, state->axis);
        break;
    case FOLD_MAX:
        acc = fold_stretch(FOLD_MAX, src, state->axis);
        break;
    case FOLD_MIN:
        acc = fold_stretch(FOLD_MIN, src, state->axis);
        break;
    case FOLD_PRODUCT:
        acc = fold_stretch(FOLD_PRODUCT, src, state->axis);
        break;
    case FOLD_SUM:
    default:
        acc = fold_stretch(FOLD_SUM, src, state->axis);
        break;
    }
    vf_store_n(dst + unit, fold_finish(state, acc), 1);
    tail_range(&state->tail, args->ins, dst, unit, 1);
}

/* Two partial sums, alternating: half the rounding of one. */
static void other_axes(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct reduce_state *state = args->state;
    const int64_t outer = unit / state->segments;
    const int64_t col0 = unit % state->segments * COLUMNS;
    const int64_t count = dyno_cpu_min(state->inner - col0, COLUMNS);
    const float *src = (const float *)args->ins[0].data + outer * state->axis * state->inner + col0;
    float *out = args->outs[0].data;
    float *dst = out + outer * state->inner + col0;
    for (int64_t i = 0; i < count; i += LANES) {
        const int left = (int)dyno_cpu_min(LANES, count - i);
        vf acc[2] = {fold_start(state->fold), fold_start(state->fold)};
        for (int64_t k = 0; k < state->axis; k++) {
            const float *at = src + k * state->inner + i;
            const vf x = left == LANES ? vf_load(at) : vf_load_n(at, left);
            acc[k & 1] = fold_add(state->fold, acc[k & 1], x);
        }
        const vf all = fold_finish(state, fold_add(fold_join(state->fold), acc[0], acc[1]));
        vf_store_n(dst + i, all, left);
    }
    tail_range(&state->tail, args->ins, out, outer * state->inner + col0, count);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct reduce_state *state = args->state;
    if (state->inner == 1)
        dyno_cpu_units(args, state->outer, state->axis, last_axes);
    else
        dyno_cpu_units(args, state->outer * state->segments,
                       state->axis * dyno_cpu_min(state->inner, COLUMNS), other_axes);
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(reduce) = {
    .name = DYNO_CPU_KERNEL_NAME("reduce"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 1,
    .state_bytes = sizeof(struct reduce_state),
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
