/* greater_or_equal.c - y = a >= b, broadcast.  (ONNX GreaterOrEqual-16) */
#include "ops/infer.h"
#include "ops/ref.h"

static double f64(double a, double b)
{
    return a >= b ? 1.0 : 0.0;
}

static int64_t i64(int64_t a, int64_t b, bool is_u64)
{
    return is_u64 ? (uint64_t)a >= (uint64_t)b : a >= b;
}

static dyno_expr elem(struct dyno_infer *ctx, const dyno_expr *args)
{
    const dyno_expr less = dyno_expr_lt(ctx->exprs, args[0], args[1]);
    return dyno_expr_sub(ctx->exprs, dyno_expr_const(ctx->exprs, 1), less);
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_NUMBER));
    return dyno_infer_compare(ctx, elem);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_binary(ctx, &(struct dyno_ref_binary){.pw = -1, .f64 = f64, .i64 = i64});
}

const struct dyno_op dyno_op_greater_or_equal = {
    .onnx_name = "GreaterOrEqual",
    .since = 16,
    DYNO_BINARY_OP,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
