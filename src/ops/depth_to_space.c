/* depth_to_space.c - blocks of channels become blocks of pixels.  (ONNX DepthToSpace-13) */
#include <inttypes.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const char *const modes[] = {"DCR", "CRD", NULL};

static const struct dyno_attr attrs[] = {
    {"blocksize", DYNO_ATTR_I64, offsetof(struct dyno_depth_attrs, blocksize), 0, NULL, 1},
    {"mode", DYNO_ATTR_ENUM, offsetof(struct dyno_depth_attrs, mode), DYNO_DEPTH_DCR, modes, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_depth_attrs *const a = ctx->attrs;
    const struct dyno_type *const in = ctx->in[0];
    dyno_expr dims[4];
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    if (a->blocksize < 1 || a->blocksize > INT32_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "blocksize is %" PRId64 ", must be 1 or more",
                         a->blocksize);
    if (in->rank < 0)
        return dyno_infer_set(ctx, 0, in->dtype, -1, NULL);
    if (in->rank != 4)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "input 0 has %d dimensions, must have 4",
                         in->rank);
    const int64_t square = a->blocksize * a->blocksize;
    const dyno_expr block = dyno_expr_const(ctx->exprs, a->blocksize);
    int64_t channels = 0;
    if (dyno_expr_is_const(ctx->exprs, in->dims[1], &channels) && channels % square != 0)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "%" PRId64 " channels do not divide by blocksize squared, %" PRId64,
                         channels, square);
    dims[0] = in->dims[0];
    dims[1] = dyno_expr_floordiv(ctx->exprs, in->dims[1], dyno_expr_const(ctx->exprs, square));
    dims[2] = dyno_expr_mul(ctx->exprs, in->dims[2], block);
    dims[3] = dyno_expr_mul(ctx->exprs, in->dims[3], block);
    return dyno_infer_set(ctx, 0, in->dtype, 4, dims);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_depth_attrs *const a = ctx->attrs;
    const struct dyno_tensor *const in = ctx->in[0];
    struct dyno_tensor *const out = &ctx->out[0];
    const int64_t b = a->blocksize;
    const int64_t count = dyno_tensor_count(out);
    struct dyno_walk walk;
    dyno_walk_init(&walk, 4, out->dims);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk)) {
        const int64_t c = walk.idx[1];
        const int64_t y = walk.idx[2];
        const int64_t x = walk.idx[3];
        const int64_t within = y % b * b + x % b; /* which pixel of the block */
        const int64_t channel =
            a->mode == DYNO_DEPTH_DCR ? within * out->dims[1] + c : c * b * b + within;
        const int64_t row = (walk.idx[0] * in->dims[1] + channel) * in->dims[2] + y / b;
        dyno_ref_copy(in->dtype, out->data, i, in->data, row * in->dims[3] + x / b);
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_depth_to_space = {
    .onnx_name = "DepthToSpace",
    .since = 13,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_depth_attrs),
    .infer = infer,
    .reference = reference,
};
