/* batch_normalization.c - BatchNormalization-15 in inference: a given mean and variance a channel.
 */
#include <math.h>

#include "base/mem.h"
#include "ops/norm.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_batch_norm_attrs, name)
static const struct dyno_attr attrs[] = {
    {"epsilon", DYNO_ATTR_F32, FIELD(epsilon), 1e-5, NULL, 0},
    {"momentum", DYNO_ATTR_F32, FIELD(momentum), 0.9, NULL, 0},
    {"training_mode", DYNO_ATTR_I64, FIELD(training_mode), 0, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    static const char *const names[] = {"scale", "bias", "mean", "var"};
    const struct dyno_batch_norm_attrs *a = ctx->attrs;
    if (a->training_mode != 0)
        return DYNO_FAIL(ctx->err, DYNO_E_UNSUPPORTED,
                         "training_mode is %lld; only inference (0) is supported",
                         (long long)a->training_mode);
    return dyno_norm_infer_channels(ctx, names);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_batch_norm_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    double *values = dyno_values_load(x);
    if (values == NULL)
        return DYNO_NOMEM(ctx->err);
    const int64_t planes = x->dims[0] * x->dims[1];
    const int64_t size = planes > 0 ? dyno_tensor_count(x) / planes : 0;
    for (int64_t p = 0; p < planes; p++) {
        const int64_t c = p % x->dims[1];
        const double var = dyno_norm_load(ctx->in[4], c);
        dyno_norm_affine(values + p * size, size, dyno_norm_load(ctx->in[3], c),
                         1.0 / sqrt(var + (double)a->epsilon), dyno_norm_load(ctx->in[1], c),
                         dyno_norm_load(ctx->in[2], c), &ctx->out[0], p * size);
    }
    dyno_free(values);
    return DYNO_OK;
}

const struct dyno_op dyno_op_batch_normalization = {
    .onnx_name = "BatchNormalization",
    .domain = "",
    .since = 15,
    .in_min = 5,
    .in_max = 5,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_batch_norm_attrs),
    .infer = infer,
    .reference = reference,
};
