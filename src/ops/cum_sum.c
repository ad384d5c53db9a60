/* cum_sum.c - y = sums of x up to each element along an axis.  (ONNX CumSum-14) */
#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"exclusive", DYNO_ATTR_I64, offsetof(struct dyno_cum_sum_attrs, exclusive), 0, NULL, 0},
    {"reverse", DYNO_ATTR_I64, offsetof(struct dyno_cum_sum_attrs, reverse), 0, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    int64_t value = 0;
    int axis = 0;
    uint32_t count = 0;
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_INDEX));
    if (ctx->in[0]->rank >= 0 && dyno_infer_consts(ctx, 1, &value, 1, &count))
        DYNO_TRY(dyno_infer_axis(ctx, value, ctx->in[0]->rank, &axis));
    return dyno_infer_unary_number(ctx);
}

/* One line of `size` elements, `step` apart, walked from `at` by `stride`. */
static void sum_line(const struct dyno_tensor *in, struct dyno_tensor *out, int64_t at,
                     int64_t stride, int64_t size, bool exclusive)
{
    const bool is_float = dyno_dtype_is_float(in->dtype);
    double sum_f64 = 0.0;
    uint64_t sum_i64 = 0;
    for (int64_t i = 0; i < size; i++, at += stride) {
        const double x = is_float ? dyno_elem_load_f64(in->dtype, in->data, (size_t)at) : 0.0;
        const uint64_t n = is_float ? 0 : (uint64_t)dyno_ref_i64(in, at);
        if (!exclusive) {
            sum_f64 += x;
            sum_i64 += n;
        }
        if (is_float)
            dyno_elem_store_f64(out->dtype, out->data, (size_t)at, sum_f64);
        else
            dyno_elem_store_i64(out->dtype, out->data, (size_t)at, (int64_t)sum_i64);
        if (exclusive) {
            sum_f64 += x;
            sum_i64 += n;
        }
    }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_cum_sum_attrs *const a = ctx->attrs;
    const struct dyno_tensor *const in = ctx->in[0];
    const int64_t value = dyno_ref_i64(ctx->in[1], 0);
    if (value < -in->rank || value >= in->rank)
        return DYNO_FAIL(ctx->err, DYNO_E_ARG, "axis %lld is outside [%d, %d)", (long long)value,
                         -in->rank, in->rank);
    const int axis = dyno_ref_axis(value, in->rank);
    int64_t strides[DYNO_RANK_MAX];
    int64_t lines[DYNO_RANK_MAX];
    dyno_ref_strides(in->rank, in->dims, strides);
    int64_t line_count = 1;
    for (int i = 0; i < in->rank; i++) {
        lines[i] = i == axis ? 1 : in->dims[i];
        line_count *= lines[i];
    }
    const int64_t size = in->dims[axis];
    struct dyno_walk walk;
    dyno_walk_init(&walk, in->rank, lines);
    dyno_walk_add_strides(&walk, a->reverse != 0 ? (size - 1) * strides[axis] : 0, strides);
    for (int64_t i = 0; i < line_count; i++, dyno_walk_next(&walk))
        sum_line(in, &ctx->out[0], walk.at[0], a->reverse != 0 ? -strides[axis] : strides[axis],
                 size, a->exclusive != 0);
    return DYNO_OK;
}

const struct dyno_op dyno_op_cum_sum = {
    .onnx_name = "CumSum",
    .since = 14,
    DYNO_BINARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_cum_sum_attrs),
    .infer = infer,
    .reference = reference,
};
