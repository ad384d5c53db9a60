/* reduce_l1.c - ReduceL1-18: the sum of absolute values. */
#include <math.h>

#include "ops/infer.h"
#include "ops/reduce.h"

#define FIELD(name) offsetof(struct dyno_reduce_attrs, name)
static const struct dyno_attr attrs[] = {
    {"keepdims", DYNO_ATTR_I64, FIELD(keepdims), 1, NULL, 0},
    {"noop_with_empty_axes", DYNO_ATTR_I64, FIELD(noop_with_empty_axes), 0, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_NUMBER));
    return dyno_reduce_infer(ctx);
}

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
    .domain = "",
    .since = 18,
    .in_min = 1,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_reduce_attrs),
    .infer = infer,
    .reference = reference,
};
