/* swish.c - y = x / (1 + e^(-alpha * x)).  (ONNX Swish-24) */
#include <math.h>

#include "ops/activation.h"
#include "ops/infer.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"alpha", DYNO_ATTR_F32, offsetof(struct dyno_alpha_attrs, alpha), 1.0, NULL, 0},
};

static struct dyno_pw_form pw_form(const void *attributes)
{
    const struct dyno_alpha_attrs *const a = attributes;
    return (struct dyno_pw_form){.pw = DYNO_PW_silu, .p = a->alpha};
}

static double f64(double a, double p, double q)
{
    (void)q;
    return a / (1.0 + exp(-p * a));
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx,
                          &(struct dyno_ref_unary){.form = pw_form(ctx->attrs), .f64_pq = f64});
}

const struct dyno_op dyno_op_swish = {
    .onnx_name = "Swish",
    .since = 24,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_silu,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_alpha_attrs),
    .infer = dyno_infer_unary_float,
    .reference = reference,
    .pw_form = pw_form,
};
