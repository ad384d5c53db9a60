/* not.c - y = not x.  (ONNX Not-1) */
#include "ops/infer.h"
#include "ops/ref.h"

static dyno_expr elem(struct dyno_infer *ctx, const dyno_expr *args)
{
    return dyno_expr_sub(ctx->exprs, dyno_expr_const(ctx->exprs, 1), args[0]);
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_BOOL));
    DYNO_TRY(dyno_infer_same_as_input(ctx));
    return dyno_infer_map_elems(ctx, elem);
}

static int64_t i64(int64_t a)
{
    return a == 0;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = {.pw = -1}, .i64 = i64});
}

const struct dyno_op dyno_op_not = {
    .onnx_name = "Not",
    .since = 1,
    DYNO_UNARY_OP,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
