/* softmax_cross_entropy_loss.c - SoftmaxCrossEntropyLoss-13: the loss of LogSoftmax over axis 1. */
#include <math.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/loss.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_loss_attrs, name)
static const struct dyno_attr attrs[] = {
    {"ignore_index", DYNO_ATTR_I64, FIELD(ignore_index), (double)DYNO_LOSS_IGNORE_NONE, NULL, 0},
    {"reduction", DYNO_ATTR_ENUM, FIELD(reduction), DYNO_LOSS_MEAN, dyno_loss_reduction_names, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *x = ctx->in[0];
    DYNO_TRY(dyno_loss_infer(ctx));
    return dyno_infer_set(ctx, 1, x->dtype, x->rank, x->dims);
}

/* In place, over axis 1 of [n, classes, inner]. */
static void log_softmax(double *values, int64_t n, int64_t classes, int64_t inner)
{
    for (int64_t r = 0; r < n * inner; r++) {
        double *row = values + r / inner * classes * inner + r % inner;
        double max = -INFINITY;
        double sum = 0;
        for (int64_t c = 0; c < classes; c++)
            max = fmax(max, row[c * inner]);
        for (int64_t c = 0; c < classes; c++)
            sum += exp(row[c * inner] - max);
        for (int64_t c = 0; c < classes; c++)
            row[c * inner] -= max + log(sum);
    }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *x = ctx->in[0];
    const int64_t outer = x->dims[0] * x->dims[1];
    double *values = dyno_values_load(x);
    if (values == NULL)
        return DYNO_NOMEM(ctx->err);
    log_softmax(values, x->dims[0], x->dims[1], outer > 0 ? dyno_tensor_count(x) / outer : 0);
    if (ctx->out_count > 1)
        dyno_values_store(&ctx->out[1], values);
    const enum dyno_status status = dyno_loss_run(ctx, values);
    dyno_free(values);
    return status;
}

const struct dyno_op dyno_op_softmax_cross_entropy_loss = {
    .onnx_name = "SoftmaxCrossEntropyLoss",
    .domain = "",
    .since = 13,
    .in_min = 2,
    .in_max = 3,
    .out_min = 1,
    .out_max = 2,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_loss_attrs),
    .infer = infer,
    .reference = reference,
};
