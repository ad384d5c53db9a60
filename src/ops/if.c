/* if.c - one of two regions runs, as the condition says.  (ONNX If-25) */
#include "ops/regions.h"

enum dyno_status dyno_regions_infer(struct dyno_infer *ctx)
{
    for (uint32_t i = 0; i < ctx->out_count; i++)
        ctx->out[i] = (struct dyno_type){.rank = -1};
    return DYNO_OK;
}

const struct dyno_op dyno_op_if = {
    .onnx_name = "If",
    .domain = "",
    .since = 25,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = DYNO_OP_INPUTS_MAX,
    .flags = DYNO_OP_REGIONS,
    .pw = -1,
    .infer = dyno_regions_infer,
};
