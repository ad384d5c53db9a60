/* arg_min.c - ArgMin-13: where the least value of an axis is. */
#include "ops/reduce.h"

static bool better(double a, double b)
{
    return a < b;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_arg_reduce_run(ctx, better);
}

const struct dyno_op dyno_op_arg_min = {
    .onnx_name = "ArgMin",
    .since = 13,
    DYNO_ARG_REDUCE_OP,
    .reference = reference,
};
