/* rms_normalization.c - RMSNormalization-23: x / rms(x) * scale over axes [axis, rank). */
#include <math.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/norm.h"
#include "ops/ref.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_rms_norm_attrs, name)
static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, FIELD(axis), -1, NULL, 0},
    {"epsilon", DYNO_ATTR_F32, FIELD(epsilon), 1e-5, NULL, 0},
    {"stash_type", DYNO_ATTR_I64, FIELD(stash_type), DYNO_F32, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_rms_norm_attrs *a = ctx->attrs;
    const struct dyno_type *x = ctx->in[0];
    int axis = 0;
    DYNO_TRY(dyno_check_classes(ctx, 0, 2, DYNO_WANT_FLOAT));
    if (x->rank >= 0)
        DYNO_TRY(dyno_infer_axis(ctx, a->axis, x->rank, &axis));
    DYNO_TRY(dyno_norm_split(ctx, 1, "scale", axis));
    return dyno_infer_set(ctx, 0, ctx->in[1]->dtype, x->rank, x->dims);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_rms_norm_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    const struct dyno_tensor *scale = ctx->in[1];
    const int axis = dyno_ref_axis(a->axis, x->rank);
    int64_t count = 1;
    for (int i = axis; i < x->rank; i++)
        count *= x->dims[i];
    const int64_t rows = count > 0 ? dyno_tensor_count(x) / count : 0;
    double *values = dyno_values_load(x);
    if (values == NULL)
        return DYNO_NOMEM(ctx->err);
    struct dyno_walk walk;
    dyno_walk_init(&walk, x->rank, x->dims);
    dyno_walk_add(&walk, scale);
    for (int64_t r = 0; r < rows; r++) {
        double square = 0;
        for (int64_t i = 0; i < count; i++)
            square += values[r * count + i] * values[r * count + i];
        const double factor = 1.0 / sqrt(square / (double)count + (double)a->epsilon);
        for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk))
            values[r * count + i] *= factor * dyno_norm_load(scale, walk.at[0]);
    }
    dyno_values_store(&ctx->out[0], values);
    dyno_free(values);
    return DYNO_OK;
}

const struct dyno_op dyno_op_rms_normalization = {
    .onnx_name = "RMSNormalization",
    .since = 23,
    DYNO_BINARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_rms_norm_attrs),
    .infer = infer,
    .reference = reference,
};
