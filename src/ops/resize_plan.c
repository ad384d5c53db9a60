/* resize_plan.c - the geometry of Resize: sizes, coordinates and filter taps.
 *
 * Meaning: ONNX Resize-19; the taps follow its text (antialias widens the filter by 1/scale). */
#include <math.h>

#include "ops/ref.h"
#include "ops/resize.h"

#define RESIZE_SIZE_MAX (INT64_C(1) << 40)

/* Axis that entry i of roi, scales or sizes speaks of. */
static enum dyno_status list_axis(const struct dyno_resize_attrs *a, int rank, int64_t i,
                                  int *axis_out, struct dyno_err *err)
{
    if (a->axes.count == 0) {
        *axis_out = (int)i;
        return DYNO_OK;
    }
    const int64_t axis = a->axes.at[i];
    if (axis < -rank || axis >= rank)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "axes[%lld] is %lld, must be %d..%d", (long long)i,
                         (long long)axis, -rank, rank - 1);
    *axis_out = dyno_ref_axis(axis, rank);
    return DYNO_OK;
}

static enum dyno_status check_count(const char *name, const struct dyno_tensor *list, int64_t want,
                                    struct dyno_err *err)
{
    if (dyno_tensor_count(list) == want)
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_FORMAT, "%s has %lld entries, wants %lld", name,
                     (long long)dyno_tensor_count(list), (long long)want);
}

static enum dyno_status apply_scales(const struct dyno_resize_attrs *a,
                                     const struct dyno_tensor *scales,
                                     struct dyno_resize_plan *plan, struct dyno_err *err)
{
    for (int64_t i = 0; i < dyno_tensor_count(scales); i++) {
        int axis = 0;
        DYNO_TRY(list_axis(a, plan->rank, i, &axis, err));
        const double scale = dyno_elem_load_f64(scales->dtype, scales->data, (size_t)i);
        if (!(scale > 0) || !isfinite(scale))
            return DYNO_FAIL(err, DYNO_E_FORMAT, "scales[%lld] is %g, must be greater than 0",
                             (long long)i, scale);
        /* f32, as ONNX's own shape inference multiplies. */
        const float size = floorf((float)plan->in[axis] * (float)scale);
        if (!(size < (float)RESIZE_SIZE_MAX))
            return DYNO_FAIL(err, DYNO_E_LIMIT, "scales[%lld] is %g: the output is too large",
                             (long long)i, scale);
        plan->scale[axis] = scale;
        plan->out[axis] = (int64_t)size;
    }
    return DYNO_OK;
}

static enum dyno_status apply_sizes(const struct dyno_resize_attrs *a,
                                    const struct dyno_tensor *sizes, struct dyno_resize_plan *plan,
                                    struct dyno_err *err)
{
    const int64_t count = dyno_tensor_count(sizes);
    double common = a->policy == DYNO_RESIZE_NOT_LARGER ? INFINITY : 0;
    for (int64_t i = 0; i < count; i++) {
        int axis = 0;
        DYNO_TRY(list_axis(a, plan->rank, i, &axis, err));
        const int64_t size = dyno_ref_i64(sizes, i);
        if (size < 0 || size > RESIZE_SIZE_MAX || (plan->in[axis] == 0 && size != 0))
            return DYNO_FAIL(err, DYNO_E_FORMAT, "sizes[%lld] is %lld for an input of %lld",
                             (long long)i, (long long)size, (long long)plan->in[axis]);
        plan->out[axis] = size;
        plan->scale[axis] = plan->in[axis] > 0 ? (double)size / (double)plan->in[axis] : 1;
        plan->exact[axis] = true;
        if (a->policy == DYNO_RESIZE_NOT_LARGER)
            common = fmin(common, plan->scale[axis]);
        else
            common = fmax(common, plan->scale[axis]);
    }
    for (int64_t i = 0; a->policy != DYNO_RESIZE_STRETCH && i < count; i++) {
        int axis = 0;
        DYNO_TRY(list_axis(a, plan->rank, i, &axis, err));
        plan->scale[axis] = common;
        plan->out[axis] = (int64_t)floor(common * (double)plan->in[axis] + 0.5);
        plan->exact[axis] = false;
    }
    return DYNO_OK;
}

static enum dyno_status apply_roi(const struct dyno_resize_attrs *a, const struct dyno_tensor *roi,
                                  int64_t count, struct dyno_resize_plan *plan,
                                  struct dyno_err *err)
{
    if (a->coord != DYNO_RESIZE_TF_CROP_AND_RESIZE)
        return DYNO_OK;
    if (roi == NULL)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "roi is missing; tf_crop_and_resize wants one");
    DYNO_TRY(check_count("roi", roi, 2 * count, err));
    for (int64_t i = 0; i < count; i++) {
        int axis = 0;
        DYNO_TRY(list_axis(a, plan->rank, i, &axis, err));
        plan->roi_begin[axis] = dyno_elem_load_f64(roi->dtype, roi->data, (size_t)i);
        plan->roi_end[axis] = dyno_elem_load_f64(roi->dtype, roi->data, (size_t)(count + i));
    }
    return DYNO_OK;
}

enum dyno_status dyno_resize_plan(const struct dyno_resize_attrs *a, const struct dyno_tensor *x,
                                  const struct dyno_tensor *roi, const struct dyno_tensor *scales,
                                  const struct dyno_tensor *sizes,
                                  struct dyno_resize_plan *plan_out, struct dyno_err *err)
{
    struct dyno_resize_plan plan = {.rank = x->rank};
    const bool by_scales = scales != NULL && dyno_tensor_count(scales) > 0;
    const bool by_sizes = sizes != NULL && dyno_tensor_count(sizes) > 0;
    if (by_scales == by_sizes && x->rank > 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s; exactly one of scales and sizes says the output",
                         by_scales ? "scales and sizes are both given"
                                   : "neither scales nor sizes is given");
    if (a->axes.count > (uint32_t)x->rank)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "axes has %u entries, x has rank %d", a->axes.count,
                         x->rank);
    const int64_t count = a->axes.count != 0 ? (int64_t)a->axes.count : x->rank;
    for (int i = 0; i < x->rank; i++) {
        plan.in[i] = plan.out[i] = x->dims[i];
        plan.scale[i] = 1;
        plan.exact[i] = true;
        plan.roi_end[i] = 1;
    }
    if (by_scales) {
        DYNO_TRY(check_count("scales", scales, count, err));
        for (int i = 0; i < x->rank; i++)
            plan.exact[i] = false;
        DYNO_TRY(apply_scales(a, scales, &plan, err));
    } else if (by_sizes) {
        DYNO_TRY(check_count("sizes", sizes, count, err));
        DYNO_TRY(apply_sizes(a, sizes, &plan, err));
    }
    DYNO_TRY(apply_roi(a, roi, count, &plan, err));
    *plan_out = plan;
    return DYNO_OK;
}

/* position / scale */
static double unscale(const struct dyno_resize_plan *plan, int axis, double position)
{
    if (plan->exact[axis] && plan->out[axis] > 0)
        return position * (double)plan->in[axis] / (double)plan->out[axis];
    return position / plan->scale[axis];
}

double dyno_resize_coord(const struct dyno_resize_attrs *a, const struct dyno_resize_plan *plan,
                         int axis, int64_t o)
{
    const double at = (double)o;
    const double in = (double)plan->in[axis];
    /* The size before rounding down: what the modes that stretch between ends divide by. */
    const double wide = plan->exact[axis] ? (double)plan->out[axis] : plan->scale[axis] * in;
    switch ((enum dyno_resize_coord)a->coord) {
    case DYNO_RESIZE_ALIGN_CORNERS:
        return wide == 1 ? 0 : at * (in - 1) / (wide - 1);
    case DYNO_RESIZE_ASYMMETRIC:
        return unscale(plan, axis, at);
    case DYNO_RESIZE_PYTORCH_HALF_PIXEL:
        return wide == 1 ? 0 : unscale(plan, axis, at + 0.5) - 0.5;
    case DYNO_RESIZE_HALF_PIXEL_SYMMETRIC: {
        const double adjust = (double)plan->out[axis] / wide;
        return in / 2 * (1 - adjust) + unscale(plan, axis, at + 0.5) - 0.5;
    }
    case DYNO_RESIZE_TF_CROP_AND_RESIZE: {
        const double begin = plan->roi_begin[axis];
        const double end = plan->roi_end[axis];
        if (plan->out[axis] == 1)
            return 0.5 * (begin + end) * (in - 1);
        return begin * (in - 1) + at * (end - begin) * (in - 1) / ((double)plan->out[axis] - 1);
    }
    case DYNO_RESIZE_HALF_PIXEL:
    default:
        return unscale(plan, axis, at + 0.5) - 0.5;
    }
}

bool dyno_resize_is_outside(const struct dyno_resize_attrs *a, const struct dyno_resize_plan *plan,
                            int axis, int64_t o)
{
    if (a->coord != DYNO_RESIZE_TF_CROP_AND_RESIZE)
        return false;
    const double x = dyno_resize_coord(a, plan, axis, o);
    return x < 0 || x > (double)(plan->in[axis] - 1);
}

static int64_t nearest(const struct dyno_resize_attrs *a, double x, int64_t in_size)
{
    double at = 0;
    switch ((enum dyno_resize_round)a->round) {
    case DYNO_RESIZE_ROUND_PREFER_CEIL:
        at = floor(x + 0.5);
        break;
    case DYNO_RESIZE_FLOOR:
        at = floor(x);
        break;
    case DYNO_RESIZE_CEIL:
        at = ceil(x);
        break;
    case DYNO_RESIZE_ROUND_PREFER_FLOOR:
    default:
        at = ceil(x - 0.5);
        break;
    }
    if (at < 0)
        return 0;
    return at > (double)(in_size - 1) ? in_size - 1 : (int64_t)at;
}

/* The filter at distance x >= 0 from its centre. */
static double filter(const struct dyno_resize_attrs *a, double x)
{
    const double c = (double)a->cubic_coeff_a;
    if (a->mode == DYNO_RESIZE_LINEAR)
        return x < 1 ? 1 - x : 0;
    if (x <= 1)
        return ((c + 2) * x - (c + 3)) * x * x + 1;
    return x < 2 ? ((c * x - 5 * c) * x + 8 * c) * x - 4 * c : 0;
}

/* What distances are multiplied by: below 1 widens the filter. */
static double filter_scale(const struct dyno_resize_attrs *a, const struct dyno_resize_plan *plan,
                           int axis)
{
    return a->antialias != 0 ? fmin(plan->scale[axis], 1) : 1;
}

int dyno_resize_taps_max(const struct dyno_resize_attrs *a, const struct dyno_resize_plan *plan,
                         int axis)
{
    if (a->mode == DYNO_RESIZE_NEAREST)
        return 1;
    const double reach = a->mode == DYNO_RESIZE_LINEAR ? 1 : 2;
    const double half = -floor(-reach / filter_scale(a, plan, axis));
    /* Far wider than the input adds nothing but its edge; keep the count an int. */
    const double cap = (double)(INT32_MAX / 4);
    return 2 * (int)(half < cap ? half : cap);
}

int dyno_resize_taps(const struct dyno_resize_attrs *a, const struct dyno_resize_plan *plan,
                     int axis, int64_t o, int64_t *first_out, double *weights_out)
{
    const double x = dyno_resize_coord(a, plan, axis, o);
    if (a->mode == DYNO_RESIZE_NEAREST) {
        *first_out = nearest(a, x, plan->in[axis]);
        weights_out[0] = 1;
        return 1;
    }
    const int count = dyno_resize_taps_max(a, plan, axis);
    const double scale = filter_scale(a, plan, axis);
    /* The element left of x; for x on an element, the one before it. */
    const double left = ceil(x) - 1;
    const int64_t first = (int64_t)left - count / 2 + 1;
    double sum = 0;
    for (int i = 0; i < count; i++) {
        const int64_t idx = first + i;
        const bool excluded = a->exclude_outside != 0 && (idx < 0 || idx >= plan->in[axis]);
        weights_out[i] = excluded ? 0 : filter(a, fabs((double)idx - x) * scale);
        sum += weights_out[i];
    }
    for (int i = 0; i < count; i++)
        weights_out[i] /= sum;
    *first_out = first;
    return count;
}
