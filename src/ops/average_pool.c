/* average_pool.c - AveragePool-22: the mean of each window. */
#include "ops/pool.h"

#define FIELD(name) offsetof(struct dyno_pooling_attrs, name)
static const struct dyno_attr attrs[] = {
    {"auto_pad", DYNO_ATTR_ENUM, FIELD(auto_pad), 0, dyno_auto_pad_names, 0},
    {"ceil_mode", DYNO_ATTR_I64, FIELD(ceil_mode), 0, NULL, 0},
    {"count_include_pad", DYNO_ATTR_I64, FIELD(count_include_pad), 0, NULL, 0},
    {"dilations", DYNO_ATTR_I64S, FIELD(dilations), 0, NULL, 0},
    {"kernel_shape", DYNO_ATTR_I64S, FIELD(kernel_shape), 0, NULL, 1},
    {"pads", DYNO_ATTR_I64S, FIELD(pads), 0, NULL, 0},
    {"strides", DYNO_ATTR_I64S, FIELD(strides), 0, NULL, 0},
};

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_pooling_run(ctx, &dyno_pooling_average);
}

const struct dyno_op dyno_op_average_pool = {
    .onnx_name = "AveragePool",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_pooling_attrs),
    .infer = dyno_pooling_infer,
    .reference = reference,
};
