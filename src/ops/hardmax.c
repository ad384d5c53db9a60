/* hardmax.c - Hardmax-13: 1 at the first greatest value along one axis, 0 elsewhere. */
#include "ops/softmax.h"

static void row(double *values, int64_t count)
{
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (values[i] > values[best])
            best = i;
    for (int64_t i = 0; i < count; i++)
        values[i] = i == best ? 1 : 0;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_softmax_run(ctx, row);
}

const struct dyno_op dyno_op_hardmax = {
    .onnx_name = "Hardmax",
    .since = 13,
    DYNO_SOFTMAX_OP,
    .reference = reference,
};
