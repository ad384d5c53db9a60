/* softplus.c - y = ln(1 + e^x).  (ONNX Softplus-22) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static double f64(double a)
{
    return a > 40.0 ? a : log1p(exp(a));
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx,
                          &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_softplus}, .f64 = f64});
}

const struct dyno_op dyno_op_softplus = {
    .onnx_name = "Softplus",
    .domain = "",
    .since = 22,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .pw = DYNO_PW_softplus,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
