/* constant_of_shape.c - y = one value everywhere.  (ONNX ConstantOfShape-25) */
#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"value", DYNO_ATTR_TENSOR, offsetof(struct dyno_constant_of_shape_attrs, value), 0, NULL, 0},
};

static enum dyno_status set_elems(struct dyno_infer *ctx, const struct dyno_tensor *value)
{
    int64_t dims[DYNO_RANK_MAX];
    int64_t count = 0;
    if (value == NULL || ctx->out_count == 0 ||
        (!dyno_dtype_is_int(value->dtype) && value->dtype != DYNO_BOOL) ||
        !dyno_infer_const_dims(ctx, &ctx->out[0], dims) ||
        !dyno_dims_count(dims, ctx->out[0].rank, &count) || count > DYNO_ELEMS_MAX)
        return DYNO_OK;
    dyno_expr *const elems = dyno_infer_elems_alloc(ctx, (uint32_t)count);
    if (elems == NULL)
        return DYNO_NOMEM(ctx->err);
    for (int64_t i = 0; i < count; i++)
        elems[i] = dyno_expr_const(ctx->exprs, dyno_ref_i64(value, 0));
    dyno_infer_set_elems(ctx, 0, elems, (uint32_t)count);
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_constant_of_shape_attrs *const a = ctx->attrs;
    dyno_expr dims[DYNO_RANK_MAX];
    uint32_t count = 0;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_INDEX));
    if (a->value != NULL && dyno_tensor_count(a->value) != 1)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "attribute value must hold one element");
    const dyno_expr *const shape = dyno_infer_elems(ctx, 0, &count);
    const int64_t rank = shape != NULL ? (int64_t)count : dyno_infer_vector_count(ctx, 0);
    if (rank > DYNO_RANK_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_LIMIT,
                         "the shape has %lld dimensions, at most %d are held", (long long)rank,
                         DYNO_RANK_MAX);
    for (int i = 0; i < (int)rank; i++)
        dims[i] = shape != NULL ? shape[i] : DYNO_EXPR_NONE;
    DYNO_TRY(
        dyno_infer_set(ctx, 0, a->value != NULL ? a->value->dtype : DYNO_F32, (int)rank, dims));
    return set_elems(ctx, a->value);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_constant_of_shape_attrs *const a = ctx->attrs;
    struct dyno_tensor *const out = &ctx->out[0];
    const int64_t count = dyno_tensor_count(out);
    for (int64_t i = 0; a->value != NULL && i < count; i++)
        dyno_ref_copy(out->dtype, out->data, i, a->value->data, 0);
    return DYNO_OK; /* without a value: f32 zeros, which the allocation gave */
}

const struct dyno_op dyno_op_constant_of_shape = {
    .onnx_name = "ConstantOfShape",
    .since = 25,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_constant_of_shape_attrs),
    .infer = infer,
    .reference = reference,
};
