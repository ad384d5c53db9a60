/* reduce_log_sum.c - ReduceLogSum-18: the logarithm of the sum. */
#include <math.h>

#include "ops/reduce.h"

static double add(double state, double x)
{
    return state + x;
}

static double finish(double state, double count, double shift)
{
    (void)count;
    (void)shift;
    return log(state);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    static const struct dyno_reduce_rule rule = {
        .add = add,
        .finish = finish,
    };
    return dyno_reduce_run(ctx, &rule);
}

const struct dyno_op dyno_op_reduce_log_sum = {
    .onnx_name = "ReduceLogSum",
    .since = 18,
    DYNO_REDUCE_OP,
    .infer = dyno_reduce_infer,
    .reference = reference,
};
