/* sqrt.c - y = square root of x.  (ONNX Sqrt-13) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_sqrt}, .f64 = sqrt});
}

const struct dyno_op dyno_op_sqrt = {
    .onnx_name = "Sqrt",
    .since = 13,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_sqrt,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
