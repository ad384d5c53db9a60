/* shape.c - y = the dimensions of x, or a part of them, as i64.  (ONNX Shape-25) */
#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"start", DYNO_ATTR_I64, offsetof(struct dyno_shape_attrs, start), 0, NULL, 0},
    {"end", DYNO_ATTR_I64, offsetof(struct dyno_shape_attrs, end), INT32_MAX, NULL, 0},
};

static int clamp_axis(int64_t axis, int rank)
{
    if (axis < 0)
        axis += rank;
    return axis < 0 ? 0 : (axis > rank ? rank : (int)axis);
}

static void part(const struct dyno_shape_attrs *a, int rank, int *from_out, int *count_out)
{
    const int end = clamp_axis(a->end, rank);
    *from_out = clamp_axis(a->start, rank);
    *count_out = end > *from_out ? end - *from_out : 0;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *const in = ctx->in[0];
    dyno_expr dim = DYNO_EXPR_NONE;
    int from = 0;
    int count = 0;
    if (in->rank < 0)
        return dyno_infer_set(ctx, 0, DYNO_I64, 1, &dim);
    part(ctx->attrs, in->rank, &from, &count);
    dim = dyno_expr_const(ctx->exprs, count);
    DYNO_TRY(dyno_infer_set(ctx, 0, DYNO_I64, 1, &dim));
    dyno_expr *const elems = dyno_infer_elems_alloc(ctx, (uint32_t)count);
    if (elems == NULL)
        return DYNO_NOMEM(ctx->err);
    for (int i = 0; i < count; i++)
        elems[i] = in->dims[from + i];
    dyno_infer_set_elems(ctx, 0, elems, (uint32_t)count);
    return DYNO_OK;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    int from = 0;
    int count = 0;
    part(ctx->attrs, ctx->in[0]->rank, &from, &count);
    for (int i = 0; i < count; i++)
        ((int64_t *)ctx->out[0].data)[i] = ctx->in[0]->dims[from + i];
    return DYNO_OK;
}

const struct dyno_op dyno_op_shape = {
    .onnx_name = "Shape",
    .since = 25,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_shape_attrs),
    .infer = infer,
    .reference = reference,
};
