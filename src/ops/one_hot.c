/* one_hot.c - y = off everywhere but on where the new axis meets the index.  (ONNX OneHot-11) */
#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

enum { INDICES, DEPTH, VALUES };

static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, offsetof(struct dyno_axis_attrs, axis), -1, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_axis_attrs *const a = ctx->attrs;
    const struct dyno_type *const indices = ctx->in[INDICES];
    const struct dyno_tensor *const depth = ctx->in[DEPTH]->constant;
    dyno_expr dims[DYNO_RANK_MAX + 1];
    uint32_t count = 0;
    int axis = 0;
    DYNO_TRY(dyno_infer_want(ctx, INDICES, DYNO_WANT_NUMBER));
    DYNO_TRY(dyno_infer_want(ctx, DEPTH, DYNO_WANT_NUMBER));
    if (indices->rank < 0)
        return dyno_infer_set(ctx, 0, ctx->in[VALUES]->dtype, -1, NULL);
    DYNO_TRY(dyno_infer_axis(ctx, a->axis, indices->rank + 1, &axis));
    const dyno_expr *const elems = dyno_infer_elems(ctx, DEPTH, &count);
    dyno_expr size = DYNO_EXPR_NONE;
    if (elems != NULL && count == 1)
        size = elems[0];
    else if (depth != NULL && dyno_tensor_count(depth) == 1)
        size = dyno_expr_const(ctx->exprs, dyno_ref_i64(depth, 0));
    for (int i = 0; i <= indices->rank; i++)
        dims[i] = i == axis ? size : indices->dims[i < axis ? i : i - 1];
    return dyno_infer_set(ctx, 0, ctx->in[VALUES]->dtype, indices->rank + 1, dims);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_axis_attrs *const a = ctx->attrs;
    const struct dyno_tensor *const indices = ctx->in[INDICES];
    const struct dyno_tensor *const values = ctx->in[VALUES];
    struct dyno_tensor *const out = &ctx->out[0];
    const int axis = dyno_ref_axis(a->axis, out->rank);
    const int64_t depth = out->dims[axis];
    int64_t strides[DYNO_RANK_MAX];
    int64_t spread[DYNO_RANK_MAX];
    dyno_ref_strides(indices->rank, indices->dims, strides);
    for (int i = 0; i < out->rank; i++)
        spread[i] = i == axis ? 0 : strides[i < axis ? i : i - 1];
    const int64_t count = dyno_tensor_count(out);
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, out->dims);
    dyno_walk_add_strides(&walk, 0, spread);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk)) {
        const int64_t idx = dyno_ref_i64(indices, walk.at[0]);
        const bool on = walk.idx[axis] == (idx < 0 ? idx + depth : idx);
        dyno_ref_copy(out->dtype, out->data, i, values->data, on ? 1 : 0);
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_one_hot = {
    .onnx_name = "OneHot",
    .domain = "",
    .since = 11,
    .in_min = 3,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_axis_attrs),
    .infer = infer,
    .reference = reference,
};
