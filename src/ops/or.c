/* or.c - y = a or b, broadcast.  (ONNX Or-7) */
#include "ops/infer.h"
#include "ops/ref.h"

static int64_t i64(int64_t a, int64_t b, bool is_u64)
{
    (void)is_u64;
    return a != 0 || b != 0;
}

static dyno_expr elem(struct dyno_infer *ctx, const dyno_expr *args)
{
    return dyno_expr_max(ctx->exprs, args[0], args[1]);
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_BOOL));
    return dyno_infer_compare(ctx, elem);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_binary(ctx, &(struct dyno_ref_binary){.pw = -1, .i64 = i64});
}

const struct dyno_op dyno_op_or = {
    .onnx_name = "Or",
    .since = 7,
    DYNO_BINARY_OP,
    .flags = DYNO_OP_COMMUTES,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
