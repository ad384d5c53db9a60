/* sigmoid.c - y = 1 / (1 + e^-x).  (ONNX Sigmoid-13) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static double f64(double a)
{
    return 1.0 / (1.0 + exp(-a));
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx,
                          &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_sigmoid}, .f64 = f64});
}

const struct dyno_op dyno_op_sigmoid = {
    .onnx_name = "Sigmoid",
    .since = 13,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_sigmoid,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
