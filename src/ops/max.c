/* max.c - y = the largest of the inputs, broadcast; NaN wins.  (ONNX Max-13) */
#include "ops/infer.h"
#include "ops/ref.h"

static double f64(double a, double b)
{
    return a != a ? a : (b > a || b != b ? b : a);
}

static int64_t i64(int64_t a, int64_t b, bool is_u64)
{
    return (is_u64 ? (uint64_t)a > (uint64_t)b : a > b) ? a : b;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    return dyno_infer_arith_fold(ctx, dyno_expr_max);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_variadic(ctx,
                             &(struct dyno_ref_binary){.pw = DYNO_PW_max, .f64 = f64, .i64 = i64});
}

const struct dyno_op dyno_op_max = {
    .onnx_name = "Max",
    .since = 13,
    DYNO_VARIADIC_OP,
    .flags = DYNO_OP_COMMUTES,
    .pw = DYNO_PW_max,
    .infer = infer,
    .reference = reference,
};
