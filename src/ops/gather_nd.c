/* gather_nd.c - y = the parts of x that index tuples name, after common batch axes.
 * (ONNX GatherND-13) */
#include <inttypes.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"batch_dims", DYNO_ATTR_I64, offsetof(struct dyno_gather_nd_attrs, batch_dims), 0, NULL, 0},
};

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_gather_nd_attrs *const a = ctx->attrs;
    const struct dyno_tensor *const in = ctx->in[0];
    const struct dyno_tensor *const indices = ctx->in[1];
    const int batch_rank = (int)a->batch_dims;
    const int64_t tuple = indices->dims[indices->rank - 1];
    int64_t strides[DYNO_RANK_MAX];
    dyno_ref_strides(in->rank, in->dims, strides);
    int64_t slice = 1;
    for (int i = batch_rank + (int)tuple; i < in->rank; i++)
        slice *= in->dims[i];
    /* Tuples in order; those of one batch lie together. */
    struct dyno_walk walk;
    dyno_walk_init(&walk, indices->rank - 1, indices->dims);
    int64_t tuple_count = 1;
    for (int i = 0; i < indices->rank - 1; i++)
        tuple_count *= indices->dims[i];
    for (int64_t t = 0; t < tuple_count; t++, dyno_walk_next(&walk)) {
        int64_t from = 0;
        for (int i = 0; i < batch_rank; i++)
            from += walk.idx[i] * strides[i];
        for (int64_t i = 0; i < tuple; i++) {
            int64_t idx = 0;
            const int axis = batch_rank + (int)i;
            DYNO_TRY(dyno_ref_index(ctx, indices, t * tuple + i, in->dims[axis], &idx));
            from += idx * strides[axis];
        }
        for (int64_t i = 0; i < slice; i++)
            dyno_ref_copy(in->dtype, ctx->out[0].data, t * slice + i, in->data, from + i);
    }
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_gather_nd_attrs *const a = ctx->attrs;
    const struct dyno_type *const in = ctx->in[0];
    const struct dyno_type *const indices = ctx->in[1];
    int64_t tuple = 0;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_INDEX));
    if (in->rank < 0 || indices->rank < 0)
        return dyno_infer_set(ctx, 0, in->dtype, -1, NULL);
    if (a->batch_dims < 0 || a->batch_dims >= in->rank || a->batch_dims >= indices->rank)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "batch_dims is %" PRId64 ", must be below the ranks %d and %d",
                         a->batch_dims, in->rank, indices->rank);
    if (!dyno_expr_is_const(ctx->exprs, indices->dims[indices->rank - 1], &tuple))
        return dyno_infer_set(ctx, 0, in->dtype, -1, NULL);
    if (tuple < 1 || tuple > in->rank - a->batch_dims)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "index tuples have %" PRId64 " entries, must be 1 to %" PRId64, tuple,
                         in->rank - a->batch_dims);
    for (int i = 0; i < (int)a->batch_dims; i++) {
        int64_t x = 0;
        int64_t y = 0;
        if (dyno_expr_is_const(ctx->exprs, in->dims[i], &x) &&
            dyno_expr_is_const(ctx->exprs, indices->dims[i], &y) && x != y)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "batch dimension %d is %" PRId64 " in the data, %" PRId64
                             " in the indices",
                             i, x, y);
    }
    dyno_expr dims[2 * DYNO_RANK_MAX];
    int rank = 0;
    for (int i = 0; i < indices->rank - 1; i++)
        dims[rank++] = indices->dims[i];
    for (int i = (int)(a->batch_dims + tuple); i < in->rank; i++)
        dims[rank++] = in->dims[i];
    DYNO_TRY(dyno_infer_set(ctx, 0, in->dtype, rank, dims));
    return dyno_infer_move_elems(ctx, reference, 1);
}

const struct dyno_op dyno_op_gather_nd = {
    .onnx_name = "GatherND",
    .since = 13,
    DYNO_BINARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_gather_nd_attrs),
    .infer = infer,
    .reference = reference,
};
