/* gather_elements.c - y[.., i, ..] = x[.., indices[.., i, ..], ..] along one axis.
 * (ONNX GatherElements-13) */
#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, offsetof(struct dyno_axis_attrs, axis), 0, NULL, 0},
};

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_axis_attrs *const a = ctx->attrs;
    const struct dyno_tensor *const in = ctx->in[0];
    const struct dyno_tensor *const indices = ctx->in[1];
    const int axis = dyno_ref_axis(a->axis, in->rank);
    const int64_t count = dyno_tensor_count(indices);
    int64_t strides[DYNO_RANK_MAX];
    dyno_ref_strides(in->rank, in->dims, strides);
    for (int i = 0; i < in->rank; i++)
        if (i != axis && indices->dims[i] > in->dims[i])
            return DYNO_FAIL(ctx->err, DYNO_E_ARG,
                             "the indices are larger than the data in dimension %d", i);
    const int64_t along = strides[axis];
    strides[axis] = 0;
    struct dyno_walk walk;
    dyno_walk_init(&walk, indices->rank, indices->dims);
    dyno_walk_add_strides(&walk, 0, strides);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk)) {
        int64_t idx = 0;
        DYNO_TRY(dyno_ref_index(ctx, indices, i, in->dims[axis], &idx));
        dyno_ref_copy(in->dtype, ctx->out[0].data, i, in->data, walk.at[0] + idx * along);
    }
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_axis_attrs *const a = ctx->attrs;
    const struct dyno_type *const in = ctx->in[0];
    const struct dyno_type *const indices = ctx->in[1];
    int axis = 0;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_INDEX));
    if (in->rank >= 0 && indices->rank >= 0 && in->rank != indices->rank)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "the data has %d dimensions, the indices %d",
                         in->rank, indices->rank);
    if (in->rank >= 0)
        DYNO_TRY(dyno_infer_axis(ctx, a->axis, in->rank, &axis));
    DYNO_TRY(dyno_infer_set(ctx, 0, in->dtype, indices->rank, indices->dims));
    return dyno_infer_move_elems(ctx, reference, 1);
}

const struct dyno_op dyno_op_gather_elements = {
    .onnx_name = "GatherElements",
    .since = 13,
    DYNO_BINARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_axis_attrs),
    .infer = infer,
    .reference = reference,
};
