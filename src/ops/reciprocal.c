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
    .domain = "",
    .since = 13,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .pw = DYNO_PW_recip,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
