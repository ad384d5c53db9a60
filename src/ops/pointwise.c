/* pointwise.c - y = x: the anchor of a tail that no other node carries.  (Dyno) */
#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    if (ctx->in[0]->dtype != DYNO_F32 && ctx->in[0]->dtype != DYNO_DTYPE_NONE)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "input 0 is %s, must be f32",
                         dyno_dtype_text(ctx->in[0]->dtype));
    return dyno_infer_same_as_input(ctx);
}

const struct dyno_op dyno_op_pointwise = {
    .onnx_name = "Pointwise",
    .domain = "dyno",
    .since = 1,
    .in_min = 1,
    .in_max = 1,
    .out_min = 1,
    .out_max = 1,
    .pw = DYNO_PW_copy,
    .infer = infer,
    .reference = dyno_ref_view,
};
