/* max_unpool.c - MaxUnpool-22: puts values back where MaxPool's Indices say, zeros elsewhere. */
#include "ops/infer.h"
#include "ops/pool.h"
#include "ops/ref.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_pooling_attrs, name)
static const struct dyno_attr attrs[] = {
    {"kernel_shape", DYNO_ATTR_I64S, FIELD(kernel_shape), 0, NULL, 1},
    {"pads", DYNO_ATTR_I64S, FIELD(pads), 0, NULL, 0},
    {"strides", DYNO_ATTR_I64S, FIELD(strides), 0, NULL, 0},
};

enum { IN_X, IN_INDICES, IN_SHAPE };

/* Per axis: pooled size p was made from (p - 1)*stride + rest. */
static enum dyno_status read_axes(const struct dyno_pooling_attrs *a, int axes, int64_t *stride_out,
                                  int64_t *rest_out, struct dyno_err *err)
{
    const struct dyno_window_attrs how = {
        .kernel_shape = a->kernel_shape, .strides = a->strides, .pads = a->pads};
    struct dyno_window window;
    DYNO_TRY(dyno_window_static(&how, axes, NULL, &window, err));
    for (int i = 0; i < axes; i++) {
        stride_out[i] = window.stride[i];
        rest_out[i] = window.kernel[i] - window.pad_begin[i] - window.pad_end[i];
    }
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *x = ctx->in[IN_X];
    int64_t stride[DYNO_WINDOW_AXES_MAX];
    int64_t rest[DYNO_WINDOW_AXES_MAX];
    dyno_expr dims[DYNO_RANK_MAX];
    DYNO_TRY(dyno_infer_want(ctx, IN_X, DYNO_WANT_NUMBER));
    DYNO_TRY(dyno_check_classes(ctx, IN_INDICES, IN_SHAPE, DYNO_WANT_INDEX));
    if (x->rank < 0)
        return dyno_infer_set(ctx, 0, x->dtype, -1, NULL);
    if (x->rank < 3)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "x has rank %d, wants at least 3: N, C and space",
                         x->rank);
    DYNO_TRY(read_axes(ctx->attrs, x->rank - 2, stride, rest, ctx->err));
    uint32_t count = 0;
    const dyno_expr *shape = dyno_infer_elems(ctx, IN_SHAPE, &count);
    const bool open = ctx->in_count > IN_SHAPE && ctx->in[IN_SHAPE] != NULL;
    for (int i = 0; i < x->rank; i++) {
        if (open)
            dims[i] = shape != NULL && count == (uint32_t)x->rank ? shape[i] : DYNO_EXPR_NONE;
        else if (i < 2)
            dims[i] = x->dims[i];
        else
            dims[i] = dyno_expr_add(
                ctx->exprs,
                dyno_expr_mul(ctx->exprs, x->dims[i], dyno_expr_const(ctx->exprs, stride[i - 2])),
                dyno_expr_const(ctx->exprs, rest[i - 2] - stride[i - 2]));
    }
    return dyno_infer_set(ctx, 0, x->dtype, x->rank, dims);
}

/* The shape that the indices count in, and the output's. */
static enum dyno_status read_shapes(struct dyno_ref *ctx, int64_t *from, int64_t *to)
{
    const struct dyno_tensor *x = ctx->in[IN_X];
    const struct dyno_tensor *shape = ctx->in_count > IN_SHAPE ? ctx->in[IN_SHAPE] : NULL;
    int64_t stride[DYNO_WINDOW_AXES_MAX];
    int64_t rest[DYNO_WINDOW_AXES_MAX];
    DYNO_TRY(read_axes(ctx->attrs, x->rank - 2, stride, rest, ctx->err));
    if (dyno_tensor_count(ctx->in[IN_INDICES]) != dyno_tensor_count(x))
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "the indices have %lld entries, x has %lld",
                         (long long)dyno_tensor_count(ctx->in[IN_INDICES]),
                         (long long)dyno_tensor_count(x));
    if (shape != NULL && dyno_tensor_count(shape) != x->rank)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "output_shape has %lld entries, wants %d",
                         (long long)dyno_tensor_count(shape), x->rank);
    for (int i = 0; i < x->rank; i++) {
        from[i] = i < 2 ? x->dims[i] : (x->dims[i] - 1) * stride[i - 2] + rest[i - 2];
        to[i] = shape != NULL ? dyno_ref_i64(shape, i) : from[i];
        if (from[i] < 0 || to[i] < from[i])
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "output size %lld on axis %d, wants %lld or "
                             "more",
                             (long long)to[i], i, (long long)from[i]);
    }
    return DYNO_OK;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *x = ctx->in[IN_X];
    const int rank = x->rank;
    int64_t from[DYNO_RANK_MAX] = {0};
    int64_t to[DYNO_RANK_MAX] = {0};
    DYNO_ASSERT(rank <= DYNO_RANK_MAX);
    DYNO_TRY(read_shapes(ctx, from, to));
    DYNO_TRY(dyno_values_shape_out(ctx, 0, x->dtype, rank, to));
    int64_t limit = 0;
    if (!dyno_dims_count(from, rank, &limit))
        return DYNO_FAIL(ctx->err, DYNO_E_LIMIT, "the unpooled tensor is too large");
    struct dyno_tensor *out = &ctx->out[0];
    for (int64_t i = 0; i < dyno_tensor_count(out); i++)
        dyno_elem_store_f64(out->dtype, out->data, (size_t)i, 0);
    for (int64_t i = 0; i < dyno_tensor_count(x); i++) {
        int64_t idx = dyno_ref_i64(ctx->in[IN_INDICES], i);
        if (idx < 0 || idx >= limit)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "indices[%lld] is %lld, must be 0..%lld",
                             (long long)i, (long long)idx, (long long)(limit - 1));
        int64_t at = 0;
        int64_t stride = 1;
        for (int axis = rank - 1; axis >= 0; axis--) {
            DYNO_ASSERT(from[axis] > 0); /* else the limit were 0 */
            at += idx % from[axis] * stride;
            idx /= from[axis];
            stride *= to[axis];
        }
        dyno_ref_copy(x->dtype, out->data, at, x->data, i);
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_max_unpool = {
    .onnx_name = "MaxUnpool",
    .domain = "",
    .since = 22,
    .in_min = 2,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_pooling_attrs),
    .infer = infer,
    .reference = reference,
};
