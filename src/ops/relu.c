/* relu.c - y = max(0, x).  (ONNX Relu-14) */
#include "ops/infer.h"
#include "ops/ref.h"

static double f64(double a)
{
    return a < 0.0 ? 0.0 : a;
}

static int64_t i64(int64_t a)
{
    return a < 0 ? 0 : a;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(
        ctx, &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_relu}, .f64 = f64, .i64 = i64});
}

const struct dyno_op dyno_op_relu = {
    .onnx_name = "Relu",
    .since = 14,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_relu,
    .infer = dyno_infer_unary_number,
    .reference = reference,
};
