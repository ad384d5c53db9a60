/* dynamic_quantize_linear.c - DynamicQuantizeLinear-11: to u8 over the range of x and 0. */
#include "ops/infer.h"
#include "ops/quantize.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *x = ctx->in[0];
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_infer_set(ctx, 0, DYNO_U8, x->rank, x->dims));
    DYNO_TRY(dyno_infer_set(ctx, 1, DYNO_F32, 0, NULL));
    return dyno_infer_set(ctx, 2, DYNO_U8, 0, NULL);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *x = ctx->in[0];
    const int64_t count = dyno_tensor_count(x);
    float min = 0;
    float max = 0;
    for (int64_t i = 0; i < count; i++) {
        const float v = (float)dyno_elem_load_f64(x->dtype, x->data, (size_t)i);
        min = v < min ? v : min;
        max = v > max ? v : max;
    }
    /* Nothing but zeros: any scale does. */
    const float scale = max > min ? (max - min) / 255.0F : 1.0F;
    const double zero = dyno_quantize_round(-min / scale, 0, 0, 255);
    for (int64_t i = 0; i < count; i++) {
        const float v = (float)dyno_elem_load_f64(x->dtype, x->data, (size_t)i);
        ((uint8_t *)ctx->out[0].data)[i] = (uint8_t)dyno_quantize_round(v / scale, zero, 0, 255);
    }
    if (ctx->out_count > 1)
        *(float *)ctx->out[1].data = scale;
    if (ctx->out_count > 2)
        *(uint8_t *)ctx->out[2].data = (uint8_t)zero;
    return DYNO_OK;
}

const struct dyno_op dyno_op_dynamic_quantize_linear = {
    .onnx_name = "DynamicQuantizeLinear",
    .domain = "",
    .since = 11,
    .in_min = 1,
    .in_max = 1,
    .out_min = 3,
    .out_max = 3,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
