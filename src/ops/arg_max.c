/* arg_max.c - ArgMax-13: where the greatest value of an axis is. */
#include "ops/reduce.h"

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
    .since = 13,
    DYNO_ARG_REDUCE_OP,
    .reference = reference,
};
