/* window.c - sliding windows of convolutions and poolings: checks and sizes. */
#include "ops/window.h"

#include "base/err.h"

const char *const dyno_auto_pad_names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", NULL};

/* Larger values make no sense and could overflow the size arithmetic. */
#define WINDOW_VALUE_MAX INT32_MAX

static enum dyno_status read_list(const char *name, const struct dyno_i64s *list, int axes,
                                  int64_t min, int64_t fallback, int64_t *out, struct dyno_err *err)
{
    if (list->at != NULL && list->count != 0 && list->count != (uint32_t)axes)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s has %u entries, wants %d", name, list->count,
                         axes);
    for (int i = 0; i < axes; i++) {
        out[i] = list->at != NULL && list->count != 0 ? list->at[i] : fallback;
        if (out[i] < min || out[i] > WINDOW_VALUE_MAX)
            return DYNO_FAIL(err, DYNO_E_FORMAT, "%s[%d] is %lld, must be %lld..%d", name, i,
                             (long long)out[i], (long long)min, WINDOW_VALUE_MAX);
    }
    return DYNO_OK;
}

static enum dyno_status read_kernel(const struct dyno_window_attrs *attrs, int axes,
                                    const int64_t *weight_dims, struct dyno_window *window,
                                    struct dyno_err *err)
{
    const bool given = attrs->kernel_shape.at != NULL && attrs->kernel_shape.count != 0;
    if (!given && weight_dims == NULL)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "kernel_shape is missing");
    DYNO_TRY(read_list("kernel_shape", &attrs->kernel_shape, axes, 1, 1, window->kernel, err));
    for (int i = 0; i < axes && weight_dims != NULL; i++) {
        if (given && weight_dims[i] != window->kernel[i])
            return DYNO_FAIL(err, DYNO_E_FORMAT, "kernel_shape[%d] is %lld but the weight has %lld",
                             i, (long long)window->kernel[i], (long long)weight_dims[i]);
        if (weight_dims[i] < 1 || weight_dims[i] > WINDOW_VALUE_MAX)
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "the weight's size %lld on spatial axis %d is not "
                             "a window",
                             (long long)weight_dims[i], i);
        window->kernel[i] = weight_dims[i];
    }
    return DYNO_OK;
}

enum dyno_status dyno_window_static(const struct dyno_window_attrs *attrs, int axes,
                                    const int64_t *weight_dims, struct dyno_window *window_out,
                                    struct dyno_err *err)
{
    if (axes < 1)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "a window wants at least one spatial axis, got %d",
                         axes);
    if (axes > DYNO_WINDOW_AXES_MAX)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "%d spatial axes; this build slides over at most "
                         "%d",
                         axes, DYNO_WINDOW_AXES_MAX);
    *window_out = (struct dyno_window){.axes = axes};
    DYNO_TRY(read_kernel(attrs, axes, weight_dims, window_out, err));
    DYNO_TRY(read_list("strides", &attrs->strides, axes, 1, 1, window_out->stride, err));
    DYNO_TRY(read_list("dilations", &attrs->dilations, axes, 1, 1, window_out->dilation, err));
    int64_t pads[2 * DYNO_WINDOW_AXES_MAX] = {0};
    if (attrs->auto_pad == DYNO_AUTO_PAD_NOTSET)
        DYNO_TRY(read_list("pads", &attrs->pads, 2 * axes, 0, 0, pads, err));
    for (int i = 0; i < axes; i++) {
        window_out->pad_begin[i] = pads[i];
        window_out->pad_end[i] = pads[axes + i];
    }
    return DYNO_OK;
}

/* Input elements that one window spans. */
static int64_t extent(const struct dyno_window *window, int axis)
{
    return (window->kernel[axis] - 1) * window->dilation[axis] + 1;
}

dyno_expr dyno_window_out_expr(struct dyno_exprs *exprs, const struct dyno_window_attrs *attrs,
                               const struct dyno_window *window, int axis, dyno_expr in)
{
    const dyno_expr stride = dyno_expr_const(exprs, window->stride[axis]);
    if (attrs->auto_pad == DYNO_AUTO_PAD_SAME_UPPER || attrs->auto_pad == DYNO_AUTO_PAD_SAME_LOWER)
        return dyno_expr_ceildiv(exprs, in, stride);
    const int64_t begin = window->pad_begin[axis];
    const int64_t end = window->pad_end[axis];
    const dyno_expr room =
        dyno_expr_add(exprs, in, dyno_expr_const(exprs, begin + end - extent(window, axis)));
    const dyno_expr one = dyno_expr_const(exprs, 1);
    if (!attrs->ceil_mode)
        return dyno_expr_add(exprs, dyno_expr_floordiv(exprs, room, stride), one);
    dyno_expr steps = dyno_expr_ceildiv(exprs, room, stride);
    /* The last window must start inside the input or its begin padding. */
    if (end + window->stride[axis] > extent(window, axis)) {
        const dyno_expr last = dyno_expr_add(exprs, in, dyno_expr_const(exprs, begin - 1));
        steps = dyno_expr_min(exprs, steps, dyno_expr_floordiv(exprs, last, stride));
    }
    return dyno_expr_add(exprs, steps, one);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static void resolve_same(const struct dyno_window_attrs *attrs, struct dyno_window *window, int i)
{
    window->out[i] = (window->in[i] + window->stride[i] - 1) / window->stride[i];
    int64_t total = (window->out[i] - 1) * window->stride[i] + extent(window, i) - window->in[i];
    if (total < 0)
        total = 0;
    const int64_t half = total / 2;
    window->pad_begin[i] = attrs->auto_pad == DYNO_AUTO_PAD_SAME_UPPER ? half : total - half;
    window->pad_end[i] = total - window->pad_begin[i];
}

enum dyno_status dyno_window_resolve(const struct dyno_window_attrs *attrs, int axes,
                                     const int64_t *in_dims, const int64_t *weight_dims,
                                     struct dyno_window *window_out, struct dyno_err *err)
{
    struct dyno_window window;
    DYNO_TRY(dyno_window_static(attrs, axes, weight_dims, &window, err));
    for (int i = 0; i < axes; i++) {
        if (in_dims[i] < 0 || in_dims[i] > INT64_MAX / 4)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "spatial axis %d has size %lld", i,
                             (long long)in_dims[i]);
        window.in[i] = in_dims[i];
        if (attrs->auto_pad == DYNO_AUTO_PAD_SAME_UPPER ||
            attrs->auto_pad == DYNO_AUTO_PAD_SAME_LOWER) {
            resolve_same(attrs, &window, i);
            continue;
        }
        const int64_t stride = window.stride[i];
        const int64_t room =
            in_dims[i] + window.pad_begin[i] + window.pad_end[i] - extent(&window, i);
        if (room < 0)
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "the window spans %lld elements on spatial axis %d, more than the "
                             "padded input's %lld",
                             (long long)extent(&window, i), i,
                             (long long)(room + extent(&window, i)));
        int64_t steps = room / stride;
        if (attrs->ceil_mode) {
            const int64_t up = (room + stride - 1) / stride;
            const int64_t last = floor_div(in_dims[i] + window.pad_begin[i] - 1, stride);
            steps = up < last ? up : last;
        }
        window.out[i] = steps + 1;
    }
    *window_out = window;
    return DYNO_OK;
}

struct dyno_window dyno_window_as_3d(const struct dyno_window *window)
{
    struct dyno_window out = {.axes = 3};
    const int missing = 3 - window->axes;
    for (int i = 0; i < 3; i++) {
        const int from = i - missing;
        const bool real = from >= 0;
        out.in[i] = real ? window->in[from] : 1;
        out.out[i] = real ? window->out[from] : 1;
        out.kernel[i] = real ? window->kernel[from] : 1;
        out.stride[i] = real ? window->stride[from] : 1;
        out.dilation[i] = real ? window->dilation[from] : 1;
        out.pad_begin[i] = real ? window->pad_begin[from] : 0;
        out.pad_end[i] = real ? window->pad_end[from] : 0;
    }
    return out;
}
