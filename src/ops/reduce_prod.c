/* reduce_prod.c - ReduceProd-18: the product. */
#include "ops/infer.h"
#include "ops/reduce.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    return dyno_reduce_infer_fold(ctx, DYNO_WANT_NUMBER, dyno_expr_mul);
}

static double add(double state, double x)
{
    return state * x;
}

static int64_t int_add(int64_t state, int64_t x)
{
    return (int64_t)((uint64_t)state * (uint64_t)x);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    static const struct dyno_reduce_rule rule = {
        .start = 1,
        .add = add,
        .int_add = int_add,
        .int_start = 1,
    };
    return dyno_reduce_run(ctx, &rule);
}

const struct dyno_op dyno_op_reduce_prod = {
    .onnx_name = "ReduceProd",
    .since = 18,
    DYNO_REDUCE_OP,
    .infer = infer,
    .reference = reference,
};
