/* sin.c - y = sine of x.  (ONNX Sin-22) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_sin}, .f64 = sin});
}

const struct dyno_op dyno_op_sin = {
    .onnx_name = "Sin",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_sin,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
