/* hard_sigmoid.c - y = max(0, min(1, alpha * x + beta)).  (ONNX HardSigmoid-22) */
#include <math.h>

#include "ops/activation.h"
#include "ops/infer.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"alpha", DYNO_ATTR_F32, offsetof(struct dyno_hard_sigmoid_attrs, alpha), 0.2, NULL, 0},
    {"beta", DYNO_ATTR_F32, offsetof(struct dyno_hard_sigmoid_attrs, beta), 0.5, NULL, 0},
};

static struct dyno_pw_form pw_form(const void *attributes)
{
    const struct dyno_hard_sigmoid_attrs *const a = attributes;
    return (struct dyno_pw_form){.pw = DYNO_PW_hardsigmoid, .p = a->alpha, .q = a->beta};
}

static double f64(double a, double p, double q)
{
    return fmax(0.0, fmin(1.0, p * a + q));
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx,
                          &(struct dyno_ref_unary){.form = pw_form(ctx->attrs), .f64_pq = f64});
}

const struct dyno_op dyno_op_hard_sigmoid = {
    .onnx_name = "HardSigmoid",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_hardsigmoid,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_hard_sigmoid_attrs),
    .infer = dyno_infer_unary_float,
    .reference = reference,
    .pw_form = pw_form,
};
