/* global_average_pool.c - GlobalAveragePool-22: the mean of each channel's plane. */
#include "ops/pool.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_global_pooling_run(ctx, &dyno_pooling_average, 0);
}

const struct dyno_op dyno_op_global_average_pool = {
    .onnx_name = "GlobalAveragePool",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = -1,
    .infer = dyno_global_pooling_infer,
    .reference = reference,
};
