/* ceil.c - y = least whole number not below x.  (ONNX Ceil-13) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_ceil}, .f64 = ceil});
}

const struct dyno_op dyno_op_ceil = {
    .onnx_name = "Ceil",
    .since = 13,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_ceil,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
