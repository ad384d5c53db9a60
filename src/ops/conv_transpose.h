/* conv_transpose.h - attributes of ConvTranspose.
 *
 * x [N, C, spatial...], w [C, M/group, kernel...], bias [M]; y [N, M, spatial...].
 */
#ifndef DYNO_OPS_CONV_TRANSPOSE_H
#define DYNO_OPS_CONV_TRANSPOSE_H

#include "ops/window.h"

struct dyno_conv_transpose_attrs {
    int32_t auto_pad;                /* enum dyno_auto_pad */
    int64_t group;                   /* >= 1; divides C */
    struct dyno_i64s kernel_shape;   /* absent: w's spatial dims */
    struct dyno_i64s dilations;      /* absent: 1 each */
    struct dyno_i64s strides;        /* absent: 1 each */
    struct dyno_i64s pads;           /* begins then ends; absent: 0 each */
    struct dyno_i64s output_padding; /* added at each axis' end; absent: 0 each */
    struct dyno_i64s output_shape; /* spatial sizes wanted; pads are then computed; absent: free */
};

/* The window for concrete x and w of that rank: input i adds to output
 * i*stride + k*dilation - pad_begin where that lies inside [0, out). */
enum dyno_status dyno_conv_transpose_window(const struct dyno_conv_transpose_attrs *attrs, int rank,
                                            const int64_t *x_dims, const int64_t *w_dims,
                                            struct dyno_window *window_out, struct dyno_err *err);

#endif /* DYNO_OPS_CONV_TRANSPOSE_H */
