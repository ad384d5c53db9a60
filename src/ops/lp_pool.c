/* lp_pool.c - LpPool-22: the p-norm of each window. */
#include "ops/pool.h"

#define FIELD(name) offsetof(struct dyno_pooling_attrs, name)
static const struct dyno_attr attrs[] = {
    {"auto_pad", DYNO_ATTR_ENUM, FIELD(auto_pad), 0, dyno_auto_pad_names, 0},
    {"ceil_mode", DYNO_ATTR_I64, FIELD(ceil_mode), 0, NULL, 0},
    {"dilations", DYNO_ATTR_I64S, FIELD(dilations), 0, NULL, 0},
    {"kernel_shape", DYNO_ATTR_I64S, FIELD(kernel_shape), 0, NULL, 1},
    {"p", DYNO_ATTR_I64, FIELD(p), 2, NULL, 0},
    {"pads", DYNO_ATTR_I64S, FIELD(pads), 0, NULL, 0},
    {"strides", DYNO_ATTR_I64S, FIELD(strides), 0, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_pooling_attrs *a = ctx->attrs;
    if (a->p < 1)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "p is %lld, must be at least 1", (long long)a->p);
    return dyno_pooling_infer(ctx);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_pooling_run(ctx, &dyno_pooling_lp);
}

const struct dyno_op dyno_op_lp_pool = {
    .onnx_name = "LpPool",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_pooling_attrs),
    .infer = infer,
    .reference = reference,
};
