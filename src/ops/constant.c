/* constant.c - y = the tensor of the attribute.  (ONNX Constant-25, its other spellings are
 * made into `value` by the importer.) */
#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"value", DYNO_ATTR_TENSOR, offsetof(struct dyno_constant_attrs, value), 0, NULL, 1},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_constant_attrs *const a = ctx->attrs;
    if (a->value == NULL)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "attribute value is absent");
    if (ctx->out_count == 0)
        return DYNO_OK;
    if (!dyno_type_of_tensor(a->value, ctx->exprs, ctx->arena, &ctx->out[0]))
        return DYNO_NOMEM(ctx->err);
    ctx->out[0].constant = NULL; /* folding is a pass */
    return DYNO_OK;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_constant_attrs *const a = ctx->attrs;
    dyno_ref_copy_all(a->value, &ctx->out[0]);
    return DYNO_OK;
}

const struct dyno_op dyno_op_constant = {
    .onnx_name = "Constant",
    .domain = "",
    .since = 25,
    .in_min = 0,
    .in_max = 0,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_constant_attrs),
    .infer = infer,
    .reference = reference,
};
