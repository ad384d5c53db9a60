/* neg.c - y = -x.  (ONNX Neg-13) */
#include "ops/infer.h"
#include "ops/ref.h"

static double f64(double a)
{
    return -a;
}

static int64_t i64(int64_t a)
{
    return (int64_t)(0 - (uint64_t)a);
}

static dyno_expr elem(struct dyno_infer *ctx, const dyno_expr *args)
{
    return dyno_expr_sub(ctx->exprs, dyno_expr_const(ctx->exprs, 0), args[0]);
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_unary_number(ctx));
    return dyno_infer_map_elems(ctx, elem);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(
        ctx, &(struct dyno_ref_unary){.form = {.pw = DYNO_PW_neg}, .f64 = f64, .i64 = i64});
}

const struct dyno_op dyno_op_neg = {
    .onnx_name = "Neg",
    .since = 13,
    DYNO_UNARY_OP,
    .pw = DYNO_PW_neg,
    .infer = infer,
    .reference = reference,
};
