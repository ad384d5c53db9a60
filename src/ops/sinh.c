/* sinh.c - y = hyperbolic sine of x.  (ONNX Sinh-22) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = {.pw = -1}, .f64 = sinh});
}

const struct dyno_op dyno_op_sinh = {
    .onnx_name = "Sinh",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = -1,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
