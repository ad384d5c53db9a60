/* split.c - the parts of x along an axis, of given or of equal sizes.  (ONNX Split-18) */
#include <inttypes.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, offsetof(struct dyno_split_attrs, axis), 0, NULL, 0},
    {"num_outputs", DYNO_ATTR_I64, offsetof(struct dyno_split_attrs, num_outputs), 0, NULL, 0},
};

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_split_attrs *const a = ctx->attrs;
    const struct dyno_tensor *const in = ctx->in[0];
    const int axis = dyno_ref_axis(a->axis, in->rank);
    int64_t strides[DYNO_RANK_MAX];
    dyno_ref_strides(in->rank, in->dims, strides);
    int64_t start = 0;
    for (uint32_t i = 0; i < ctx->out_count; i++) {
        struct dyno_tensor *const out = &ctx->out[i];
        const int64_t count = dyno_tensor_count(out);
        struct dyno_walk walk;
        dyno_walk_init(&walk, out->rank, out->dims);
        dyno_walk_add_strides(&walk, start * strides[axis], strides);
        for (int64_t j = 0; j < count; j++, dyno_walk_next(&walk))
            dyno_ref_copy(in->dtype, out->data, j, in->data, walk.at[0]);
        start += out->dims[axis];
    }
    return DYNO_OK;
}

/* Sizes as given by input 1; unknown ones are NONE. */
static enum dyno_status given_sizes(struct dyno_infer *ctx, dyno_expr total, dyno_expr *sizes)
{
    uint32_t count = 0;
    const dyno_expr *const given = dyno_infer_elems(ctx, 1, &count);
    for (uint32_t i = 0; i < ctx->out_count; i++)
        sizes[i] = DYNO_EXPR_NONE;
    if (given == NULL)
        return DYNO_OK;
    if (count != ctx->out_count)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "there are %u sizes for %u outputs", count,
                         ctx->out_count);
    dyno_expr sum = dyno_expr_const(ctx->exprs, 0);
    for (uint32_t i = 0; i < count; i++) {
        sizes[i] = given[i];
        sum = dyno_expr_add(ctx->exprs, sum, given[i]);
    }
    int64_t have = 0;
    int64_t want = 0;
    if (dyno_expr_is_const(ctx->exprs, total, &have) &&
        dyno_expr_is_const(ctx->exprs, sum, &want) && have != want)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "the sizes add up to %" PRId64 ", the axis has %" PRId64, want, have);
    return DYNO_OK;
}

/* Equal parts, rounded up; the last one takes what is left. */
static enum dyno_status equal_sizes(struct dyno_infer *ctx, dyno_expr total, dyno_expr *sizes)
{
    const int64_t parts = ctx->out_count;
    const dyno_expr part = dyno_expr_ceildiv(ctx->exprs, total, dyno_expr_const(ctx->exprs, parts));
    const dyno_expr rest = dyno_expr_sub(
        ctx->exprs, total, dyno_expr_mul(ctx->exprs, part, dyno_expr_const(ctx->exprs, parts - 1)));
    for (uint32_t i = 0; i < ctx->out_count; i++)
        sizes[i] = i + 1 < ctx->out_count ? part : rest;
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_split_attrs *const a = ctx->attrs;
    const struct dyno_type *const in = ctx->in[0];
    const bool is_given = ctx->in_count > 1 && ctx->in[1] != NULL;
    int axis = 0;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    if (a->num_outputs != 0 && a->num_outputs != (int64_t)ctx->out_count)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "num_outputs is %" PRId64 ", the node has %u",
                         a->num_outputs, ctx->out_count);
    if (in->rank < 0) {
        for (uint32_t i = 0; i < ctx->out_count; i++)
            DYNO_TRY(dyno_infer_set(ctx, i, in->dtype, -1, NULL));
        return DYNO_OK;
    }
    DYNO_TRY(dyno_infer_axis(ctx, a->axis, in->rank, &axis));
    dyno_expr *const sizes = dyno_infer_elems_alloc(ctx, ctx->out_count);
    if (sizes == NULL)
        return DYNO_NOMEM(ctx->err);
    DYNO_TRY((is_given ? given_sizes : equal_sizes)(ctx, in->dims[axis], sizes));
    for (uint32_t i = 0; i < ctx->out_count; i++) {
        dyno_expr dims[DYNO_RANK_MAX];
        for (int j = 0; j < in->rank; j++)
            dims[j] = j == axis ? sizes[i] : in->dims[j];
        DYNO_TRY(dyno_infer_set(ctx, i, in->dtype, in->rank, dims));
    }
    struct dyno_infer data = *ctx;
    data.in_count = 1;
    return dyno_infer_move_elems(&data, reference, 1);
}

const struct dyno_op dyno_op_split = {
    .onnx_name = "Split",
    .domain = "",
    .since = 18,
    .in_min = 1,
    .in_max = 2,
    .out_min = 1,
    .out_max = DYNO_OP_INPUTS_MAX,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_split_attrs),
    .infer = infer,
    .reference = reference,
};
