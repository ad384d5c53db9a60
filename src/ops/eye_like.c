/* eye_like.c - y = a matrix of x's shape with ones on a diagonal.  (ONNX EyeLike-22) */
#include <inttypes.h>

#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"dtype", DYNO_ATTR_I64, offsetof(struct dyno_eye_like_attrs, dtype), 0, NULL, 0},
    {"k", DYNO_ATTR_I64, offsetof(struct dyno_eye_like_attrs, k), 0, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_eye_like_attrs *const a = ctx->attrs;
    const struct dyno_type *const in = ctx->in[0];
    if (a->dtype < DYNO_DTYPE_NONE || a->dtype >= DYNO_DTYPE_COUNT || a->dtype == DYNO_STR)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "attribute dtype is %" PRId64 ", not a number's",
                         a->dtype);
    if (in->rank >= 0 && in->rank != 2)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "input 0 has %d dimensions, must have 2",
                         in->rank);
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_NUMBER | DYNO_WANT_BOOL));
    return dyno_infer_set(ctx, 0, a->dtype != 0 ? (enum dyno_dtype)a->dtype : in->dtype, in->rank,
                          in->dims);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_eye_like_attrs *const a = ctx->attrs;
    struct dyno_tensor *const out = &ctx->out[0];
    if (out->dtype == DYNO_C64 || out->dtype == DYNO_C128)
        return dyno_ref_refuse(ctx, out->dtype);
    for (int64_t i = 0; i < out->dims[0]; i++)
        for (int64_t j = 0; j < out->dims[1]; j++)
            dyno_elem_store_i64(out->dtype, out->data, (size_t)(i * out->dims[1] + j),
                                j - i == a->k);
    return DYNO_OK;
}

const struct dyno_op dyno_op_eye_like = {
    .onnx_name = "EyeLike",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_eye_like_attrs),
    .infer = infer,
    .reference = reference,
};
