/* loop.c - a region runs a number of times or while a condition holds, values carried along.
 * (ONNX Loop-25) */
#include "ops/regions.h"

const struct dyno_op dyno_op_loop = {
    .onnx_name = "Loop",
    .domain = "",
    .since = 25,
    .in_min = 0, /* trip count and condition may both be absent */
    .in_max = DYNO_OP_INPUTS_MAX,
    .out_min = 0,
    .out_max = DYNO_OP_INPUTS_MAX,
    .flags = DYNO_OP_REGIONS,
    .pw = -1,
    .infer = dyno_regions_infer,
};
