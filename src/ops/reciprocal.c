/* reciprocal.c - y = 1 / x.  (ONNX Reciprocal-13) */
#include "ops/infer.h"
#include "ops/ref.h"

static double f64(double a)
{
    return 1.0 / a;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_recip}, .f64 = f64});
}

const struct dyno_op dyno_op_reciprocal = {
    .onnx_name = "Reciprocal",
    .since = 13,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_recip,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
