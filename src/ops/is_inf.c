/* is_inf.c - y = whether x is infinite, of the signs asked for.  (ONNX IsInf-20) */
#include <math.h>

#include "ops/elementwise.h"
#include "ops/infer.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"detect_negative", DYNO_ATTR_I64, offsetof(struct dyno_is_inf_attrs, detect_negative), 1, NULL,
     0},
    {"detect_positive", DYNO_ATTR_I64, offsetof(struct dyno_is_inf_attrs, detect_positive), 1, NULL,
     0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_FLOAT));
    return dyno_infer_broadcast_to(ctx, DYNO_BOOL);
}

static double f64(double a, double negative, double positive)
{
    return isinf(a) ? (a < 0.0 ? negative : positive) : 0.0;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_is_inf_attrs *const a = ctx->attrs;
    const struct dyno_pw_form form = {.pw = -1,
                                      .p = a->detect_negative != 0 ? 1.0F : 0.0F,
                                      .q = a->detect_positive != 0 ? 1.0F : 0.0F};
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = form, .f64_pq = f64});
}

const struct dyno_op dyno_op_is_inf = {
    .onnx_name = "IsInf",
    .since = 20,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_is_inf_attrs),
    .infer = infer,
    .reference = reference,
};
