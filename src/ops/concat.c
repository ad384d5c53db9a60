/* concat.c - y = the inputs one after the other along an axis.  (ONNX Concat-13) */
#include <inttypes.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, offsetof(struct dyno_axis_attrs, axis), 0, NULL, 1},
};

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_axis_attrs *const a = ctx->attrs;
    struct dyno_tensor *const out = &ctx->out[0];
    const int axis = dyno_ref_axis(a->axis, out->rank);
    int64_t strides[DYNO_RANK_MAX];
    dyno_ref_strides(out->rank, out->dims, strides);
    int64_t start = 0;
    for (uint32_t i = 0; i < ctx->in_count; i++) {
        const struct dyno_tensor *const in = ctx->in[i];
        const int64_t count = dyno_tensor_count(in);
        struct dyno_walk walk;
        dyno_walk_init(&walk, in->rank, in->dims);
        dyno_walk_add_strides(&walk, start * strides[axis], strides);
        for (int64_t j = 0; j < count; j++, dyno_walk_next(&walk))
            dyno_ref_copy(out->dtype, out->data, walk.at[0], in->data, j);
        start += in->dims[axis];
    }
    return DYNO_OK;
}

/* Sizes beside the axis must agree; a known one serves where another input's is open. */
static enum dyno_status merge_dim(struct dyno_infer *ctx, uint32_t idx, int axis, dyno_expr *dim)
{
    const dyno_expr other = ctx->in[idx]->dims[axis];
    int64_t a = 0;
    int64_t b = 0;
    const bool a_known = dyno_expr_is_const(ctx->exprs, *dim, &a);
    const bool b_known = dyno_expr_is_const(ctx->exprs, other, &b);
    if (a_known && b_known && a != b)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "input %u has size %" PRId64 " in dimension %d, the first input %" PRId64,
                         idx, b, axis, a);
    if (!a_known && b_known)
        *dim = other;
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_axis_attrs *const a = ctx->attrs;
    const struct dyno_type *const first = ctx->in[0];
    int axis = 0;
    bool known = true;
    for (uint32_t i = 0; i < ctx->in_count; i++) {
        if (ctx->in[i] == NULL)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "input %u is absent", i);
        DYNO_TRY(dyno_infer_want(ctx, i, DYNO_WANT_ANY));
        DYNO_TRY(dyno_infer_want_same(ctx, 0, i));
        known = known && ctx->in[i]->rank >= 0;
        if (known && ctx->in[i]->rank != first->rank)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "input %u has %d dimensions, the first input %d", i, ctx->in[i]->rank,
                             first->rank);
    }
    if (!known)
        return dyno_infer_set(ctx, 0, first->dtype, -1, NULL);
    DYNO_TRY(dyno_infer_axis(ctx, a->axis, first->rank, &axis));
    dyno_expr dims[DYNO_RANK_MAX];
    for (int i = 0; i < first->rank; i++)
        dims[i] = first->dims[i];
    for (uint32_t i = 1; i < ctx->in_count; i++)
        for (int j = 0; j < first->rank; j++) {
            if (j == axis)
                dims[j] = dyno_expr_add(ctx->exprs, dims[j], ctx->in[i]->dims[j]);
            else
                DYNO_TRY(merge_dim(ctx, i, j, &dims[j]));
        }
    DYNO_TRY(dyno_infer_set(ctx, 0, first->dtype, first->rank, dims));
    for (uint32_t i = 0; i < ctx->in_count; i++)
        if (ctx->in[i]->elems == NULL)
            return DYNO_OK;
    return dyno_infer_move_elems(ctx, reference, UINT32_MAX);
}

const struct dyno_op dyno_op_concat = {
    .onnx_name = "Concat",
    .since = 13,
    DYNO_VARIADIC_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_axis_attrs),
    .infer = infer,
    .reference = reference,
};
