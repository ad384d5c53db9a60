/* log.c - y = natural logarithm of x.  (ONNX Log-13) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_log}, .f64 = log});
}

const struct dyno_op dyno_op_log = {
    .onnx_name = "Log",
    .since = 13,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_log,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
