/* bitwise_not.c - y = ~x, bit by bit.  (ONNX BitwiseNot-18) */
#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_INT));
    return dyno_infer_same_as_input(ctx);
}

static int64_t i64(int64_t a)
{
    return ~a;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_unary(ctx, &(struct dyno_ref_unary){.form = {.pw = -1}, .i64 = i64});
}

const struct dyno_op dyno_op_bitwise_not = {
    .onnx_name = "BitwiseNot",
    .since = 18,
    DYNO_UNARY_OP,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
