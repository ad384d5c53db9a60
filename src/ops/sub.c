/* sub.c - y = a - b, broadcast.  (ONNX Sub-14) */
#include "ops/infer.h"
#include "ops/ref.h"

static double f64(double a, double b)
{
    return a - b;
}

static int64_t i64(int64_t a, int64_t b, bool is_u64)
{
    (void)is_u64;
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    return dyno_infer_arith_fold(ctx, dyno_expr_sub);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_binary(ctx,
                           &(struct dyno_ref_binary){.pw = DYNO_PW_sub, .f64 = f64, .i64 = i64});
}

const struct dyno_op dyno_op_sub = {
    .onnx_name = "Sub",
    .since = 14,
    DYNO_BINARY_OP,
    .pw = DYNO_PW_sub,
    .infer = infer,
    .reference = reference,
};
