/* shrink.c - y = x < -lambd ? x + bias : (x > lambd ? x - bias : 0).  (ONNX Shrink-9) */
#include "ops/activation.h"
#include "ops/infer.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"bias", DYNO_ATTR_F32, offsetof(struct dyno_shrink_attrs, bias), 0.0, NULL, 0},
    {"lambd", DYNO_ATTR_F32, offsetof(struct dyno_shrink_attrs, lambd), 0.5, NULL, 0},
};

static struct dyno_pw_form pw_form(const void *attributes)
{
    const struct dyno_shrink_attrs *const a = attributes;
    return (struct dyno_pw_form){.pw = -1, .p = a->bias, .q = a->lambd};
}

static double f64(double a, double p, double q)
{
    return a < -q ? a + p : (a > q ? a - p : 0.0);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx,
                          &(struct dyno_ref_unary){.form = pw_form(ctx->attrs), .f64_pq = f64});
}

const struct dyno_op dyno_op_shrink = {
    .onnx_name = "Shrink",
    .since = 9,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_shrink_attrs),
    .infer = dyno_infer_unary_number,
    .reference = reference,
    .pw_form = pw_form,
};
