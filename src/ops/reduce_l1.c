/* reduce_l1.c - ReduceL1-18: the sum of absolute values. */
#include <math.h>

#include "ops/reduce.h"

static double add(double state, double x)
{
    return state + fabs(x);
}

static int64_t int_add(int64_t state, int64_t x)
{
    return (int64_t)((uint64_t)state + (x < 0 ? 0 - (uint64_t)x : (uint64_t)x));
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    static const struct dyno_reduce_rule rule = {
        .add = add,
        .int_add = int_add,
    };
    return dyno_reduce_run(ctx, &rule);
}

const struct dyno_op dyno_op_reduce_l1 = {
    .onnx_name = "ReduceL1",
    .since = 18,
    DYNO_REDUCE_OP,
    .infer = dyno_reduce_infer,
    .reference = reference,
};
