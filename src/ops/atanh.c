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
    .domain = "",
    .since = 22,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
