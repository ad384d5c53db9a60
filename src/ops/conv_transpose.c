/* conv_transpose.c - ConvTranspose-22: the adjoint of Conv in x, plus bias. */
#include "ops/conv_transpose.h"

#include <string.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_conv_transpose_attrs, name)
static const struct dyno_attr attrs[] = {
    {"auto_pad", DYNO_ATTR_ENUM, FIELD(auto_pad), 0, dyno_auto_pad_names, 0},
    {"dilations", DYNO_ATTR_I64S, FIELD(dilations), 0, NULL, 0},
    {"group", DYNO_ATTR_I64, FIELD(group), 1, NULL, 0},
    {"kernel_shape", DYNO_ATTR_I64S, FIELD(kernel_shape), 0, NULL, 0},
    {"output_padding", DYNO_ATTR_I64S, FIELD(output_padding), 0, NULL, 0},
    {"output_shape", DYNO_ATTR_I64S, FIELD(output_shape), 0, NULL, 0},
    {"pads", DYNO_ATTR_I64S, FIELD(pads), 0, NULL, 0},
    {"strides", DYNO_ATTR_I64S, FIELD(strides), 0, NULL, 0},
};

/* What does not depend on x: the window and the extra lists. */
struct fixed {
    struct dyno_window window;
    int64_t extra[DYNO_WINDOW_AXES_MAX];  /* output_padding */
    int64_t wanted[DYNO_WINDOW_AXES_MAX]; /* output_shape; -1: free */
};

static enum dyno_status read_fixed(const struct dyno_conv_transpose_attrs *a, int axes,
                                   const int64_t *weight_dims, struct fixed *out,
                                   struct dyno_err *err)
{
    const struct dyno_window_attrs how = {.auto_pad = a->auto_pad,
                                          .kernel_shape = a->kernel_shape,
                                          .strides = a->strides,
                                          .dilations = a->dilations,
                                          .pads = a->pads};
    DYNO_TRY(dyno_window_static(&how, axes, weight_dims, &out->window, err));
    const struct dyno_i64s *extra = &a->output_padding;
    const struct dyno_i64s *shape = &a->output_shape;
    if (extra->count != 0 && extra->count != (uint32_t)axes)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "output_padding has %u entries, wants %d",
                         extra->count, axes);
    if (shape->count != 0 && shape->count != (uint32_t)axes)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "output_shape has %u entries, wants %d", shape->count,
                         axes);
    for (int i = 0; i < axes; i++) {
        out->extra[i] = extra->count != 0 ? extra->at[i] : 0;
        out->wanted[i] = shape->count != 0 ? shape->at[i] : -1;
        if (out->extra[i] < 0 || out->extra[i] > INT32_MAX)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "output_padding[%d] is %lld, must be 0..%d", i,
                             (long long)out->extra[i], INT32_MAX);
        if (shape->count != 0 && (out->wanted[i] < 1 || out->wanted[i] > INT32_MAX))
            return DYNO_FAIL(err, DYNO_E_FORMAT, "output_shape[%d] is %lld, must be 1..%d", i,
                             (long long)out->wanted[i], INT32_MAX);
    }
    return DYNO_OK;
}

static bool is_same(const struct dyno_conv_transpose_attrs *a)
{
    return a->auto_pad == DYNO_AUTO_PAD_SAME_UPPER || a->auto_pad == DYNO_AUTO_PAD_SAME_LOWER;
}

enum dyno_status dyno_conv_transpose_window(const struct dyno_conv_transpose_attrs *a, int rank,
                                            const int64_t *x_dims, const int64_t *w_dims,
                                            struct dyno_window *window_out, struct dyno_err *err)
{
    struct fixed fixed = {0};
    DYNO_TRY(read_fixed(a, rank - 2, w_dims + 2, &fixed, err));
    struct dyno_window *window = &fixed.window;
    for (int i = 0; i < window->axes; i++) {
        const int64_t in = x_dims[2 + i];
        if (in < 0 || in > INT32_MAX)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "x has size %lld on spatial axis %d", (long long)in,
                             i);
        window->in[i] = in;
        const int64_t full = window->stride[i] * (in - 1) + fixed.extra[i] +
                             (window->kernel[i] - 1) * window->dilation[i] + 1;
        const int64_t wanted =
            is_same(a) && fixed.wanted[i] < 0 ? in * window->stride[i] : fixed.wanted[i];
        if (wanted >= 0) {
            const int64_t total = full > wanted ? full - wanted : 0;
            const int64_t half = total / 2;
            window->pad_begin[i] = a->auto_pad == DYNO_AUTO_PAD_SAME_UPPER ? half : total - half;
            window->pad_end[i] = total - window->pad_begin[i];
            window->out[i] = wanted;
        } else {
            window->out[i] = full - window->pad_begin[i] - window->pad_end[i];
        }
        if (window->out[i] < 0)
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "pads %lld and %lld leave nothing of the %lld "
                             "outputs on spatial axis %d",
                             (long long)window->pad_begin[i], (long long)window->pad_end[i],
                             (long long)full, i);
    }
    *window_out = *window;
    return DYNO_OK;
}

static enum dyno_status check_channels(struct dyno_infer *ctx,
                                       const struct dyno_conv_transpose_attrs *a)
{
    int64_t x_channels = 0;
    int64_t w_channels = 0;
    if (a->group < 1 || a->group > INT32_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "group is %lld, must be at least 1",
                         (long long)a->group);
    const bool have_x = dyno_dim_const(ctx, ctx->in[0], 1, &x_channels);
    const bool have_w = dyno_dim_const(ctx, ctx->in[1], 0, &w_channels);
    if (have_x && x_channels % a->group != 0)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "group %lld does not divide x's %lld channels",
                         (long long)a->group, (long long)x_channels);
    if (have_x && have_w && x_channels != w_channels)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "w has %lld input channels but x has %lld",
                         (long long)w_channels, (long long)x_channels);
    return DYNO_OK;
}

static dyno_expr out_expr(struct dyno_infer *ctx, const struct dyno_conv_transpose_attrs *a,
                          const struct fixed *fixed, int i, dyno_expr in)
{
    struct dyno_exprs *exprs = ctx->exprs;
    const struct dyno_window *window = &fixed->window;
    if (fixed->wanted[i] >= 0)
        return dyno_expr_const(exprs, fixed->wanted[i]);
    const dyno_expr scaled = dyno_expr_mul(exprs, in, dyno_expr_const(exprs, window->stride[i]));
    if (is_same(a))
        return scaled;
    const int64_t rest = fixed->extra[i] - window->stride[i] +
                         (window->kernel[i] - 1) * window->dilation[i] + 1 - window->pad_begin[i] -
                         window->pad_end[i];
    return dyno_expr_add(exprs, scaled, dyno_expr_const(exprs, rest));
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_conv_transpose_attrs *a = ctx->attrs;
    const struct dyno_type *x = ctx->in[0];
    const struct dyno_type *w = ctx->in[1];
    DYNO_TRY(dyno_check_classes(ctx, 0, 2, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_check_same_dtype(ctx, 0, "x", 1, "w"));
    DYNO_TRY(dyno_check_same_dtype(ctx, 0, "x", 2, "bias"));
    if (x->rank >= 0 && w->rank >= 0 && x->rank != w->rank)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "x has rank %d but w has rank %d", x->rank,
                         w->rank);
    if (x->rank >= 0 && x->rank < 3)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "x has rank %d, wants at least 3: N, C and space",
                         x->rank);
    DYNO_TRY(check_channels(ctx, a));
    if (x->rank < 0)
        return dyno_infer_set(ctx, 0, x->dtype, -1, NULL);
    const int axes = x->rank - 2;
    dyno_expr dims[DYNO_RANK_MAX];
    dims[0] = x->dims[0];
    dims[1] = w->rank >= 0
                  ? dyno_expr_mul(ctx->exprs, w->dims[1], dyno_expr_const(ctx->exprs, a->group))
                  : dyno_infer_unknown_dim(ctx);
    DYNO_TRY(dyno_check_vector(ctx, 2, "bias", dims[1]));
    int64_t kernel[DYNO_RANK_MAX];
    bool known = true;
    for (int i = 0; i < axes; i++)
        known = known && dyno_dim_const(ctx, w, 2 + i, &kernel[i]);
    struct fixed fixed = {0};
    const bool usable = known || a->kernel_shape.count != 0;
    if (usable)
        DYNO_TRY(read_fixed(a, axes, known ? kernel : NULL, &fixed, ctx->err));
    for (int i = 0; i < axes; i++)
        dims[2 + i] =
            usable ? out_expr(ctx, a, &fixed, i, x->dims[2 + i]) : dyno_infer_unknown_dim(ctx);
    return dyno_infer_set(ctx, 0, x->dtype, x->rank, dims);
}

/* One input channel's part of one output channel. */
static void add_channel(const struct dyno_window *v, const double *x, const double *w, double *y)
{
    for (int64_t id = 0; id < v->in[0]; id++)
        for (int64_t ih = 0; ih < v->in[1]; ih++)
            for (int64_t kd = 0; kd < v->kernel[0]; kd++)
                for (int64_t kh = 0; kh < v->kernel[1]; kh++) {
                    const int64_t od = id * v->stride[0] + kd * v->dilation[0] - v->pad_begin[0];
                    const int64_t oh = ih * v->stride[1] + kh * v->dilation[1] - v->pad_begin[1];
                    if (od < 0 || od >= v->out[0] || oh < 0 || oh >= v->out[1])
                        continue;
                    const double *row = x + (id * v->in[1] + ih) * v->in[2];
                    double *out = y + (od * v->out[1] + oh) * v->out[2];
                    const double *taps = w + (kd * v->kernel[1] + kh) * v->kernel[2];
                    for (int64_t kw = 0; kw < v->kernel[2]; kw++)
                        for (int64_t iw = 0; iw < v->in[2]; iw++) {
                            const int64_t ow =
                                iw * v->stride[2] + kw * v->dilation[2] - v->pad_begin[2];
                            if (ow >= 0 && ow < v->out[2])
                                out[ow] += row[iw] * taps[kw];
                        }
                }
}

static void run(const struct dyno_conv_transpose_attrs *a, const struct dyno_window *window,
                const int64_t *x_dims, const int64_t *w_dims, const double *x, const double *w,
                const struct dyno_tensor *bias, double *y)
{
    const struct dyno_window v = dyno_window_as_3d(window);
    const int64_t in_size = v.in[0] * v.in[1] * v.in[2];
    const int64_t out_size = v.out[0] * v.out[1] * v.out[2];
    const int64_t taps = v.kernel[0] * v.kernel[1] * v.kernel[2];
    const int64_t per_group = w_dims[1];
    const int64_t channels = x_dims[1] / a->group;
    for (int64_t n = 0; n < x_dims[0]; n++)
        for (int64_t m = 0; m < per_group * a->group; m++) {
            double *plane = y + (n * per_group * a->group + m) * out_size;
            const double start =
                bias != NULL ? dyno_elem_load_f64(bias->dtype, bias->data, (size_t)m) : 0;
            for (int64_t i = 0; i < out_size; i++)
                plane[i] = start;
            for (int64_t c = 0; c < channels; c++) {
                const int64_t channel = m / per_group * channels + c;
                add_channel(&v, x + (n * x_dims[1] + channel) * in_size,
                            w + (channel * per_group + m % per_group) * taps, plane);
            }
        }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *x = ctx->in[0];
    const struct dyno_tensor *w = ctx->in[1];
    struct dyno_window window;
    DYNO_TRY(dyno_conv_transpose_window(ctx->attrs, x->rank, x->dims, w->dims, &window, ctx->err));
    enum dyno_status status = DYNO_OK;
    double *x_values = dyno_values_load(x);
    double *w_values = dyno_values_load(w);
    double *y_values = dyno_values_alloc(dyno_tensor_count(&ctx->out[0]));
    if (x_values == NULL || w_values == NULL || y_values == NULL) {
        status = DYNO_NOMEM(ctx->err);
        goto out;
    }
    run(ctx->attrs, &window, x->dims, w->dims, x_values, w_values,
        ctx->in_count > 2 ? ctx->in[2] : NULL, y_values);
    dyno_values_store(&ctx->out[0], y_values);
out:
    dyno_free(y_values);
    dyno_free(w_values);
    dyno_free(x_values);
    return status;
}

const struct dyno_op dyno_op_conv_transpose = {
    .onnx_name = "ConvTranspose",
    .domain = "",
    .since = 22,
    .in_min = 2,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_conv_transpose_attrs),
    .infer = infer,
    .reference = reference,
};
