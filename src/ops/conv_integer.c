/* conv_integer.c - ConvInteger-10: Conv of (x - x_zero_point) with (w - w_zero_point), in i32. */
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

enum { IN_X, IN_W, IN_X_ZERO, IN_W_ZERO };

static enum dyno_status infer(struct dyno_infer *ctx)
{
    int rank = -1;
    dyno_expr dims[DYNO_RANK_MAX];
    DYNO_TRY(dyno_check_classes(ctx, IN_X, IN_W_ZERO, DYNO_WANT_INT));
    DYNO_TRY(dyno_conv_infer_dims(ctx, ctx->in[IN_X], ctx->in[IN_W], &rank, dims));
    return dyno_infer_set(ctx, 0, DYNO_I32, rank, dims);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *x = ctx->in[IN_X];
    const struct dyno_tensor *w = ctx->in[IN_W];
    struct dyno_tensor *out = &ctx->out[0];
    struct dyno_window window;
    DYNO_TRY(dyno_quantize_want_count(ctx, IN_X_ZERO, "x_zero_point", 1));
    DYNO_TRY(dyno_quantize_want_count(ctx, IN_W_ZERO, "w_zero_point", w->dims[0]));
    DYNO_TRY(dyno_conv_window(ctx->attrs, x->rank, x->dims, w->dims, &window, ctx->err));
    enum dyno_status status = DYNO_OK;
    const int64_t count = dyno_tensor_count(out);
    double *x_values =
        dyno_quantize_centred(x, ctx->in_count > IN_X_ZERO ? ctx->in[IN_X_ZERO] : NULL, 1, 1);
    double *w_values =
        dyno_quantize_centred(w, ctx->in_count > IN_W_ZERO ? ctx->in[IN_W_ZERO] : NULL,
                              w->dims[0] > 0 ? dyno_tensor_count(w) / w->dims[0] : 1, w->dims[0]);
    double *y_values = dyno_values_alloc(count);
    if (x_values == NULL || w_values == NULL || y_values == NULL) {
        status = DYNO_NOMEM(ctx->err);
        goto out;
    }
    dyno_conv_run_f64(ctx->attrs, &window, x->dims, w->dims, x_values, w_values, y_values);
    for (int64_t i = 0; i < count; i++)
        dyno_elem_store_i64(DYNO_I32, out->data, (size_t)i, (int64_t)y_values[i]);
out:
    dyno_free(y_values);
    dyno_free(w_values);
    dyno_free(x_values);
    return status;
}

const struct dyno_op dyno_op_conv_integer = {
    .onnx_name = "ConvInteger",
    .domain = "",
    .since = 10,
    .in_min = 2,
    .in_max = 4,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_conv_attrs),
    .infer = infer,
    .reference = reference,
};
