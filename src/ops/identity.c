/* identity.c - y = x, whatever x is.  (ONNX Identity-25) */
#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *const in = ctx->in[0];
    if (ctx->out_count == 0)
        return DYNO_OK;
    ctx->out[0] = *in;
    ctx->out[0].constant = NULL; /* folding is a pass */
    return DYNO_OK;
}

const struct dyno_op dyno_op_identity = {
    .onnx_name = "Identity",
    .since = 25,
    DYNO_UNARY_OP,
    .flags = DYNO_OP_VIEW,
    .pw = DYNO_PW_copy,
    .infer = infer,
    .reference = dyno_ref_view,
};
