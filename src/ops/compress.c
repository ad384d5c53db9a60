/* compress.c - y = the slices of x (or its elements) where the condition is true.
 * (ONNX Compress-11) */
#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, offsetof(struct dyno_compress_attrs, axis), (double)DYNO_AXIS_ABSENT,
     NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_compress_attrs *const a = ctx->attrs;
    const struct dyno_type *const in = ctx->in[0];
    dyno_expr dims[DYNO_RANK_MAX] = {DYNO_EXPR_NONE};
    int axis = 0;
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_BOOL));
    if (a->axis == DYNO_AXIS_ABSENT)
        return dyno_infer_set(ctx, 0, in->dtype, 1, dims);
    if (in->rank < 0)
        return dyno_infer_set(ctx, 0, in->dtype, -1, NULL);
    DYNO_TRY(dyno_infer_axis(ctx, a->axis, in->rank, &axis));
    for (int i = 0; i < in->rank; i++)
        dims[i] = i == axis ? DYNO_EXPR_NONE : in->dims[i];
    return dyno_infer_set(ctx, 0, in->dtype, in->rank, dims);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_compress_attrs *const a = ctx->attrs;
    const struct dyno_tensor *const condition = ctx->in[1];
    struct dyno_tensor in = *ctx->in[0];
    if (a->axis == DYNO_AXIS_ABSENT) {
        in.dims[0] = dyno_tensor_count(ctx->in[0]);
        in.rank = 1;
    }
    const int axis = a->axis == DYNO_AXIS_ABSENT ? 0 : dyno_ref_axis(a->axis, in.rank);
    const int64_t size = in.dims[axis];
    const int64_t asked = dyno_tensor_count(condition);
    const int64_t looked = asked < size ? asked : size;
    int64_t dims[DYNO_RANK_MAX];
    int64_t kept = 0;
    for (int64_t i = 0; i < looked; i++)
        kept += dyno_ref_i64(condition, i) != 0;
    int64_t outer = 1;
    int64_t inner = 1;
    for (int i = 0; i < in.rank; i++) {
        dims[i] = i == axis ? kept : in.dims[i];
        outer *= i < axis ? in.dims[i] : 1;
        inner *= i > axis ? in.dims[i] : 1;
    }
    DYNO_TRY(dyno_ref_alloc(ctx, 0, in.dtype, in.rank, dims));
    int64_t to = 0;
    for (int64_t i = 0; i < outer; i++)
        for (int64_t j = 0; j < looked; j++)
            for (int64_t k = 0; k < inner && dyno_ref_i64(condition, j) != 0; k++)
                dyno_ref_copy(in.dtype, ctx->out[0].data, to++, in.data,
                              (i * size + j) * inner + k);
    return DYNO_OK;
}

const struct dyno_op dyno_op_compress = {
    .onnx_name = "Compress",
    .since = 11,
    DYNO_BINARY_OP,
    .flags = DYNO_OP_OPEN,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_compress_attrs),
    .infer = infer,
    .reference = reference,
};
