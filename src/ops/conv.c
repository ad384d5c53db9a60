/* conv.c - Conv-22: correlation of x [N,C,...] with w [M,C/group,...], plus bias. */
#include "ops/conv.h"

#include <string.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/values.h"

static const struct dyno_attr attrs[] = {
    {"auto_pad", DYNO_ATTR_ENUM, offsetof(struct dyno_conv_attrs, auto_pad), 0, dyno_auto_pad_names,
     0},
    {"dilations", DYNO_ATTR_I64S, offsetof(struct dyno_conv_attrs, dilations), 0, NULL, 0},
    {"group", DYNO_ATTR_I64, offsetof(struct dyno_conv_attrs, group), 1, NULL, 0},
    {"kernel_shape", DYNO_ATTR_I64S, offsetof(struct dyno_conv_attrs, kernel_shape), 0, NULL, 0},
    {"pads", DYNO_ATTR_I64S, offsetof(struct dyno_conv_attrs, pads), 0, NULL, 0},
    {"strides", DYNO_ATTR_I64S, offsetof(struct dyno_conv_attrs, strides), 0, NULL, 0},
};

static struct dyno_window_attrs window_attrs(const struct dyno_conv_attrs *a)
{
    return (struct dyno_window_attrs){.auto_pad = a->auto_pad,
                                      .kernel_shape = a->kernel_shape,
                                      .strides = a->strides,
                                      .dilations = a->dilations,
                                      .pads = a->pads};
}

enum dyno_status dyno_conv_window(const struct dyno_conv_attrs *a, int rank, const int64_t *x_dims,
                                  const int64_t *w_dims, struct dyno_window *window_out,
                                  struct dyno_err *err)
{
    const struct dyno_window_attrs window = window_attrs(a);
    return dyno_window_resolve(&window, rank - 2, x_dims + 2, w_dims + 2, window_out, err);
}

/* Channels and groups, as far as sizes are known. */
static enum dyno_status check_channels(struct dyno_infer *ctx, const struct dyno_conv_attrs *a,
                                       const struct dyno_type *x, const struct dyno_type *w)
{
    if (a->group < 1 || a->group > INT32_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "group is %lld, must be at least 1",
                         (long long)a->group);
    int64_t in_channels = 0;
    int64_t per_group = 0;
    int64_t out_channels = 0;
    const bool have_in = dyno_dim_const(ctx, x, 1, &in_channels);
    if (have_in && in_channels % a->group != 0)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "group %lld does not divide x's %lld channels",
                         (long long)a->group, (long long)in_channels);
    if (have_in && dyno_dim_const(ctx, w, 1, &per_group) && per_group != in_channels / a->group)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "w has %lld channels a group, wants %lld: x has %lld channels in %lld "
                         "groups",
                         (long long)per_group, (long long)(in_channels / a->group),
                         (long long)in_channels, (long long)a->group);
    if (dyno_dim_const(ctx, w, 0, &out_channels) && out_channels % a->group != 0)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "group %lld does not divide w's %lld outputs",
                         (long long)a->group, (long long)out_channels);
    return DYNO_OK;
}

/* Spatial sizes; unknown where the window is not known yet. */
static enum dyno_status spatial_dims(struct dyno_infer *ctx, const struct dyno_conv_attrs *a,
                                     const struct dyno_type *x, const struct dyno_type *w, int axes,
                                     dyno_expr *dims_out)
{
    const struct dyno_window_attrs how = window_attrs(a);
    int64_t kernel[DYNO_RANK_MAX];
    bool known = true;
    for (int i = 0; i < axes; i++)
        known = known && dyno_dim_const(ctx, w, 2 + i, &kernel[i]);
    struct dyno_window window;
    const bool given = a->kernel_shape.at != NULL && a->kernel_shape.count != 0;
    if (known || given)
        DYNO_TRY(dyno_window_static(&how, axes, known ? kernel : NULL, &window, ctx->err));
    for (int i = 0; i < axes; i++) {
        int64_t in = 0;
        int64_t size = 0;
        if ((!known && !given) || x->rank < 0)
            dims_out[i] = dyno_infer_unknown_dim(ctx);
        else
            dims_out[i] = dyno_window_out_expr(ctx->exprs, &how, &window, i, x->dims[2 + i]);
        if (dyno_dim_const(ctx, x, 2 + i, &in) && in > 0 &&
            dyno_expr_is_const(ctx->exprs, dims_out[i], &size) && size < 1)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "the window is larger than the padded input on spatial axis %d", i);
    }
    return DYNO_OK;
}

enum dyno_status dyno_conv_infer_dims(struct dyno_infer *ctx, const struct dyno_type *x,
                                      const struct dyno_type *w, int *rank_out, dyno_expr *dims_out)
{
    const struct dyno_conv_attrs *a = ctx->attrs;
    const int rank = x->rank >= 0 ? x->rank : w->rank;
    *rank_out = rank;
    if (x->rank >= 0 && w->rank >= 0 && x->rank != w->rank)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "x has rank %d but w has rank %d", x->rank,
                         w->rank);
    if (rank >= 0 && rank < 3)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "x has rank %d, wants at least 3: N, C and space",
                         rank);
    if (rank - 2 > DYNO_WINDOW_AXES_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_UNSUPPORTED,
                         "x has %d spatial axes; this build slides over at most %d", rank - 2,
                         DYNO_WINDOW_AXES_MAX);
    DYNO_TRY(check_channels(ctx, a, x, w));
    if (rank < 0)
        return DYNO_OK;
    dims_out[0] = x->rank >= 0 ? x->dims[0] : dyno_infer_unknown_dim(ctx);
    dims_out[1] = w->rank >= 0 ? w->dims[0] : dyno_infer_unknown_dim(ctx);
    return spatial_dims(ctx, a, x, w, rank - 2, dims_out + 2);
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    int rank = -1;
    dyno_expr dims[DYNO_RANK_MAX];
    DYNO_TRY(dyno_check_classes(ctx, 0, 2, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_check_same_dtype(ctx, 0, "x", 1, "w"));
    DYNO_TRY(dyno_check_same_dtype(ctx, 0, "x", 2, "bias"));
    DYNO_TRY(dyno_conv_infer_dims(ctx, ctx->in[0], ctx->in[1], &rank, dims));
    DYNO_TRY(dyno_check_vector(ctx, 2, "bias",
                               ctx->in[1]->rank > 0 ? ctx->in[1]->dims[0] : DYNO_EXPR_NONE));
    return dyno_infer_set(ctx, 0, ctx->in[0]->dtype, rank, dims);
}

/* y[o] += weight * x[o*stride + offset] along the last axis, where that lies inside x. */
static void add_row(const struct dyno_window *v, int64_t k, double weight, const double *restrict x,
                    double *restrict y)
{
    const int64_t stride = v->stride[2];
    const int64_t offset = k * v->dilation[2] - v->pad_begin[2];
    const int64_t first = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
    const int64_t room = v->in[2] - 1 - offset;
    const int64_t end = room < 0 ? 0 : room / stride + 1;
    const int64_t stop = end < v->out[2] ? end : v->out[2];
    if (stride == 1) {
        for (int64_t o = first; o < stop; o++)
            y[o] += weight * x[o + offset];
        return;
    }
    for (int64_t o = first; o < stop; o++)
        y[o] += weight * x[o * stride + offset];
}

/* One input channel's part of one output channel. */
static void add_channel(const struct dyno_window *v, const double *x, const double *w, double *y)
{
    for (int64_t kd = 0; kd < v->kernel[0]; kd++)
        for (int64_t kh = 0; kh < v->kernel[1]; kh++)
            for (int64_t od = 0; od < v->out[0]; od++) {
                const int64_t id = od * v->stride[0] + kd * v->dilation[0] - v->pad_begin[0];
                if (id < 0 || id >= v->in[0])
                    continue;
                for (int64_t oh = 0; oh < v->out[1]; oh++) {
                    const int64_t ih = oh * v->stride[1] + kh * v->dilation[1] - v->pad_begin[1];
                    if (ih < 0 || ih >= v->in[1])
                        continue;
                    for (int64_t kw = 0; kw < v->kernel[2]; kw++)
                        add_row(v, kw, w[(kd * v->kernel[1] + kh) * v->kernel[2] + kw],
                                x + (id * v->in[1] + ih) * v->in[2],
                                y + (od * v->out[1] + oh) * v->out[2]);
                }
            }
}

/* A 1x1 window of stride 1 without padding: the plane is one long row. */
static struct dyno_window flatten_pointwise(struct dyno_window v)
{
    for (int i = 0; i < 3; i++)
        if (v.kernel[i] != 1 || v.stride[i] != 1 || v.in[i] != v.out[i])
            return v;
    v.in[2] = v.out[2] = v.in[0] * v.in[1] * v.in[2];
    v.in[0] = v.out[0] = v.in[1] = v.out[1] = 1;
    return v;
}

void dyno_conv_run_f64(const struct dyno_conv_attrs *a, const struct dyno_window *window,
                       const int64_t *x_dims, const int64_t *w_dims, const double *x,
                       const double *w, double *y)
{
    const struct dyno_window v = flatten_pointwise(dyno_window_as_3d(window));
    const int64_t in_size = v.in[0] * v.in[1] * v.in[2];
    const int64_t out_size = v.out[0] * v.out[1] * v.out[2];
    const int64_t taps = v.kernel[0] * v.kernel[1] * v.kernel[2];
    const int64_t channels = w_dims[1];
    const int64_t outs = w_dims[0];
    for (int64_t n = 0; n < x_dims[0]; n++)
        for (int64_t m = 0; m < outs; m++) {
            double *plane = y + (n * outs + m) * out_size;
            const int64_t first = n * x_dims[1] + m / (outs / a->group) * channels;
            memset(plane, 0, (size_t)out_size * sizeof(*plane));
            for (int64_t c = 0; c < channels; c++)
                add_channel(&v, x + (first + c) * in_size, w + (m * channels + c) * taps, plane);
        }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_conv_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    const struct dyno_tensor *w = ctx->in[1];
    const struct dyno_tensor *bias = ctx->in_count > 2 ? ctx->in[2] : NULL;
    struct dyno_window window;
    DYNO_TRY(dyno_conv_window(a, x->rank, x->dims, w->dims, &window, ctx->err));
    enum dyno_status status = DYNO_OK;
    const int64_t count = dyno_tensor_count(&ctx->out[0]);
    double *x_values = dyno_values_load(x);
    double *w_values = dyno_values_load(w);
    double *y_values = dyno_values_alloc(count);
    if (x_values == NULL || w_values == NULL || y_values == NULL) {
        status = DYNO_NOMEM(ctx->err);
        goto out;
    }
    dyno_conv_run_f64(a, &window, x->dims, w->dims, x_values, w_values, y_values);
    if (bias != NULL) {
        const int64_t planes = x->dims[0] * w->dims[0];
        const int64_t size = planes > 0 ? count / planes : 0;
        for (int64_t i = 0; size > 0 && i < count; i++)
            y_values[i] +=
                dyno_elem_load_f64(bias->dtype, bias->data, (size_t)(i / size % w->dims[0]));
    }
    dyno_values_store(&ctx->out[0], y_values);
out:
    dyno_free(y_values);
    dyno_free(w_values);
    dyno_free(x_values);
    return status;
}

const struct dyno_op dyno_op_conv = {
    .onnx_name = "Conv",
    .domain = "",
    .since = 22,
    .in_min = 2,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_conv_attrs),
    .infer = infer,
    .reference = reference,
};
