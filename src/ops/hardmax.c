/* hardmax.c - Hardmax-13: 1 at the first greatest value along one axis, 0 elsewhere. */
#include "ops/softmax.h"

static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, offsetof(struct dyno_softmax_attrs, axis), -1, NULL, 0},
};

static void row(double *values, int64_t count)
{
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (values[i] > values[best])
            best = i;
    for (int64_t i = 0; i < count; i++)
        values[i] = i == best ? 1 : 0;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_softmax_run(ctx, row);
}

const struct dyno_op dyno_op_hardmax = {
    .onnx_name = "Hardmax",
    .since = 13,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_softmax_attrs),
    .infer = dyno_softmax_infer,
    .reference = reference,
};
