/* exp.c - y = e^x.  (ONNX Exp-13) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_exp}, .f64 = exp});
}

const struct dyno_op dyno_op_exp = {
    .onnx_name = "Exp",
    .since = 13,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_exp,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
