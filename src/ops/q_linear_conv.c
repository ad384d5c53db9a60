/* q_linear_conv.c - QLinearConv-10: Conv between quantised tensors, requantised. */
#include "base/mem.h"
#include "ops/conv.h"
#include "ops/infer.h"
#include "ops/quantize.h"
#include "ops/ref.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_conv_attrs, name)
static const struct dyno_attr attrs[] = {
    {"auto_pad", DYNO_ATTR_ENUM, FIELD(auto_pad), 0, dyno_auto_pad_names, 0},
    {"dilations", DYNO_ATTR_I64S, FIELD(dilations), 0, NULL, 0},
    {"group", DYNO_ATTR_I64, FIELD(group), 1, NULL, 0},
    {"kernel_shape", DYNO_ATTR_I64S, FIELD(kernel_shape), 0, NULL, 0},
    {"pads", DYNO_ATTR_I64S, FIELD(pads), 0, NULL, 0},
    {"strides", DYNO_ATTR_I64S, FIELD(strides), 0, NULL, 0},
};

enum { IN_X, IN_X_SCALE, IN_X_ZERO, IN_W, IN_W_SCALE, IN_W_ZERO, IN_Y_SCALE, IN_Y_ZERO, IN_BIAS };

static enum dyno_status infer(struct dyno_infer *ctx)
{
    int rank = -1;
    dyno_expr dims[DYNO_RANK_MAX];
    const struct dyno_type *w = ctx->in[IN_W];
    int64_t scales = 0;
    DYNO_TRY(dyno_quantize_linear_classes(ctx));
    DYNO_TRY(dyno_infer_want(ctx, IN_BIAS, DYNO_WANT_INT));
    DYNO_TRY(dyno_conv_infer_dims(ctx, ctx->in[IN_X], w, &rank, dims));
    const dyno_expr outs = w->rank > 0 ? w->dims[0] : DYNO_EXPR_NONE;
    DYNO_TRY(dyno_check_vector(ctx, IN_BIAS, "bias", outs));
    if (dyno_dim_const(ctx, ctx->in[IN_W_SCALE], 0, &scales) && scales != 1)
        DYNO_TRY(dyno_check_vector(ctx, IN_W_SCALE, "w_scale", outs));
    return dyno_infer_set(ctx, 0, ctx->in[IN_Y_ZERO]->dtype, rank, dims);
}

static float scale_of(const struct dyno_tensor *scale, int64_t idx)
{
    const int64_t at = dyno_tensor_count(scale) == 1 ? 0 : idx;
    return (float)dyno_elem_load_f64(scale->dtype, scale->data, (size_t)at);
}

/* Sums to output elements: bias, scales, rounding, clamping. */
static void requantize(struct dyno_ref *ctx, const double *sums)
{
    const struct dyno_tensor *bias = ctx->in_count > IN_BIAS ? ctx->in[IN_BIAS] : NULL;
    struct dyno_tensor *out = &ctx->out[0];
    const int64_t count = dyno_tensor_count(out);
    const int64_t planes = out->dims[0] * out->dims[1];
    const int64_t size = planes > 0 ? count / planes : 0;
    double min = 0;
    double max = 0;
    dyno_quantize_bounds(out->dtype, &min, &max);
    for (int64_t i = 0; size > 0 && i < count; i++) {
        const int64_t m = i / size % out->dims[1];
        const double sum = sums[i] + (bias != NULL ? (double)dyno_ref_i64(bias, m) : 0);
        const float factor = scale_of(ctx->in[IN_X_SCALE], 0) * scale_of(ctx->in[IN_W_SCALE], m) /
                             scale_of(ctx->in[IN_Y_SCALE], 0);
        const double y = dyno_quantize_round((float)sum * factor,
                                             dyno_quantize_zero(ctx->in[IN_Y_ZERO], 0), min, max);
        dyno_elem_store_i64(out->dtype, out->data, (size_t)i, (int64_t)y);
    }
}

/* All single, but for the weight's, which may be of each output channel. */
static enum dyno_status check_counts(struct dyno_ref *ctx)
{
    const int64_t outs = ctx->in[IN_W]->dims[0];
    DYNO_TRY(dyno_quantize_want_count(ctx, IN_X_SCALE, "x_scale", 1));
    DYNO_TRY(dyno_quantize_want_count(ctx, IN_X_ZERO, "x_zero_point", 1));
    DYNO_TRY(dyno_quantize_want_count(ctx, IN_W_SCALE, "w_scale", outs));
    DYNO_TRY(dyno_quantize_want_count(ctx, IN_W_ZERO, "w_zero_point", outs));
    DYNO_TRY(dyno_quantize_want_count(ctx, IN_Y_SCALE, "y_scale", 1));
    return dyno_quantize_want_count(ctx, IN_Y_ZERO, "y_zero_point", 1);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *x = ctx->in[IN_X];
    const struct dyno_tensor *w = ctx->in[IN_W];
    struct dyno_window window;
    DYNO_TRY(check_counts(ctx));
    DYNO_TRY(dyno_conv_window(ctx->attrs, x->rank, x->dims, w->dims, &window, ctx->err));
    enum dyno_status status = DYNO_OK;
    double *x_values = dyno_quantize_centred(x, ctx->in[IN_X_ZERO], 1, 1);
    double *w_values = dyno_quantize_centred(
        w, ctx->in[IN_W_ZERO], w->dims[0] > 0 ? dyno_tensor_count(w) / w->dims[0] : 1, w->dims[0]);
    double *sums = dyno_values_alloc(dyno_tensor_count(&ctx->out[0]));
    if (x_values == NULL || w_values == NULL || sums == NULL) {
        status = DYNO_NOMEM(ctx->err);
        goto out;
    }
    dyno_conv_run_f64(ctx->attrs, &window, x->dims, w->dims, x_values, w_values, sums);
    requantize(ctx, sums);
out:
    dyno_free(sums);
    dyno_free(w_values);
    dyno_free(x_values);
    return status;
}

const struct dyno_op dyno_op_q_linear_conv = {
    .onnx_name = "QLinearConv",
    .domain = "",
    .since = 10,
    .in_min = 8,
    .in_max = 9,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_conv_attrs),
    .infer = infer,
    .reference = reference,
};
