/* layer_normalization.c - LayerNormalization-17: normalise axes [axis, rank), scale and shift. */
#include <math.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/norm.h"
#include "ops/ref.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_layer_norm_attrs, name)
static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, FIELD(axis), -1, NULL, 0},
    {"epsilon", DYNO_ATTR_F32, FIELD(epsilon), 1e-5, NULL, 0},
    {"stash_type", DYNO_ATTR_I64, FIELD(stash_type), DYNO_F32, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_layer_norm_attrs *a = ctx->attrs;
    const struct dyno_type *x = ctx->in[0];
    int axis = 0;
    DYNO_TRY(dyno_check_classes(ctx, 0, 2, DYNO_WANT_FLOAT));
    if (a->stash_type != DYNO_F32 && a->stash_type != DYNO_BF16)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "stash_type is %lld, must be 1 (f32) or 16 (bf16)",
                         (long long)a->stash_type);
    if (x->rank >= 0)
        DYNO_TRY(dyno_infer_axis(ctx, a->axis, x->rank, &axis));
    DYNO_TRY(dyno_norm_split(ctx, 1, "scale", axis));
    DYNO_TRY(dyno_norm_split(ctx, 2, "bias", axis));
    dyno_expr dims[DYNO_RANK_MAX];
    for (int i = 0; i < x->rank; i++)
        dims[i] = i < axis ? x->dims[i] : dyno_expr_const(ctx->exprs, 1);
    const enum dyno_dtype stash = a->stash_type == DYNO_BF16 ? DYNO_BF16 : DYNO_F32;
    DYNO_TRY(dyno_infer_set(ctx, 0, x->dtype, x->rank, x->dims));
    DYNO_TRY(dyno_infer_set(ctx, 1, stash, x->rank, dims));
    return dyno_infer_set(ctx, 2, stash, x->rank, dims);
}

/* y = values * scale + bias, both broadcast to x's shape. */
static void scale_and_shift(struct dyno_ref *ctx, const double *values)
{
    const struct dyno_tensor *scale = ctx->in[1];
    const struct dyno_tensor *bias = ctx->in_count > 2 ? ctx->in[2] : NULL;
    struct dyno_tensor *out = &ctx->out[0];
    const int64_t count = dyno_tensor_count(out);
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, out->dims);
    dyno_walk_add(&walk, scale);
    if (bias != NULL)
        dyno_walk_add(&walk, bias);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk)) {
        double y = values[i] * dyno_norm_load(scale, walk.at[0]);
        if (bias != NULL)
            y += dyno_norm_load(bias, walk.at[1]);
        dyno_values_store_at(out, i, &y, 1);
    }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_layer_norm_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    const int axis = dyno_ref_axis(a->axis, x->rank);
    int64_t count = 1;
    for (int i = axis; i < x->rank; i++)
        count *= x->dims[i];
    const int64_t rows = count > 0 ? dyno_tensor_count(x) / count : 0;
    double *values = dyno_values_load(x);
    if (values == NULL)
        return DYNO_NOMEM(ctx->err);
    for (int64_t r = 0; r < rows; r++) {
        double *row = values + r * count;
        double mean = 0;
        double var = 0;
        dyno_norm_moments(row, count, &mean, &var);
        const double inverse = 1.0 / sqrt(var + (double)a->epsilon);
        if (ctx->out_count > 1)
            dyno_values_store_at(&ctx->out[1], r, &mean, 1);
        if (ctx->out_count > 2)
            dyno_values_store_at(&ctx->out[2], r, &inverse, 1);
        for (int64_t i = 0; i < count; i++)
            row[i] = (row[i] - mean) * inverse;
    }
    scale_and_shift(ctx, values);
    dyno_free(values);
    return DYNO_OK;
}

const struct dyno_op dyno_op_layer_normalization = {
    .onnx_name = "LayerNormalization",
    .domain = "",
    .since = 17,
    .in_min = 2,
    .in_max = 3,
    .out_min = 1,
    .out_max = 3,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_layer_norm_attrs),
    .infer = infer,
    .reference = reference,
};
