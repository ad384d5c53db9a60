/* window.h - sliding windows: what convolutions and poolings have in common.
 *
 * The attributes are ONNX's as written (absent lists mean defaults).  Kernels and references work
 * on a resolved struct dyno_window, where every list has one entry an axis and auto_pad is gone.
 */
#ifndef DYNO_OPS_WINDOW_H
#define DYNO_OPS_WINDOW_H

#include "ops/op.h"

#define DYNO_WINDOW_AXES_MAX 3 /* spatial axes; more are refused with E_UNSUPPORTED */

enum dyno_auto_pad {
    DYNO_AUTO_PAD_NOTSET, /* `pads` says */
    DYNO_AUTO_PAD_SAME_UPPER,
    DYNO_AUTO_PAD_SAME_LOWER,
    DYNO_AUTO_PAD_VALID, /* no padding */
};
extern const char *const dyno_auto_pad_names[]; /* spellings, NULL-terminated */

/* ONNX's attributes, borrowed from the op's own struct. */
struct dyno_window_attrs {
    int32_t auto_pad;              /* enum dyno_auto_pad */
    bool ceil_mode;                /* poolings: round the output size up, not down */
    struct dyno_i64s kernel_shape; /* empty: the weight's spatial dims */
    struct dyno_i64s strides;      /* empty: 1 each */
    struct dyno_i64s dilations;    /* empty: 1 each */
    struct dyno_i64s pads;         /* begins then ends; empty: 0 each */
};

/* Resolved for concrete sizes.  Output o of axis a reads input o*stride + k*dilation - pad_begin
 * for k in [0, kernel).  pad_end is what the attributes say (SAME_*: what is needed); with
 * ceil_mode the last window may reach beyond it.  For ConvTranspose `in` and `out` are those of the
 * op, and input i adds to output i*stride + k*dilation - pad_begin. */
struct dyno_window {
    int axes; /* spatial axes, 1..DYNO_WINDOW_AXES_MAX */
    int64_t in[DYNO_WINDOW_AXES_MAX];
    int64_t out[DYNO_WINDOW_AXES_MAX];
    int64_t kernel[DYNO_WINDOW_AXES_MAX];
    int64_t stride[DYNO_WINDOW_AXES_MAX];
    int64_t dilation[DYNO_WINDOW_AXES_MAX];
    int64_t pad_begin[DYNO_WINDOW_AXES_MAX];
    int64_t pad_end[DYNO_WINDOW_AXES_MAX];
};

/* Checks lists (length, signs, bounds) against `axes`; kernel[] gets kernel_shape or, when that is
 * absent, weight_dims (NULL for poolings: kernel_shape is required).  Fills kernel, stride,
 * dilation and, for NOTSET, pads; in and out stay 0. */
enum dyno_status dyno_window_static(const struct dyno_window_attrs *attrs, int axes,
                                    const int64_t *weight_dims, struct dyno_window *window_out,
                                    struct dyno_err *err);

/* All of it for concrete input sizes in_dims[axes]: resolves auto_pad and the output sizes. */
enum dyno_status dyno_window_resolve(const struct dyno_window_attrs *attrs, int axes,
                                     const int64_t *in_dims, const int64_t *weight_dims,
                                     struct dyno_window *window_out, struct dyno_err *err);

/* Output size of axis `axis` as an expression; `window` from dyno_window_static. */
dyno_expr dyno_window_out_expr(struct dyno_exprs *exprs, const struct dyno_window_attrs *attrs,
                               const struct dyno_window *window, int axis, dyno_expr in);

/* The same window seen as three axes: missing leading axes get size 1, kernel 1, stride 1. */
struct dyno_window dyno_window_as_3d(const struct dyno_window *window);

#endif /* DYNO_OPS_WINDOW_H */
