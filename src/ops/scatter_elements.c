/* scatter_elements.c - y = x, but y[.., indices[.., i, ..], ..] = updates[.., i, ..] along one
 * axis.  (ONNX ScatterElements-18) */
#include <inttypes.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, offsetof(struct dyno_scatter_elements_attrs, axis), 0, NULL, 0},
    {"reduction", DYNO_ATTR_ENUM, offsetof(struct dyno_scatter_elements_attrs, reduction),
     DYNO_SCATTER_NONE, dyno_scatter_reductions, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_scatter_elements_attrs *const a = ctx->attrs;
    const struct dyno_type *const in = ctx->in[0];
    int axis = 0;
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_INDEX));
    DYNO_TRY(dyno_infer_want_same(ctx, 0, 2));
    for (uint32_t i = 1; i < 3; i++)
        if (in->rank >= 0 && ctx->in[i]->rank >= 0 && ctx->in[i]->rank != in->rank)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "input %u has %d dimensions, input 0 has %d",
                             i, ctx->in[i]->rank, in->rank);
    if (in->rank >= 0)
        DYNO_TRY(dyno_infer_axis(ctx, a->axis, in->rank, &axis));
    return dyno_infer_same_as_input(ctx);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_scatter_elements_attrs *const a = ctx->attrs;
    const struct dyno_tensor *const in = ctx->in[0];
    const struct dyno_tensor *const indices = ctx->in[1];
    const struct dyno_tensor *const updates = ctx->in[2];
    const int axis = dyno_ref_axis(a->axis, in->rank);
    int64_t strides[DYNO_RANK_MAX];
    dyno_ref_copy_all(in, &ctx->out[0]);
    dyno_ref_strides(in->rank, in->dims, strides);
    for (int i = 0; i < in->rank; i++) {
        if (indices->dims[i] != updates->dims[i])
            return DYNO_FAIL(ctx->err, DYNO_E_ARG,
                             "dimension %d is %" PRId64 " in the indices, %" PRId64
                             " in the updates",
                             i, indices->dims[i], updates->dims[i]);
        if (i != axis && indices->dims[i] > in->dims[i])
            return DYNO_FAIL(ctx->err, DYNO_E_ARG,
                             "the indices are larger than the data in dimension %d", i);
    }
    const int64_t along = strides[axis];
    const int64_t count = dyno_tensor_count(indices);
    strides[axis] = 0;
    struct dyno_walk walk;
    dyno_walk_init(&walk, indices->rank, indices->dims);
    dyno_walk_add_strides(&walk, 0, strides);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk)) {
        int64_t idx = 0;
        DYNO_TRY(dyno_ref_index(ctx, indices, i, in->dims[axis], &idx));
        DYNO_TRY(dyno_scatter_elem(ctx, (enum dyno_scatter_reduction)a->reduction,
                                   walk.at[0] + idx * along, updates, i));
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_scatter_elements = {
    .onnx_name = "ScatterElements",
    .domain = "",
    .since = 18,
    .in_min = 3,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_scatter_elements_attrs),
    .infer = infer,
    .reference = reference,
};
