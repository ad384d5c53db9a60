/* erf.c - y = the error function of x.  (ONNX Erf-13) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_erf}, .f64 = erf});
}

const struct dyno_op dyno_op_erf = {
    .onnx_name = "Erf",
    .domain = "",
    .since = 13,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .pw = DYNO_PW_erf,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
