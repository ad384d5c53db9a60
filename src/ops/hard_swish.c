/* hard_swish.c - y = x * max(0, min(1, x / 6 + 1/2)).  (ONNX HardSwish-22) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static double f64(double a)
{
    return a * fmax(0.0, fmin(1.0, a / 6.0 + 0.5));
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx,
                          &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_hardswish}, .f64 = f64});
}

const struct dyno_op dyno_op_hard_swish = {
    .onnx_name = "HardSwish",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_hardswish,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
