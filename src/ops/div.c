/* div.c - y = a / b, broadcast; integers truncate toward zero.  (ONNX Div-14) */
#include "ops/infer.h"
#include "ops/ref.h"

static double f64(double a, double b)
{
    return a / b;
}

static int64_t i64(int64_t a, int64_t b, bool is_u64)
{
    if (is_u64)
        return (int64_t)((uint64_t)a / (uint64_t)b);
    return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b; /* INT64_MIN / -1 wraps */
}

/* Truncation is floor where neither side is negative; the other signs are mirrored into that when
 * the divisor is a known positive number. */
static dyno_expr elem(struct dyno_infer *ctx, const dyno_expr *args)
{
    struct dyno_exprs *const exprs = ctx->exprs;
    int64_t a_min = 0;
    int64_t b_min = 0;
    int64_t max = 0;
    int64_t a = 0;
    int64_t b = 0;
    dyno_expr_range(exprs, args[0], &a_min, &max);
    dyno_expr_range(exprs, args[1], &b_min, &max);
    const bool b_known = dyno_expr_is_const(exprs, args[1], &b);
    if (dyno_expr_is_const(exprs, args[0], &a) && b_known)
        return b != 0 ? dyno_expr_const(exprs, i64(a, b, false)) : DYNO_EXPR_NONE;
    if (b_min <= 0)
        return DYNO_EXPR_NONE;
    const dyno_expr quotient = dyno_expr_floordiv(exprs, args[0], args[1]);
    if (a_min >= 0)
        return quotient;
    const dyno_expr zero = dyno_expr_const(exprs, 0);
    const dyno_expr mirrored =
        dyno_expr_floordiv(exprs, dyno_expr_sub(exprs, zero, args[0]), args[1]);
    return dyno_expr_select(exprs, dyno_expr_lt(exprs, args[0], zero),
                            dyno_expr_sub(exprs, zero, mirrored), quotient);
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_arith(ctx));
    return dyno_infer_map_elems(ctx, elem);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    DYNO_TRY(dyno_ref_check_divisor(ctx));
    return dyno_ref_binary(ctx,
                           &(struct dyno_ref_binary){.pw = DYNO_PW_div, .f64 = f64, .i64 = i64});
}

const struct dyno_op dyno_op_div = {
    .onnx_name = "Div",
    .since = 14,
    DYNO_BINARY_OP,
    .pw = DYNO_PW_div,
    .infer = infer,
    .reference = reference,
};
