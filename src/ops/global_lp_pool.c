/* global_lp_pool.c - GlobalLpPool-22: the p-norm of each channel's plane. */
#include "ops/pool.h"

static const struct dyno_attr attrs[] = {
    {"p", DYNO_ATTR_I64, offsetof(struct dyno_global_lp_pool_attrs, p), 2, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_global_lp_pool_attrs *a = ctx->attrs;
    if (a->p < 1)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "p is %lld, must be at least 1", (long long)a->p);
    return dyno_global_pooling_infer(ctx);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_global_lp_pool_attrs *a = ctx->attrs;
    return dyno_global_pooling_run(ctx, &dyno_pooling_lp, a->p);
}

const struct dyno_op dyno_op_global_lp_pool = {
    .onnx_name = "GlobalLpPool",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_global_lp_pool_attrs),
    .infer = infer,
    .reference = reference,
};
