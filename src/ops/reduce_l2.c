/* reduce_l2.c - ReduceL2-18: the square root of the sum of squares. */
#include <math.h>

#include "ops/reduce.h"

static double add(double state, double x)
{
    return state + x * x;
}

static double finish(double state, double count, double shift)
{
    (void)count;
    (void)shift;
    return sqrt(state);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    static const struct dyno_reduce_rule rule = {
        .add = add,
        .finish = finish,
    };
    return dyno_reduce_run(ctx, &rule);
}

const struct dyno_op dyno_op_reduce_l2 = {
    .onnx_name = "ReduceL2",
    .since = 18,
    DYNO_REDUCE_OP,
    .infer = dyno_reduce_infer,
    .reference = reference,
};
