/* pool.h - attributes of MaxPool, AveragePool and LpPool, and of the global poolings.
 *
 * x [N, C, spatial...]; y [N, C, spatial...].
 */
#ifndef DYNO_OPS_POOL_H
#define DYNO_OPS_POOL_H

#include "ops/window.h"

struct dyno_pooling_attrs {
    int32_t auto_pad;              /* enum dyno_auto_pad */
    int64_t ceil_mode;             /* != 0: round output sizes up (a window that would start in the
                                    * end padding is dropped) */
    int64_t count_include_pad;     /* AveragePool: padding (the attributes', not what ceil_mode
                                    * adds) counts in the divisor */
    int64_t storage_order;         /* MaxPool's Indices: 0 row-major, 1 column-major */
    int64_t p;                     /* LpPool: the norm's exponent */
    struct dyno_i64s kernel_shape; /* required */
    struct dyno_i64s dilations;    /* absent: 1 each */
    struct dyno_i64s strides;      /* absent: 1 each */
    struct dyno_i64s pads;         /* begins then ends; absent: 0 each */
};

/* GlobalLpPool */
struct dyno_global_lp_pool_attrs {
    int64_t p;
};

/* The window for concrete x of that rank (spatial axes are 2..rank-1). */
enum dyno_status dyno_pooling_window(const struct dyno_pooling_attrs *attrs, int rank,
                                     const int64_t *x_dims, struct dyno_window *window_out,
                                     struct dyno_err *err);

/* Shape rules: output 0 has x's dtype; MaxPool's Indices (when wanted) are i64. */
enum dyno_status dyno_pooling_infer(struct dyno_infer *ctx);
enum dyno_status dyno_global_pooling_infer(struct dyno_infer *ctx);

/* How values fold: the state starts at `start`, add() takes each value, finish() ends it with how
 * many values there were. */
struct dyno_pooling_rule {
    double start;
    double (*add)(double state, double x, int64_t p);
    double (*finish)(double state, double count, int64_t p);
};

/* References: of a windowed pooling (the attributes are struct dyno_pooling_attrs), and of a global
 * one. */
enum dyno_status dyno_pooling_run(struct dyno_ref *ctx, const struct dyno_pooling_rule *rule);
enum dyno_status dyno_global_pooling_run(struct dyno_ref *ctx, const struct dyno_pooling_rule *rule,
                                         int64_t p);

/* |x|^p summed, and its p-th root. */
extern const struct dyno_pooling_rule dyno_pooling_lp;
extern const struct dyno_pooling_rule dyno_pooling_average;

#endif /* DYNO_OPS_POOL_H */
