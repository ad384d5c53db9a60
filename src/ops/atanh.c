/* atanh.c - y = area hyperbolic tangent of x.  (ONNX Atanh-22) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = {.pw = -1}, .f64 = atanh});
}

const struct dyno_op dyno_op_atanh = {
    .onnx_name = "Atanh",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = -1,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
