/* thresholded_relu.c - y = x > alpha ? x : 0.  (ONNX ThresholdedRelu-22) */
#include "ops/activation.h"
#include "ops/infer.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"alpha", DYNO_ATTR_F32, offsetof(struct dyno_alpha_attrs, alpha), 1.0, NULL, 0},
};

static struct dyno_pw_form pw_form(const void *attributes)
{
    const struct dyno_alpha_attrs *const a = attributes;
    return (struct dyno_pw_form){.pw = -1, .p = a->alpha};
}

static double f64(double a, double p, double q)
{
    (void)q;
    return a > p ? a : 0.0;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx,
                          &(struct dyno_ref_unary){.form = pw_form(ctx->attrs), .f64_pq = f64});
}

const struct dyno_op dyno_op_thresholded_relu = {
    .onnx_name = "ThresholdedRelu",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_alpha_attrs),
    .infer = dyno_infer_unary_float,
    .reference = reference,
    .pw_form = pw_form,
};
