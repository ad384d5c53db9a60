/* lrn.c - LRN-13: x / (bias + alpha/size * sum of x^2 over neighbouring channels)^beta. */
#include <math.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/norm.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_lrn_attrs, name)
static const struct dyno_attr attrs[] = {
    {"alpha", DYNO_ATTR_F32, FIELD(alpha), 1e-4, NULL, 0},
    {"beta", DYNO_ATTR_F32, FIELD(beta), 0.75, NULL, 0},
    {"bias", DYNO_ATTR_F32, FIELD(bias), 1, NULL, 0},
    {"size", DYNO_ATTR_I64, FIELD(size), 0, NULL, 1},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_lrn_attrs *a = ctx->attrs;
    if (a->size < 1 || a->size > INT32_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "size is %lld, must be at least 1",
                         (long long)a->size);
    if (ctx->in[0]->rank >= 0 && ctx->in[0]->rank < 2)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "x has rank %d, wants at least 2: N and C",
                         ctx->in[0]->rank);
    return dyno_infer_unary_float(ctx);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_lrn_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    const int64_t channels = x->dims[1];
    const int64_t planes = x->dims[0] * channels;
    const int64_t size = planes > 0 ? dyno_tensor_count(x) / planes : 0;
    double *values = dyno_values_load(x);
    if (values == NULL)
        return DYNO_NOMEM(ctx->err);
    for (int64_t p = 0; p < planes; p++) {
        const int64_t c = p % channels;
        const int64_t below = (a->size - 1) / 2;
        const int64_t above = a->size - 1 - below;
        const int64_t first = c > below ? c - below : 0;
        const int64_t last = c + above < channels ? c + above : channels - 1;
        for (int64_t i = 0; i < size; i++) {
            double square = 0;
            for (int64_t n = first; n <= last; n++) {
                const double v = values[(p - c + n) * size + i];
                square += v * v;
            }
            const double y =
                values[p * size + i] /
                pow((double)a->bias + (double)a->alpha / (double)a->size * square, (double)a->beta);
            dyno_values_store_at(&ctx->out[0], p * size + i, &y, 1);
        }
    }
    dyno_free(values);
    return DYNO_OK;
}

const struct dyno_op dyno_op_lrn = {
    .onnx_name = "LRN",
    .since = 13,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_lrn_attrs),
    .infer = infer,
    .reference = reference,
};
