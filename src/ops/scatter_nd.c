/* scatter_nd.c - y = x, but the parts that index tuples name come from the updates.
 * (ONNX ScatterND-18) */
#include <inttypes.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"reduction", DYNO_ATTR_ENUM, offsetof(struct dyno_scatter_nd_attrs, reduction),
     DYNO_SCATTER_NONE, dyno_scatter_reductions, 0},
};

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_scatter_nd_attrs *const a = ctx->attrs;
    const struct dyno_tensor *const in = ctx->in[0];
    const struct dyno_tensor *const indices = ctx->in[1];
    const struct dyno_tensor *const updates = ctx->in[2];
    const int64_t tuple = indices->dims[indices->rank - 1];
    int64_t strides[DYNO_RANK_MAX];
    dyno_ref_copy_all(in, &ctx->out[0]);
    dyno_ref_strides(in->rank, in->dims, strides);
    int64_t slice = 1;
    for (int i = (int)tuple; i < in->rank; i++)
        slice *= in->dims[i];
    int64_t tuple_count = 1;
    for (int i = 0; i < indices->rank - 1; i++)
        tuple_count *= indices->dims[i];
    if (dyno_tensor_count(updates) != tuple_count * slice)
        return DYNO_FAIL(ctx->err, DYNO_E_ARG,
                         "the updates have %" PRId64 " elements, the indices name %" PRId64,
                         dyno_tensor_count(updates), tuple_count * slice);
    for (int64_t t = 0; t < tuple_count; t++) {
        int64_t to = 0;
        for (int64_t i = 0; i < tuple; i++) {
            int64_t idx = 0;
            DYNO_TRY(dyno_ref_index(ctx, indices, t * tuple + i, in->dims[i], &idx));
            to += idx * strides[i];
        }
        for (int64_t i = 0; i < slice; i++)
            DYNO_TRY(dyno_scatter_elem(ctx, (enum dyno_scatter_reduction)a->reduction, to + i,
                                       updates, t * slice + i));
    }
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_scatter_nd_attrs *const a = ctx->attrs;
    const struct dyno_type *const in = ctx->in[0];
    const struct dyno_type *const indices = ctx->in[1];
    int64_t tuple = 0;
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_INDEX));
    DYNO_TRY(dyno_infer_want_same(ctx, 0, 2));
    if (indices->rank == 0)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "the indices are a scalar, must hold tuples");
    if (in->rank >= 0 && indices->rank > 0 &&
        dyno_expr_is_const(ctx->exprs, indices->dims[indices->rank - 1], &tuple) &&
        (tuple < 0 || tuple > in->rank))
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "index tuples have %" PRId64 " entries, the data %d dimensions", tuple,
                         in->rank);
    DYNO_TRY(dyno_infer_same_as_input(ctx));
    if (a->reduction != DYNO_SCATTER_NONE)
        return DYNO_OK;
    return dyno_infer_move_elems(ctx, reference, 1U << 0 | 1U << 2);
}

const struct dyno_op dyno_op_scatter_nd = {
    .onnx_name = "ScatterND",
    .domain = "",
    .since = 18,
    .in_min = 3,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_scatter_nd_attrs),
    .infer = infer,
    .reference = reference,
};
