/* softsign.c - y = x / (1 + |x|).  (ONNX Softsign-22) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static double f64(double a)
{
    return a / (1.0 + fabs(a));
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx,
                          &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_softsign}, .f64 = f64});
}

const struct dyno_op dyno_op_softsign = {
    .onnx_name = "Softsign",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_softsign,
    .infer = dyno_infer_unary_float,
    .reference = reference,
};
