/* global_average_pool.c - GlobalAveragePool-22: the mean of each channel's plane. */
#include "ops/pool.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_global_pooling_run(ctx, &dyno_pooling_average, 0);
}

const struct dyno_op dyno_op_global_average_pool = {
    .onnx_name = "GlobalAveragePool",
    .domain = "",
    .since = 22,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .infer = dyno_global_pooling_infer,
    .reference = reference,
};
