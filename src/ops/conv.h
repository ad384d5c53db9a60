/* conv.h - attributes of Conv, ConvInteger and QLinearConv.
 *
 * x [N, C, spatial...], w [M, C/group, kernel...], bias [M]; y [N, M, spatial...].
 */
#ifndef DYNO_OPS_CONV_H
#define DYNO_OPS_CONV_H

#include "ops/window.h"

struct dyno_conv_attrs {
    int32_t auto_pad;              /* enum dyno_auto_pad */
    int64_t group;                 /* >= 1; divides C and M */
    struct dyno_i64s kernel_shape; /* absent: w's spatial dims */
    struct dyno_i64s dilations;    /* absent: 1 each */
    struct dyno_i64s strides;      /* absent: 1 each */
    struct dyno_i64s pads;         /* begins then ends; absent: 0 each; only with NOTSET */
};

/* The window for concrete x and w of that rank (spatial axes are 2..rank-1). */
enum dyno_status dyno_conv_window(const struct dyno_conv_attrs *attrs, int rank,
                                  const int64_t *x_dims, const int64_t *w_dims,
                                  struct dyno_window *window_out, struct dyno_err *err);

/* Shape rule shared by the three: checks x against w and fills dims_out[rank]. */
enum dyno_status dyno_conv_infer_dims(struct dyno_infer *ctx, const struct dyno_type *x,
                                      const struct dyno_type *w, int *rank_out,
                                      dyno_expr *dims_out);

/* y [N, M, spatial...] (f64 sums) of x [N, C, spatial...] and w, both f64 and dense: the integer
 * convolutions' slow meaning.  Exact while sums stay below 2^53. */
void dyno_conv_run_f64(const struct dyno_conv_attrs *attrs, const struct dyno_window *window,
                       const int64_t *x_dims, const int64_t *w_dims, const double *x,
                       const double *w, double *y);

#endif /* DYNO_OPS_CONV_H */
