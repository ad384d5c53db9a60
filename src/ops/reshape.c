/* reshape.c - y = x's elements under another shape: 0 keeps a size, -1 takes what is left.
 * (ONNX Reshape-25) */
#include <inttypes.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"allowzero", DYNO_ATTR_I64, offsetof(struct dyno_reshape_attrs, allowzero), 0, NULL, 0},
};

/* What one entry of the shape asks for.  An entry that is not a constant is taken for a size, but
 * for a choice that may yet turn out to be -1. */
static dyno_expr wanted_dim(struct dyno_infer *ctx, int axis, dyno_expr entry, bool *is_rest)
{
    const struct dyno_reshape_attrs *const a = ctx->attrs;
    const struct dyno_type *const in = ctx->in[0];
    int64_t size = 0;
    int64_t min = 0;
    int64_t max = 0;
    *is_rest = false;
    if (!dyno_expr_is_const(ctx->exprs, entry, &size)) {
        dyno_expr_range(ctx->exprs, entry, &min, &max);
        const bool is_choice = dyno_exprs_node(ctx->exprs, entry).op == DYNO_EXPR_SELECT;
        return min < 0 && is_choice ? DYNO_EXPR_NONE : entry;
    }
    if (size == 0 && a->allowzero == 0)
        return in->rank >= 0 && axis < in->rank ? in->dims[axis] : DYNO_EXPR_NONE;
    *is_rest = size == -1;
    return entry;
}

/* dims[rest] = the input's count / the product of the other dims.  Sizes on both sides cancel
 * first, which holds even where they may be 0. */
static enum dyno_status solve_rest(struct dyno_infer *ctx, dyno_expr *dims, int rank, int rest)
{
    const struct dyno_type *const in = ctx->in[0];
    bool used[DYNO_RANK_MAX] = {false};
    dyno_expr divisor = dyno_expr_const(ctx->exprs, 1);
    dyno_expr total = divisor;
    dims[rest] = DYNO_EXPR_NONE;
    if (in->rank < 0)
        return DYNO_OK;
    for (int i = 0; i < rank; i++) {
        if (i == rest)
            continue;
        int64_t size = 0;
        int match = in->rank;
        if (!dyno_expr_is_const(ctx->exprs, dims[i], &size))
            for (match = 0; match < in->rank; match++)
                if (!used[match] && in->dims[match] == dims[i])
                    break;
        if (match < in->rank)
            used[match] = true;
        else
            divisor = dyno_expr_mul(ctx->exprs, divisor, dims[i]);
    }
    for (int i = 0; i < in->rank; i++)
        if (!used[i])
            total = dyno_expr_mul(ctx->exprs, total, in->dims[i]);
    int64_t count = 0;
    int64_t by = 0;
    if (dyno_expr_is_const(ctx->exprs, divisor, &by) && by == 0)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "the size -1 is undefined beside a size of 0");
    if (dyno_expr_is_const(ctx->exprs, divisor, &by) &&
        dyno_expr_is_const(ctx->exprs, total, &count) && count % by != 0)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "%" PRId64 " elements do not divide by the %" PRId64
                         " of the other dimensions",
                         count, by);
    dims[rest] = dyno_expr_floordiv(ctx->exprs, total, divisor);
    return DYNO_OK;
}

static enum dyno_status check_counts(struct dyno_infer *ctx, const dyno_expr *dims, int rank)
{
    const struct dyno_type *const in = ctx->in[0];
    int64_t have = 0;
    int64_t want = 0;
    if (in->rank < 0 ||
        !dyno_expr_is_const(ctx->exprs, dyno_infer_product(ctx, in->dims, 0, in->rank), &have) ||
        !dyno_expr_is_const(ctx->exprs, dyno_infer_product(ctx, dims, 0, rank), &want) ||
        have == want)
        return DYNO_OK;
    return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                     "the input has %" PRId64 " elements, the shape wants %" PRId64, have, want);
}

static enum dyno_status infer_dims(struct dyno_infer *ctx, const dyno_expr *entries, int rank,
                                   dyno_expr *dims)
{
    int rest = -1;
    for (int i = 0; i < rank; i++) {
        bool is_rest = false;
        int64_t size = 0;
        dims[i] = wanted_dim(ctx, i, entries[i], &is_rest);
        if (dyno_expr_is_const(ctx->exprs, entries[i], &size) && size < -1)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "dimension %d is %" PRId64 ", must be -1 or more", i, size);
        if (is_rest && rest >= 0)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "dimensions %d and %d are both -1", rest, i);
        if (is_rest)
            rest = i;
    }
    if (rest >= 0)
        return solve_rest(ctx, dims, rank, rest);
    return check_counts(ctx, dims, rank);
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_INDEX));
    dyno_expr dims[DYNO_RANK_MAX];
    uint32_t count = 0;
    const dyno_expr *const entries = dyno_infer_elems(ctx, 1, &count);
    const int64_t known = entries != NULL ? (int64_t)count : dyno_infer_vector_count(ctx, 1);
    if (known > DYNO_RANK_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_LIMIT,
                         "the shape has %" PRId64 " dimensions, at most %d are held", known,
                         DYNO_RANK_MAX);
    for (int i = 0; i < DYNO_RANK_MAX; i++)
        dims[i] = DYNO_EXPR_NONE;
    if (entries != NULL)
        DYNO_TRY(infer_dims(ctx, entries, (int)count, dims));
    DYNO_TRY(dyno_infer_set(ctx, 0, ctx->in[0]->dtype, (int)known, dims));
    if (ctx->in[0]->elems != NULL)
        dyno_infer_set_elems(ctx, 0, ctx->in[0]->elems, ctx->in[0]->elem_count);
    return DYNO_OK;
}

const struct dyno_op dyno_op_reshape = {
    .onnx_name = "Reshape",
    .since = 25,
    DYNO_BINARY_OP,
    .flags = DYNO_OP_VIEW,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_reshape_attrs),
    .infer = infer,
    .reference = dyno_ref_view,
};
