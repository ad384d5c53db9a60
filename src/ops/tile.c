/* tile.c - y = x repeated along each axis.  (ONNX Tile-13) */
#include <inttypes.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *const in = ctx->in[0];
    struct dyno_tensor *const out = &ctx->out[0];
    const int64_t count = dyno_tensor_count(out);
    int64_t strides[DYNO_RANK_MAX];
    dyno_ref_strides(in->rank, in->dims, strides);
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, out->dims);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk)) {
        int64_t from = 0;
        for (int j = 0; j < in->rank; j++)
            from += walk.idx[j] % in->dims[j] * strides[j];
        dyno_ref_copy(in->dtype, out->data, i, in->data, from);
    }
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *const in = ctx->in[0];
    dyno_expr dims[DYNO_RANK_MAX];
    uint32_t count = 0;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_INDEX));
    const dyno_expr *const repeats = dyno_infer_elems(ctx, 1, &count);
    if (in->rank >= 0 && repeats != NULL && count != (uint32_t)in->rank)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "there are %u repeats for %d dimensions", count,
                         in->rank);
    for (int i = 0; i < in->rank; i++) {
        int64_t times = 0;
        if (repeats != NULL && dyno_expr_is_const(ctx->exprs, repeats[i], &times) && times < 0)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "repeat %d is %" PRId64 ", must not be"
                             " negative",
                             i, times);
        dims[i] =
            repeats != NULL ? dyno_expr_mul(ctx->exprs, in->dims[i], repeats[i]) : DYNO_EXPR_NONE;
    }
    DYNO_TRY(dyno_infer_set(ctx, 0, in->dtype, in->rank, dims));
    struct dyno_infer data = *ctx;
    data.in_count = 1;
    return dyno_infer_move_elems(&data, reference, 1);
}

const struct dyno_op dyno_op_tile = {
    .onnx_name = "Tile",
    .since = 13,
    DYNO_BINARY_OP,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
