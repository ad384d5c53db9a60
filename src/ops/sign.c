/* sign.c - y = -1, 0 or 1.  (ONNX Sign-13) */
#include "ops/infer.h"
#include "ops/ref.h"

/* NaN stays what it is. */
static double f64(double a)
{
    return a > 0.0 ? 1.0 : (a < 0.0 ? -1.0 : a);
}

static int64_t i64(int64_t a)
{
    return (a > 0) - (a < 0);
}

static int64_t u64(int64_t a)
{
    return a != 0;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const bool is_u64 = ctx->in[0]->dtype == DYNO_U64;
    return dyno_ref_unary(
        ctx, &(struct dyno_ref_unary){.form = {.pw = -1}, .f64 = f64, .i64 = is_u64 ? u64 : i64});
}

const struct dyno_op dyno_op_sign = {
    .onnx_name = "Sign",
    .since = 13,
    DYNO_UNARY_OP,
    .pw = -1,
    .infer = dyno_infer_unary_number,
    .reference = reference,
};
