/* size.c - y = the number of elements of x, an i64 scalar.  (ONNX Size-25) */
#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *const in = ctx->in[0];
    DYNO_TRY(dyno_infer_set(ctx, 0, DYNO_I64, 0, NULL));
    if (in->rank < 0)
        return DYNO_OK;
    dyno_expr *const elems = dyno_infer_elems_alloc(ctx, 1);
    if (elems == NULL)
        return DYNO_NOMEM(ctx->err);
    elems[0] = dyno_infer_product(ctx, in->dims, 0, in->rank);
    dyno_infer_set_elems(ctx, 0, elems, 1);
    return DYNO_OK;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    *(int64_t *)ctx->out[0].data = dyno_tensor_count(ctx->in[0]);
    return DYNO_OK;
}

const struct dyno_op dyno_op_size = {
    .onnx_name = "Size",
    .since = 25,
    DYNO_UNARY_OP,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
