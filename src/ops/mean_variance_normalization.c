/* mean_variance_normalization.c - MeanVarianceNormalization-13: (x - mean) / (std + 1e-9). */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/norm.h"
#include "ops/ref.h"
#include "ops/values.h"

static const struct dyno_attr attrs[] = {
    {"axes", DYNO_ATTR_I64S, offsetof(struct dyno_mean_variance_norm_attrs, axes), 0, NULL, 0},
};

static const int64_t default_axes[] = {0, 2, 3};

static struct dyno_i64s axes_of(const struct dyno_mean_variance_norm_attrs *a)
{
    const struct dyno_i64s fallback = {default_axes, DYNO_COUNT(default_axes)};
    return a->axes.at != NULL ? a->axes : fallback;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_i64s axes = axes_of(ctx->attrs);
    for (uint32_t i = 0; ctx->in[0]->rank >= 0 && i < axes.count; i++) {
        int axis = 0;
        DYNO_TRY(dyno_infer_axis(ctx, axes.at[i], ctx->in[0]->rank, &axis));
    }
    return dyno_infer_unary_float(ctx);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *x = ctx->in[0];
    const struct dyno_i64s axes = axes_of(ctx->attrs);
    int64_t kept[DYNO_RANK_MAX];
    int64_t strides[DYNO_RANK_MAX];
    memcpy(kept, x->dims, sizeof(kept));
    for (uint32_t i = 0; i < axes.count; i++)
        kept[dyno_ref_axis(axes.at[i], x->rank)] = 1;
    dyno_ref_strides(x->rank, kept, strides);
    int64_t groups = 1;
    for (int i = 0; i < x->rank; i++) {
        groups *= kept[i];
        if (kept[i] == 1)
            strides[i] = 0;
    }
    const int64_t total = dyno_tensor_count(x);
    double *values = dyno_values_load(x);
    double *mean = dyno_values_alloc(groups);
    double *var = dyno_values_alloc(groups);
    enum dyno_status status = DYNO_OK;
    if (values == NULL || mean == NULL || var == NULL) {
        status = DYNO_NOMEM(ctx->err);
        goto out;
    }
    for (int64_t g = 0; g < groups; g++)
        mean[g] = var[g] = 0;
    const double size = (double)(groups > 0 ? total / groups : 0);
    struct dyno_walk walk;
    dyno_walk_init(&walk, x->rank, x->dims);
    dyno_walk_add_strides(&walk, 0, strides);
    const struct dyno_walk start = walk;
    for (int64_t i = 0; i < total; i++, dyno_walk_next(&walk))
        mean[walk.at[0]] += values[i] / size;
    walk = start;
    for (int64_t i = 0; i < total; i++, dyno_walk_next(&walk)) {
        const double centred = values[i] - mean[walk.at[0]];
        var[walk.at[0]] += centred * centred / size;
    }
    walk = start;
    for (int64_t i = 0; i < total; i++, dyno_walk_next(&walk))
        values[i] = (values[i] - mean[walk.at[0]]) / (sqrt(var[walk.at[0]]) + 1e-9);
    dyno_values_store(&ctx->out[0], values);
out:
    dyno_free(var);
    dyno_free(mean);
    dyno_free(values);
    return status;
}

const struct dyno_op dyno_op_mean_variance_normalization = {
    .onnx_name = "MeanVarianceNormalization",
    .since = 13,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_mean_variance_norm_attrs),
    .infer = infer,
    .reference = reference,
};
