/* center_crop_pad.c - y = x cropped or padded with 0 around its middle.  (ONNX CenterCropPad-18) */
#include <inttypes.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"axes", DYNO_ATTR_I64S, offsetof(struct dyno_center_crop_pad_attrs, axes), 0, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_center_crop_pad_attrs *const a = ctx->attrs;
    const struct dyno_type *const in = ctx->in[0];
    dyno_expr dims[DYNO_RANK_MAX];
    uint32_t count = 0;
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_INDEX));
    if (in->rank < 0)
        return dyno_infer_set(ctx, 0, in->dtype, -1, NULL);
    const uint32_t wanted = a->axes.at != NULL ? a->axes.count : (uint32_t)in->rank;
    const dyno_expr *const shape = dyno_infer_elems(ctx, 1, &count);
    if (shape != NULL && count != wanted)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "the shape has %u sizes for %u axes", count,
                         wanted);
    for (int i = 0; i < in->rank; i++)
        dims[i] = in->dims[i];
    for (uint32_t i = 0; i < wanted; i++) {
        int axis = 0;
        DYNO_TRY(
            dyno_infer_axis(ctx, a->axes.at != NULL ? a->axes.at[i] : (int64_t)i, in->rank, &axis));
        dims[axis] = shape != NULL ? shape[i] : DYNO_EXPR_NONE;
    }
    return dyno_infer_set(ctx, 0, in->dtype, in->rank, dims);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *const in = ctx->in[0];
    struct dyno_tensor *const out = &ctx->out[0];
    const int64_t count = dyno_tensor_count(out);
    int64_t strides[DYNO_RANK_MAX];
    int64_t offsets[DYNO_RANK_MAX]; /* input coordinate of output coordinate 0 */
    dyno_ref_strides(in->rank, in->dims, strides);
    for (int i = 0; i < in->rank; i++) {
        const int64_t more = in->dims[i] - out->dims[i];
        offsets[i] = more >= 0 ? more / 2 : -(-more / 2);
    }
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, out->dims);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk)) {
        int64_t from = 0;
        bool inside = true;
        for (int j = 0; j < in->rank; j++) {
            const int64_t c = walk.idx[j] + offsets[j];
            inside = inside && c >= 0 && c < in->dims[j];
            from += c * strides[j];
        }
        if (inside)
            dyno_ref_copy(in->dtype, out->data, i, in->data, from);
    }
    return DYNO_OK; /* the allocation gave zeros */
}

const struct dyno_op dyno_op_center_crop_pad = {
    .onnx_name = "CenterCropPad",
    .since = 18,
    DYNO_BINARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_center_crop_pad_attrs),
    .infer = infer,
    .reference = reference,
};
