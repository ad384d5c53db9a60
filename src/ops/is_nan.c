/* is_nan.c - y = whether x is not a number.  (ONNX IsNaN-20) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_FLOAT));
    return dyno_infer_broadcast_to(ctx, DYNO_BOOL);
}

static double f64(double a)
{
    return isnan(a) ? 1.0 : 0.0;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = {.pw = -1}, .f64 = f64});
}

const struct dyno_op dyno_op_is_nan = {
    .onnx_name = "IsNaN",
    .since = 20,
    DYNO_UNARY_OP,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
