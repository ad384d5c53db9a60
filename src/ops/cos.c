/* cos.c - y = cosine of x.  (ONNX Cos-22) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_cos}, .f64 = cos});
}

const struct dyno_op dyno_op_cos = {
    .onnx_name = "Cos",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_cos,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
