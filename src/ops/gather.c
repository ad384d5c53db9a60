/* gather.c - y = x with an axis replaced by what the indices pick from it.  (ONNX Gather-13) */
#include <inttypes.h>

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
    struct dyno_tensor *const out = &ctx->out[0];
    const int axis = dyno_ref_axis(a->axis, in->rank);
    const int64_t size = in->dims[axis];
    const int64_t picked = dyno_tensor_count(indices);
    int64_t outer = 1;
    int64_t inner = 1;
    for (int i = 0; i < axis; i++)
        outer *= in->dims[i];
    for (int i = axis + 1; i < in->rank; i++)
        inner *= in->dims[i];
    for (int64_t j = 0; j < picked; j++) {
        int64_t idx = 0;
        DYNO_TRY(dyno_ref_index(ctx, indices, j, size, &idx));
        for (int64_t i = 0; i < outer; i++)
            for (int64_t k = 0; k < inner; k++)
                dyno_ref_copy(in->dtype, out->data, (i * picked + j) * inner + k, in->data,
                              (i * size + idx) * inner + k);
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
    if (in->rank < 0 || indices->rank < 0)
        return dyno_infer_set(ctx, 0, in->dtype, -1, NULL);
    DYNO_TRY(dyno_infer_axis(ctx, a->axis, in->rank, &axis));
    const int rank = in->rank + indices->rank - 1;
    dyno_expr dims[2 * DYNO_RANK_MAX];
    int at = 0;
    for (int i = 0; i < axis; i++)
        dims[at++] = in->dims[i];
    for (int i = 0; i < indices->rank; i++)
        dims[at++] = indices->dims[i];
    for (int i = axis + 1; i < in->rank; i++)
        dims[at++] = in->dims[i];
    DYNO_TRY(dyno_infer_set(ctx, 0, in->dtype, rank, dims));
    return dyno_infer_move_elems(ctx, reference, 1);
}

const struct dyno_op dyno_op_gather = {
    .onnx_name = "Gather",
    .since = 13,
    DYNO_BINARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_axis_attrs),
    .infer = infer,
    .reference = reference,
};
