/* resize.h - attributes and geometry of Resize (opset 19's meaning).
 *
 * Inputs x, roi (optional), scales (f32, optional), sizes (i64, optional): exactly one of the last
 * two is present and not empty.
 */
#ifndef DYNO_OPS_RESIZE_H
#define DYNO_OPS_RESIZE_H

#include "ops/op.h"

enum dyno_resize_mode { DYNO_RESIZE_NEAREST, DYNO_RESIZE_LINEAR, DYNO_RESIZE_CUBIC };

enum dyno_resize_coord {
    DYNO_RESIZE_HALF_PIXEL,
    DYNO_RESIZE_HALF_PIXEL_SYMMETRIC,
    DYNO_RESIZE_PYTORCH_HALF_PIXEL,
    DYNO_RESIZE_ALIGN_CORNERS,
    DYNO_RESIZE_ASYMMETRIC,
    DYNO_RESIZE_TF_CROP_AND_RESIZE,
};

enum dyno_resize_round {
    DYNO_RESIZE_ROUND_PREFER_FLOOR,
    DYNO_RESIZE_ROUND_PREFER_CEIL,
    DYNO_RESIZE_FLOOR,
    DYNO_RESIZE_CEIL,
};

enum dyno_resize_policy {
    DYNO_RESIZE_STRETCH,
    DYNO_RESIZE_NOT_LARGER,
    DYNO_RESIZE_NOT_SMALLER,
};

struct dyno_resize_attrs {
    int64_t antialias;         /* != 0: widen linear/cubic filters when shrinking */
    struct dyno_i64s axes;     /* which axes roi, scales, sizes speak of; absent: all in order */
    int32_t coord;             /* enum dyno_resize_coord (coordinate_transformation_mode) */
    float cubic_coeff_a;       /* -0.75 */
    int64_t exclude_outside;   /* != 0: weights outside the tensor are 0, the rest renormalised */
    float extrapolation_value; /* outside the roi with TF_CROP_AND_RESIZE */
    int32_t policy;            /* enum dyno_resize_policy; only with sizes */
    int32_t mode;              /* enum dyno_resize_mode */
    int32_t round;             /* enum dyno_resize_round (nearest_mode) */
};

/* Resolved for concrete inputs. */
struct dyno_resize_plan {
    int rank;
    int64_t in[DYNO_RANK_MAX];
    int64_t out[DYNO_RANK_MAX];
    double scale[DYNO_RANK_MAX]; /* as given, or out/in when sizes are; 1 on axes not named */
    bool exact[DYNO_RANK_MAX];   /* scale is out/in: coordinates are then computed from those */
    double roi_begin[DYNO_RANK_MAX];
    double roi_end[DYNO_RANK_MAX];
};

/* x gives rank and dims; roi, scales, sizes: the inputs, NULL when absent. */
enum dyno_status dyno_resize_plan(const struct dyno_resize_attrs *attrs,
                                  const struct dyno_tensor *x, const struct dyno_tensor *roi,
                                  const struct dyno_tensor *scales, const struct dyno_tensor *sizes,
                                  struct dyno_resize_plan *plan_out, struct dyno_err *err);

/* With TF_CROP_AND_RESIZE: whether the coordinate lies outside the input, so that the output is
 * extrapolation_value.  False for the other modes. */
bool dyno_resize_is_outside(const struct dyno_resize_attrs *attrs,
                            const struct dyno_resize_plan *plan, int axis, int64_t o);

/* Source coordinate (in elements, not clamped) of output index `o` on `axis`. */
double dyno_resize_coord(const struct dyno_resize_attrs *attrs, const struct dyno_resize_plan *plan,
                         int axis, int64_t o);

/* One output index as a weighted sum of `count` source indices from `first` on.  Indices outside
 * [0, in) mean the clamped edge element.  Weights sum to 1.  weights has room for
 * dyno_resize_taps_max(); returns the count.  For NEAREST: one tap, inside [0, in). */
int dyno_resize_taps(const struct dyno_resize_attrs *attrs, const struct dyno_resize_plan *plan,
                     int axis, int64_t o, int64_t *first_out, double *weights_out);
int dyno_resize_taps_max(const struct dyno_resize_attrs *attrs, const struct dyno_resize_plan *plan,
                         int axis);

#endif /* DYNO_OPS_RESIZE_H */
