/* reduce_log_sum_exp.c - ReduceLogSumExp-18: the logarithm of the sum of exponentials. */
#include <math.h>

#include "ops/reduce.h"

static double add(double state, double x)
{
    return state + exp(x);
}

static double finish(double state, double count, double shift)
{
    (void)count;
    return log(state) + shift;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    static const struct dyno_reduce_rule rule = {
        .shift_by_max = true,
        .add = add,
        .finish = finish,
    };
    return dyno_reduce_run(ctx, &rule);
}

const struct dyno_op dyno_op_reduce_log_sum_exp = {
    .onnx_name = "ReduceLogSumExp",
    .since = 18,
    DYNO_REDUCE_OP,
    .infer = dyno_reduce_infer,
    .reference = reference,
};
