/* reduce_max.c - ReduceMax-20: the greatest value; NaN if there is one. */
#include <math.h>

#include "ops/infer.h"
#include "ops/reduce.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    return dyno_reduce_infer_fold(ctx, DYNO_WANT_NUMBER | DYNO_WANT_BOOL, dyno_expr_max);
}

static double add(double state, double x)
{
    return x > state || isnan(x) ? x : state;
}

static int64_t int_add(int64_t state, int64_t x)
{
    return x > state ? x : state;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    static const struct dyno_reduce_rule rule = {
        .start = -INFINITY,
        .add = add,
        .int_add = int_add,
        .ordered = true,
        .ordered_is_max = true,
    };
    return dyno_reduce_run(ctx, &rule);
}

const struct dyno_op dyno_op_reduce_max = {
    .onnx_name = "ReduceMax",
    .since = 20,
    DYNO_REDUCE_OP,
    .infer = infer,
    .reference = reference,
};
