/* gelu.c - y = x * P(normal variable < x), by erf or by its tanh approximation.  (ONNX Gelu-20) */
#include <math.h>

#include "ops/activation.h"
#include "ops/infer.h"
#include "ops/ref.h"

static const char *const kinds[] = {"none", "tanh", NULL};

static const struct dyno_attr attrs[] = {
    {"approximate", DYNO_ATTR_ENUM, offsetof(struct dyno_gelu_attrs, approximate), DYNO_GELU_ERF,
     kinds, 0},
};

static struct dyno_pw_form pw_form(const void *attributes)
{
    const struct dyno_gelu_attrs *const a = attributes;
    const bool is_tanh = a->approximate == DYNO_GELU_TANH;
    return (struct dyno_pw_form){.pw = is_tanh ? DYNO_PW_gelu_tanh : DYNO_PW_gelu_erf};
}

static double by_erf(double a)
{
    return 0.5 * a * (1.0 + erf(a * 0.70710678118654752440));
}

static double by_tanh(double a)
{
    return 0.5 * a * (1.0 + tanh(0.79788456080286535588 * (a + 0.044715 * a * a * a)));
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_gelu_attrs *const a = ctx->attrs;
    return dyno_ref_unary(
        ctx, &(struct dyno_ref_unary){.form = pw_form(a),
                                      .f64 = a->approximate == DYNO_GELU_TANH ? by_tanh : by_erf});
}

const struct dyno_op dyno_op_gelu = {
    .onnx_name = "Gelu",
    .since = 20,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_gelu_erf,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_gelu_attrs),
    .infer = dyno_infer_unary_float,
    .reference = reference,
    .pw_form = pw_form,
};
