/* tanh.c - y = hyperbolic tangent of x.  (ONNX Tanh-13) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_tanh}, .f64 = tanh});
}

const struct dyno_op dyno_op_tanh = {
    .onnx_name = "Tanh",
    .since = 13,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_tanh,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
