/* mish.c - y = x * tanh(ln(1 + e^x)).  (ONNX Mish-22) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static double f64(double a)
{
    return a * tanh(a > 40.0 ? a : log1p(exp(a)));
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_mish}, .f64 = f64});
}

const struct dyno_op dyno_op_mish = {
    .onnx_name = "Mish",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_mish,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
