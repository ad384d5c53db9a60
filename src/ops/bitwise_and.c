/* bitwise_and.c - y = a & b, bit by bit, broadcast.  (ONNX BitwiseAnd-18) */
#include "ops/infer.h"
#include "ops/ref.h"

static int64_t i64(int64_t a, int64_t b, bool is_u64)
{
    (void)is_u64;
    return a & b;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_binary(ctx, &(struct dyno_ref_binary){.pw = -1, .i64 = i64});
}

const struct dyno_op dyno_op_bitwise_and = {
    .onnx_name = "BitwiseAnd",
    .since = 18,
    DYNO_BINARY_OP,
    .flags = DYNO_OP_COMMUTES,
    .pw = -1,
    .infer = dyno_infer_integers,
    .reference = reference,
};
