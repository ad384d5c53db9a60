/* reduce_mean.c - ReduceMean-18: the mean (integers: truncated toward zero). */
#include "ops/reduce.h"

static double add(double state, double x)
{
    return state + x;
}

static double finish(double state, double count, double shift)
{
    (void)shift;
    return state / count;
}

static int64_t int_add(int64_t state, int64_t x)
{
    return (int64_t)((uint64_t)state + (uint64_t)x);
}

static int64_t int_finish(int64_t state, int64_t count)
{
    return count != 0 ? state / count : 0;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    static const struct dyno_reduce_rule rule = {
        .add = add,
        .finish = finish,
        .int_add = int_add,
        .int_finish = int_finish,
    };
    return dyno_reduce_run(ctx, &rule);
}

const struct dyno_op dyno_op_reduce_mean = {
    .onnx_name = "ReduceMean",
    .since = 18,
    DYNO_REDUCE_OP,
    .infer = dyno_reduce_infer,
    .reference = reference,
};
