/* lp_normalization.c - LpNormalization-22: x / ||x||_p along one axis (0/0 is NaN). */
#include <math.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/norm.h"
#include "ops/ref.h"
#include "ops/values.h"

static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, offsetof(struct dyno_lp_norm_attrs, axis), -1, NULL, 0},
    {"p", DYNO_ATTR_I64, offsetof(struct dyno_lp_norm_attrs, p), 2, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_lp_norm_attrs *a = ctx->attrs;
    int axis = 0;
    if (a->p != 1 && a->p != 2)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "p is %lld, must be 1 or 2", (long long)a->p);
    if (ctx->in[0]->rank >= 0)
        DYNO_TRY(dyno_infer_axis(ctx, a->axis, ctx->in[0]->rank, &axis));
    return dyno_infer_unary_float(ctx);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_lp_norm_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    const int64_t total = dyno_tensor_count(x);
    if (total == 0)
        return DYNO_OK;
    const int axis = dyno_ref_axis(a->axis, x->rank);
    const int64_t count = x->dims[axis];
    int64_t strides[DYNO_RANK_MAX];
    dyno_ref_strides(x->rank, x->dims, strides);
    const int64_t inner = strides[axis];
    double *values = dyno_values_load(x);
    if (values == NULL)
        return DYNO_NOMEM(ctx->err);
    for (int64_t r = 0; r < total / count; r++) {
        double *row = values + r / inner * inner * count + r % inner;
        double sum = 0;
        for (int64_t i = 0; i < count; i++)
            sum += a->p == 1 ? fabs(row[i * inner]) : row[i * inner] * row[i * inner];
        const double norm = a->p == 1 ? sum : sqrt(sum);
        for (int64_t i = 0; i < count; i++)
            row[i * inner] /= norm;
    }
    dyno_values_store(&ctx->out[0], values);
    dyno_free(values);
    return DYNO_OK;
}

const struct dyno_op dyno_op_lp_normalization = {
    .onnx_name = "LpNormalization",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_lp_norm_attrs),
    .infer = infer,
    .reference = reference,
};
