/* log_softmax.c - LogSoftmax-13: x - max - log(sum exp(x - max)) along one axis. */
#include <math.h>

#include "ops/softmax.h"

static void row(double *values, int64_t count)
{
    double max = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        max = values[i] > max ? values[i] : max;
    for (int64_t i = 0; i < count; i++)
        sum += exp(values[i] - max);
    for (int64_t i = 0; i < count; i++)
        values[i] = values[i] - max - log(sum);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_softmax_run(ctx, row);
}

const struct dyno_op dyno_op_log_softmax = {
    .onnx_name = "LogSoftmax",
    .since = 13,
    DYNO_SOFTMAX_OP,
    .reference = reference,
};
