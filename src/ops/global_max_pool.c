/* global_max_pool.c - GlobalMaxPool-22: the greatest value of each channel's plane. */
#include <math.h>

#include "ops/pool.h"

static double greater(double state, double x, int64_t p)
{
    (void)p;
    return x > state ? x : state;
}

static double keep(double state, double count, int64_t p)
{
    (void)count;
    (void)p;
    return state;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    static const struct dyno_pooling_rule rule = {-INFINITY, greater, keep};
    return dyno_global_pooling_run(ctx, &rule, 0);
}

const struct dyno_op dyno_op_global_max_pool = {
    .onnx_name = "GlobalMaxPool",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = -1,
    .infer = dyno_global_pooling_infer,
    .reference = reference,
};
