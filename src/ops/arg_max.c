/* arg_max.c - ArgMax-13: where the greatest value of an axis is. */
#include "ops/reduce.h"

#define FIELD(name) offsetof(struct dyno_arg_reduce_attrs, name)
static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, FIELD(axis), 0, NULL, 0},
    {"keepdims", DYNO_ATTR_I64, FIELD(keepdims), 1, NULL, 0},
    {"select_last_index", DYNO_ATTR_I64, FIELD(select_last_index), 0, NULL, 0},
};

static bool better(double a, double b)
{
    return a > b;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_arg_reduce_run(ctx, better);
}

const struct dyno_op dyno_op_arg_max = {
    .onnx_name = "ArgMax",
    .domain = "",
    .since = 13,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_arg_reduce_attrs),
    .infer = dyno_arg_reduce_infer,
    .reference = reference,
};
