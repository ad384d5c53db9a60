/* floor.c - y = greatest whole number not above x.  (ONNX Floor-13) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx,
                          &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_floor}, .f64 = floor});
}

const struct dyno_op dyno_op_floor = {
    .onnx_name = "Floor",
    .since = 13,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_floor,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
