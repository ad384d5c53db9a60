/* group_normalization.c - GroupNormalization-21: normalise each group of channels; scale and bias
 * are of each channel. */
#include <math.h>

#include "base/mem.h"
#include "ops/norm.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_group_norm_attrs, name)
static const struct dyno_attr attrs[] = {
    {"epsilon", DYNO_ATTR_F32, FIELD(epsilon), 1e-5, NULL, 0},
    {"num_groups", DYNO_ATTR_I64, FIELD(num_groups), 1, NULL, 1},
    {"stash_type", DYNO_ATTR_I64, FIELD(stash_type), DYNO_F32, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    static const char *const names[] = {"scale", "bias"};
    const struct dyno_group_norm_attrs *a = ctx->attrs;
    int64_t channels = 0;
    if (a->num_groups < 1)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "num_groups is %lld, must be at least 1",
                         (long long)a->num_groups);
    if (dyno_dim_const(ctx, ctx->in[0], 1, &channels) && channels % a->num_groups != 0)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "num_groups %lld does not divide x's %lld channels",
                         (long long)a->num_groups, (long long)channels);
    return dyno_norm_infer_channels(ctx, names);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_group_norm_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    double *values = dyno_values_load(x);
    if (values == NULL)
        return DYNO_NOMEM(ctx->err);
    const int64_t planes = x->dims[0] * x->dims[1];
    const int64_t size = planes > 0 ? dyno_tensor_count(x) / planes : 0;
    const int64_t together = x->dims[1] / a->num_groups;
    for (int64_t p = 0; p < planes; p += together) {
        double mean = 0;
        double var = 0;
        dyno_norm_moments(values + p * size, size * together, &mean, &var);
        for (int64_t i = p; i < p + together; i++) {
            const int64_t c = i % x->dims[1];
            dyno_norm_affine(values + i * size, size, mean, 1.0 / sqrt(var + (double)a->epsilon),
                             dyno_norm_load(ctx->in[1], c), dyno_norm_load(ctx->in[2], c),
                             &ctx->out[0], i * size);
        }
    }
    dyno_free(values);
    return DYNO_OK;
}

const struct dyno_op dyno_op_group_normalization = {
    .onnx_name = "GroupNormalization",
    .domain = "",
    .since = 21,
    .in_min = 3,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_group_norm_attrs),
    .infer = infer,
    .reference = reference,
};
