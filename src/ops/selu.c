/* selu.c - y = gamma * (x > 0 ? x : alpha * (e^x - 1)).  (ONNX Selu-22) */
#include <math.h>

#include "ops/activation.h"
#include "ops/infer.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"alpha", DYNO_ATTR_F32, offsetof(struct dyno_selu_attrs, alpha), 1.67326319217681884765625,
     NULL, 0},
    {"gamma", DYNO_ATTR_F32, offsetof(struct dyno_selu_attrs, gamma), 1.05070102214813232421875,
     NULL, 0},
};

static struct dyno_pw_form pw_form(const void *attributes)
{
    const struct dyno_selu_attrs *const a = attributes;
    return (struct dyno_pw_form){.pw = -1, .p = a->alpha, .q = a->gamma};
}

static double f64(double a, double p, double q)
{
    return q * (a > 0.0 ? a : p * expm1(a));
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx,
                          &(struct dyno_ref_unary){.form = pw_form(ctx->attrs), .f64_pq = f64});
}

const struct dyno_op dyno_op_selu = {
    .onnx_name = "Selu",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_selu_attrs),
    .infer = dyno_infer_unary_float,
    .reference = reference,
    .pw_form = pw_form,
};
