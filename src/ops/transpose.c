/* transpose.c - y = x with its axes permuted: axis i of y is axis perm[i] of x.
 * (ONNX Transpose-25) */
#include <inttypes.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"perm", DYNO_ATTR_I64S, offsetof(struct dyno_transpose_attrs, perm), 0, NULL, 0},
};

static int perm_at(const struct dyno_transpose_attrs *a, int rank, int axis)
{
    return a->perm.at != NULL ? dyno_ref_axis(a->perm.at[axis], rank) : rank - 1 - axis;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *const in = ctx->in[0];
    struct dyno_tensor *const out = &ctx->out[0];
    const int64_t count = dyno_tensor_count(out);
    int64_t strides[DYNO_RANK_MAX];
    int64_t moved[DYNO_RANK_MAX];
    dyno_ref_strides(in->rank, in->dims, strides);
    for (int i = 0; i < in->rank; i++)
        moved[i] = strides[perm_at(ctx->attrs, in->rank, i)];
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, out->dims);
    dyno_walk_add_strides(&walk, 0, moved);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk))
        dyno_ref_copy(in->dtype, out->data, i, in->data, walk.at[0]);
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_transpose_attrs *const a = ctx->attrs;
    const struct dyno_type *const in = ctx->in[0];
    dyno_expr dims[DYNO_RANK_MAX];
    bool seen[DYNO_RANK_MAX] = {false};
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    if (in->rank < 0)
        return dyno_infer_set(ctx, 0, in->dtype, -1, NULL);
    if (a->perm.at != NULL && a->perm.count != (uint32_t)in->rank)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "perm has %u entries, wants %d", a->perm.count,
                         in->rank);
    for (int i = 0; i < in->rank; i++) {
        int axis = 0;
        if (a->perm.at != NULL)
            DYNO_TRY(dyno_infer_axis(ctx, a->perm.at[i], in->rank, &axis));
        axis = perm_at(a, in->rank, i);
        if (seen[axis])
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "perm names axis %d twice", axis);
        seen[axis] = true;
        dims[i] = in->dims[axis];
    }
    DYNO_TRY(dyno_infer_set(ctx, 0, in->dtype, in->rank, dims));
    return dyno_infer_move_elems(ctx, reference, 1);
}

const struct dyno_op dyno_op_transpose = {
    .onnx_name = "Transpose",
    .since = 25,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_transpose_attrs),
    .infer = infer,
    .reference = reference,
};
