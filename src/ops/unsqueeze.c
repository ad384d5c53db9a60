/* unsqueeze.c - y = x with new axes of size 1.  (ONNX Unsqueeze-25) */
#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *const in = ctx->in[0];
    int64_t axes[DYNO_RANK_MAX] = {0};
    uint32_t count = 0;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_INDEX));
    const bool known = dyno_infer_consts(ctx, 1, axes, DYNO_RANK_MAX, &count);
    if (in->rank < 0)
        return dyno_infer_set(ctx, 0, in->dtype, -1, NULL);
    dyno_expr dims[DYNO_RANK_MAX];
    if (!known) {
        const int64_t added = dyno_infer_vector_count(ctx, 1);
        for (int i = 0; i < DYNO_RANK_MAX; i++)
            dims[i] = DYNO_EXPR_NONE;
        const bool fits = added >= 0 && added <= DYNO_RANK_MAX;
        return dyno_infer_set(ctx, 0, in->dtype, fits ? in->rank + (int)added : -1, dims);
    }
    bool is_new[DYNO_RANK_MAX] = {false};
    if (count > (uint32_t)(DYNO_RANK_MAX - in->rank))
        return DYNO_FAIL(ctx->err, DYNO_E_LIMIT,
                         "the output has %u dimensions, at most %d are held",
                         (unsigned)in->rank + count, DYNO_RANK_MAX);
    const int rank = in->rank + (int)count;
    for (uint32_t i = 0; i < count; i++) {
        int axis = 0;
        DYNO_TRY(dyno_infer_axis(ctx, axes[i], rank, &axis));
        if (is_new[axis])
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "axis %d is named twice", axis);
        is_new[axis] = true;
    }
    for (int i = 0, from = 0; i < rank; i++)
        dims[i] = is_new[i] ? dyno_expr_const(ctx->exprs, 1) : in->dims[from++];
    DYNO_TRY(dyno_infer_set(ctx, 0, in->dtype, rank, dims));
    if (in->elems != NULL)
        dyno_infer_set_elems(ctx, 0, in->elems, in->elem_count);
    return DYNO_OK;
}

const struct dyno_op dyno_op_unsqueeze = {
    .onnx_name = "Unsqueeze",
    .since = 25,
    DYNO_BINARY_OP,
    .flags = DYNO_OP_VIEW,
    .pw = -1,
    .infer = infer,
    .reference = dyno_ref_view,
};
