/* round.c - y = nearest whole number, halves to even.  (ONNX Round-22) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(
        ctx, &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_round}, .f64 = nearbyint});
}

const struct dyno_op dyno_op_round = {
    .onnx_name = "Round",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_round,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
