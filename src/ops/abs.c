/* abs.c - y = |x|.  (ONNX Abs-13) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static int64_t i64(int64_t a)
{
    return a < 0 ? (int64_t)(0 - (uint64_t)a) : a;
}

static dyno_expr elem(struct dyno_infer *ctx, const dyno_expr *args)
{
    const dyno_expr zero = dyno_expr_const(ctx->exprs, 0);
    return dyno_expr_max(ctx->exprs, args[0], dyno_expr_sub(ctx->exprs, zero, args[0]));
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_unary_number(ctx));
    return dyno_infer_map_elems(ctx, elem);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    if (dyno_dtype_is_int(ctx->in[0]->dtype) && !dyno_dtype_is_signed(ctx->in[0]->dtype))
        return dyno_ref_view(ctx);
    return dyno_ref_unary(
        ctx, &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_abs}, .f64 = fabs, .i64 = i64});
}

const struct dyno_op dyno_op_abs = {
    .onnx_name = "Abs",
    .since = 13,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_abs,
    .infer = infer,
    .reference = reference,
};
