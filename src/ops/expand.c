/* expand.c - y = x broadcast together with a shape.  (ONNX Expand-13) */
#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *const in = ctx->in[0];
    struct dyno_tensor *const out = &ctx->out[0];
    const int64_t count = dyno_tensor_count(out);
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, out->dims);
    dyno_walk_add(&walk, in);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk))
        dyno_ref_copy(in->dtype, out->data, i, in->data, walk.at[0]);
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *const in = ctx->in[0];
    dyno_expr dims[DYNO_RANK_MAX];
    int rank = -1;
    uint32_t count = 0;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_INDEX));
    const dyno_expr *const shape = dyno_infer_elems(ctx, 1, &count);
    if (count > DYNO_RANK_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_LIMIT, "the shape has %u dimensions, at most %d are held",
                         count, DYNO_RANK_MAX);
    if (in->rank >= 0 && shape != NULL) {
        DYNO_TRY(
            dyno_infer_broadcast_dims(ctx, in->dims, in->rank, shape, (int)count, dims, &rank));
    } else if (in->rank >= 0) {
        const int64_t wanted = dyno_infer_vector_count(ctx, 1);
        if (wanted >= 0)
            rank = wanted > DYNO_RANK_MAX ? DYNO_RANK_MAX + 1 : (int)wanted;
        if (wanted >= 0 && rank < in->rank)
            rank = in->rank;
        for (int i = 0; i < DYNO_RANK_MAX; i++)
            dims[i] = DYNO_EXPR_NONE;
    }
    DYNO_TRY(dyno_infer_set(ctx, 0, in->dtype, rank, dims));
    /* The contents do not depend on the shape tensor once the output's shape is known. */
    struct dyno_infer data = *ctx;
    data.in_count = 1;
    return dyno_infer_move_elems(&data, reference, 1);
}

const struct dyno_op dyno_op_expand = {
    .onnx_name = "Expand",
    .since = 13,
    DYNO_BINARY_OP,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
