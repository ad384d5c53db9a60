/* instance_normalization.c - InstanceNormalization-22: normalise each (n, c) plane. */
#include <math.h>

#include "base/mem.h"
#include "ops/norm.h"
#include "ops/values.h"

static const struct dyno_attr attrs[] = {
    {"epsilon", DYNO_ATTR_F32, offsetof(struct dyno_instance_norm_attrs, epsilon), 1e-5, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    static const char *const names[] = {"scale", "bias"};
    return dyno_norm_infer_channels(ctx, names);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_instance_norm_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    double *values = dyno_values_load(x);
    if (values == NULL)
        return DYNO_NOMEM(ctx->err);
    const int64_t planes = x->dims[0] * x->dims[1];
    const int64_t size = planes > 0 ? dyno_tensor_count(x) / planes : 0;
    for (int64_t p = 0; p < planes; p++) {
        double mean = 0;
        double var = 0;
        dyno_norm_moments(values + p * size, size, &mean, &var);
        const int64_t c = p % x->dims[1];
        dyno_norm_affine(values + p * size, size, mean, 1.0 / sqrt(var + (double)a->epsilon),
                         dyno_norm_load(ctx->in[1], c), dyno_norm_load(ctx->in[2], c), &ctx->out[0],
                         p * size);
    }
    dyno_free(values);
    return DYNO_OK;
}

const struct dyno_op dyno_op_instance_normalization = {
    .onnx_name = "InstanceNormalization",
    .domain = "",
    .since = 22,
    .in_min = 3,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_instance_norm_attrs),
    .infer = infer,
    .reference = reference,
};
