/* slice.c - y = x[starts:ends:steps] along axes, by numpy's rules.  (ONNX Slice-13) */
#include "ops/infer.h"
#include "ops/ref.h"

enum { STARTS = 1, ENDS, AXES, STEPS };

/* A bound at or beyond this is "to the end"; exporters write INT32_MAX and INT64_MAX. */
#define FAR INT32_MAX

static bool has(uint32_t in_count, const void *const *in, uint32_t idx)
{
    return idx < in_count && in[idx] != NULL;
}

static int64_t clamped(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : (value > high ? high : value);
}

/* --- reference --- */

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *const in = ctx->in[0];
    struct dyno_tensor *const out = &ctx->out[0];
    const void *const *const ins = (const void *const *)ctx->in;
    int64_t strides[DYNO_RANK_MAX];
    int64_t base = 0;
    dyno_ref_strides(in->rank, in->dims, strides);
    const int64_t axis_count = dyno_tensor_count(ctx->in[STARTS]);
    for (int64_t i = 0; i < axis_count; i++) {
        const bool named = has(ctx->in_count, ins, AXES);
        const int axis = dyno_ref_axis(named ? dyno_ref_i64(ctx->in[AXES], i) : i, in->rank);
        const int64_t step = has(ctx->in_count, ins, STEPS) ? dyno_ref_i64(ctx->in[STEPS], i) : 1;
        const int64_t size = in->dims[axis];
        int64_t start = dyno_ref_i64(ctx->in[STARTS], i);
        if (start < 0)
            start = start < -size ? -1 : start + size;
        start = step > 0 ? clamped(start, 0, size) : clamped(start, 0, size - 1);
        base += start * strides[axis];
        strides[axis] *= step;
    }
    const int64_t count = dyno_tensor_count(out);
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, out->dims);
    dyno_walk_add_strides(&walk, base, strides);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk))
        dyno_ref_copy(in->dtype, out->data, i, in->data, walk.at[0]);
    return DYNO_OK;
}

/* --- shape rule --- */

/* Where a bound falls on an axis of `size`, for steps up (low 0, high size) or down (low -1 for an
 * end, high size - 1). */
static dyno_expr place(struct dyno_infer *ctx, dyno_expr bound, dyno_expr size, int64_t low,
                       bool is_down)
{
    struct dyno_exprs *const exprs = ctx->exprs;
    const dyno_expr high = is_down ? dyno_expr_sub(exprs, size, dyno_expr_const(exprs, 1)) : size;
    const dyno_expr floor = dyno_expr_const(exprs, low);
    int64_t min = 0;
    int64_t max = 0;
    dyno_expr_range(exprs, bound, &min, &max);
    if (min >= FAR)
        return high;
    if (max <= -FAR)
        return floor;
    const dyno_expr direct = dyno_expr_min(exprs, bound, high);
    if (min >= 0)
        return direct;
    const dyno_expr from_end = dyno_expr_max(exprs, dyno_expr_add(exprs, bound, size), floor);
    if (max < 0)
        return from_end;
    const dyno_expr zero = dyno_expr_const(exprs, 0);
    return dyno_expr_select(exprs, dyno_expr_lt(exprs, bound, zero), from_end, direct);
}

static dyno_expr sliced_size(struct dyno_infer *ctx, dyno_expr size, dyno_expr start, dyno_expr end,
                             int64_t step)
{
    struct dyno_exprs *const exprs = ctx->exprs;
    const bool is_down = step < 0;
    const dyno_expr zero = dyno_expr_const(exprs, 0);
    const dyno_expr from = place(ctx, start, size, 0, is_down);
    const dyno_expr to = place(ctx, end, size, is_down ? -1 : 0, is_down);
    const dyno_expr span =
        is_down ? dyno_expr_sub(exprs, from, to) : dyno_expr_sub(exprs, to, from);
    const dyno_expr by = is_down ? dyno_expr_sub(exprs, zero, dyno_expr_const(exprs, step))
                                 : dyno_expr_const(exprs, step);
    return dyno_expr_max(exprs, zero, dyno_expr_ceildiv(exprs, span, by));
}

/* What the four index inputs say; counts are equal to `count`. */
struct bounds {
    uint32_t count;
    const dyno_expr *starts; /* NULL: not known */
    const dyno_expr *ends;
    int axes[DYNO_RANK_MAX];
    bool axes_known;
    int64_t steps[DYNO_RANK_MAX];
    bool steps_known;
};

static enum dyno_status read_axes(struct dyno_infer *ctx, struct bounds *b)
{
    const void *const *const ins = (const void *const *)ctx->in;
    int64_t axes[DYNO_RANK_MAX];
    uint32_t count = b->count;
    const bool named = has(ctx->in_count, ins, AXES);
    b->axes_known = !named || dyno_infer_consts(ctx, AXES, axes, DYNO_RANK_MAX, &count);
    if (!b->axes_known)
        return DYNO_OK;
    if (count != b->count)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "there are %u starts and %u axes", b->count,
                         count);
    bool seen[DYNO_RANK_MAX] = {false};
    for (uint32_t i = 0; i < count; i++) {
        DYNO_TRY(dyno_infer_axis(ctx, named ? axes[i] : (int64_t)i, ctx->in[0]->rank, &b->axes[i]));
        if (seen[b->axes[i]])
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "axis %d is named twice", b->axes[i]);
        seen[b->axes[i]] = true;
    }
    return DYNO_OK;
}

static enum dyno_status read_bounds(struct dyno_infer *ctx, struct bounds *b)
{
    const void *const *const ins = (const void *const *)ctx->in;
    uint32_t count = 0;
    *b = (struct bounds){0};
    b->starts = dyno_infer_elems(ctx, STARTS, &count);
    const int64_t start_count =
        b->starts != NULL ? (int64_t)count : dyno_infer_vector_count(ctx, STARTS);
    if (start_count < 0)
        return DYNO_OK;
    if (start_count > ctx->in[0]->rank)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "there are %lld starts for %d dimensions",
                         (long long)start_count, ctx->in[0]->rank);
    b->count = (uint32_t)start_count;
    b->ends = dyno_infer_elems(ctx, ENDS, &count);
    if (b->ends != NULL && count != b->count)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "there are %u starts and %u ends", b->count,
                         count);
    DYNO_TRY(read_axes(ctx, b));
    b->steps_known = true;
    for (uint32_t i = 0; i < b->count; i++)
        b->steps[i] = 1;
    if (has(ctx->in_count, ins, STEPS)) {
        b->steps_known = dyno_infer_consts(ctx, STEPS, b->steps, DYNO_RANK_MAX, &count);
        if (b->steps_known && count != b->count)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "there are %u starts and %u steps", b->count,
                             count);
    }
    for (uint32_t i = 0; b->steps_known && i < b->count; i++)
        if (b->steps[i] == 0 || b->steps[i] == INT64_MIN)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "step %u is %s, must not be", i,
                             b->steps[i] == 0 ? "0" : "INT64_MIN");
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *const in = ctx->in[0];
    struct bounds b;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    for (uint32_t i = 1; i < ctx->in_count; i++)
        DYNO_TRY(dyno_infer_want(ctx, i, DYNO_WANT_INDEX));
    if (in->rank < 0)
        return dyno_infer_set(ctx, 0, in->dtype, -1, NULL);
    DYNO_TRY(read_bounds(ctx, &b));
    dyno_expr dims[DYNO_RANK_MAX];
    const bool placed = dyno_infer_vector_count(ctx, STARTS) >= 0 && b.axes_known;
    for (int i = 0; i < in->rank; i++)
        dims[i] = placed ? in->dims[i] : DYNO_EXPR_NONE;
    for (uint32_t i = 0; placed && i < b.count; i++) {
        const int axis = b.axes[i];
        if (b.starts == NULL || b.ends == NULL || !b.steps_known)
            dims[axis] = DYNO_EXPR_NONE;
        else
            dims[axis] = sliced_size(ctx, in->dims[axis], b.starts[i], b.ends[i], b.steps[i]);
    }
    DYNO_TRY(dyno_infer_set(ctx, 0, in->dtype, in->rank, dims));
    return dyno_infer_move_elems(ctx, reference, 1);
}

const struct dyno_op dyno_op_slice = {
    .onnx_name = "Slice",
    .domain = "",
    .since = 13,
    .in_min = 3,
    .in_max = 5,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
