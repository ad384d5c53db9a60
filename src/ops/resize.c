/* resize.c - Resize-19: interpolation along each axis in turn. */
#include "ops/resize.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/ref.h"
#include "ops/values.h"

static const char *const coord_names[] = {"half_pixel",
                                          "half_pixel_symmetric",
                                          "pytorch_half_pixel",
                                          "align_corners",
                                          "asymmetric",
                                          "tf_crop_and_resize",
                                          NULL};
static const char *const policy_names[] = {"stretch", "not_larger", "not_smaller", NULL};
static const char *const mode_names[] = {"nearest", "linear", "cubic", NULL};
static const char *const round_names[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                          "ceil", NULL};

#define FIELD(name) offsetof(struct dyno_resize_attrs, name)
static const struct dyno_attr attrs[] = {
    {"antialias", DYNO_ATTR_I64, FIELD(antialias), 0, NULL, 0},
    {"axes", DYNO_ATTR_I64S, FIELD(axes), 0, NULL, 0},
    {"coordinate_transformation_mode", DYNO_ATTR_ENUM, FIELD(coord), DYNO_RESIZE_HALF_PIXEL,
     coord_names, 0},
    {"cubic_coeff_a", DYNO_ATTR_F32, FIELD(cubic_coeff_a), -0.75, NULL, 0},
    {"exclude_outside", DYNO_ATTR_I64, FIELD(exclude_outside), 0, NULL, 0},
    {"extrapolation_value", DYNO_ATTR_F32, FIELD(extrapolation_value), 0, NULL, 0},
    {"keep_aspect_ratio_policy", DYNO_ATTR_ENUM, FIELD(policy), DYNO_RESIZE_STRETCH, policy_names,
     0},
    {"mode", DYNO_ATTR_ENUM, FIELD(mode), DYNO_RESIZE_NEAREST, mode_names, 0},
    {"nearest_mode", DYNO_ATTR_ENUM, FIELD(round), DYNO_RESIZE_ROUND_PREFER_FLOOR, round_names, 0},
};

enum { IN_X, IN_ROI, IN_SCALES, IN_SIZES };

/* floor(in * scale) where that is exact as an expression: scale = p/q with a small power of two q,
 * so that f32 rounding cannot reach the next integer.  NONE otherwise. */
static dyno_expr scaled_dim(struct dyno_infer *ctx, dyno_expr in, float scale)
{
    int64_t size = 0;
    if (dyno_expr_is_const(ctx->exprs, in, &size)) {
        const float out = floorf((float)size * scale);
        return out >= 0 && out < 0x1p40F ? dyno_expr_const(ctx->exprs, (int64_t)out)
                                         : DYNO_EXPR_NONE;
    }
    for (int64_t q = 1; q <= 256; q *= 2) {
        const float p = scale * (float)q;
        if (p != floorf(p) || !(p >= 1 && p <= 4096))
            continue;
        const dyno_expr wide =
            dyno_expr_mul(ctx->exprs, in, dyno_expr_const(ctx->exprs, (int64_t)p));
        return dyno_expr_floordiv(ctx->exprs, wide, dyno_expr_const(ctx->exprs, q));
    }
    return DYNO_EXPR_NONE;
}

static const struct dyno_type *input(const struct dyno_infer *ctx, uint32_t idx)
{
    return idx < ctx->in_count ? ctx->in[idx] : NULL;
}

/* Everything constant: ask the plan, which also refuses what makes no sense. */
static enum dyno_status infer_concrete(struct dyno_infer *ctx, const int64_t *x_dims, bool *done)
{
    const struct dyno_type *x = ctx->in[IN_X];
    const struct dyno_type *roi = input(ctx, IN_ROI);
    const struct dyno_type *scales = input(ctx, IN_SCALES);
    const struct dyno_type *sizes = input(ctx, IN_SIZES);
    *done = false;
    if ((roi != NULL && roi->constant == NULL) || (scales != NULL && scales->constant == NULL) ||
        (sizes != NULL && sizes->constant == NULL))
        return DYNO_OK;
    struct dyno_tensor shape = {.dtype = x->dtype, .rank = x->rank};
    memcpy(shape.dims, x_dims, sizeof(shape.dims));
    struct dyno_resize_plan plan;
    DYNO_TRY(dyno_resize_plan(ctx->attrs, &shape, roi != NULL ? roi->constant : NULL,
                              scales != NULL ? scales->constant : NULL,
                              sizes != NULL ? sizes->constant : NULL, &plan, ctx->err));
    dyno_expr dims[DYNO_RANK_MAX];
    for (int i = 0; i < x->rank; i++)
        dims[i] = dyno_expr_const(ctx->exprs, plan.out[i]);
    *done = true;
    return dyno_infer_set(ctx, 0, x->dtype, x->rank, dims);
}

/* dims[axis] for every axis named, as far as scales or sizes are known. */
static enum dyno_status infer_open(struct dyno_infer *ctx, dyno_expr *dims)
{
    const struct dyno_resize_attrs *a = ctx->attrs;
    const struct dyno_type *x = ctx->in[IN_X];
    const struct dyno_type *scales = input(ctx, IN_SCALES);
    const int64_t count = a->axes.count != 0 ? (int64_t)a->axes.count : x->rank;
    uint32_t sizes_count = 0;
    const dyno_expr *sizes = dyno_infer_elems(ctx, IN_SIZES, &sizes_count);
    const bool by_scales = scales != NULL && dyno_infer_vector_count(ctx, IN_SCALES) != 0;
    const struct dyno_tensor *factors = by_scales ? scales->constant : NULL;
    for (int64_t i = 0; i < count; i++) {
        int axis = (int)i;
        if (a->axes.count != 0)
            DYNO_TRY(dyno_infer_axis(ctx, a->axes.at[i], x->rank, &axis));
        if (axis >= x->rank)
            break;
        if (factors != NULL && i < dyno_tensor_count(factors))
            dims[axis] =
                scaled_dim(ctx, x->dims[axis],
                           (float)dyno_elem_load_f64(factors->dtype, factors->data, (size_t)i));
        else if (!by_scales && sizes != NULL && i < (int64_t)sizes_count &&
                 a->policy == DYNO_RESIZE_STRETCH)
            dims[axis] = sizes[i];
        else
            dims[axis] = DYNO_EXPR_NONE;
    }
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *x = ctx->in[IN_X];
    DYNO_TRY(dyno_infer_want(ctx, IN_X, DYNO_WANT_NUMBER | DYNO_WANT_BOOL));
    DYNO_TRY(dyno_check_classes(ctx, IN_ROI, IN_SCALES, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_infer_want(ctx, IN_SIZES, DYNO_WANT_INDEX));
    if (x->rank < 0)
        return dyno_infer_set(ctx, 0, x->dtype, -1, NULL);
    int64_t x_dims[DYNO_RANK_MAX] = {0};
    if (dyno_infer_const_dims(ctx, x, x_dims)) {
        bool done = false;
        DYNO_TRY(infer_concrete(ctx, x_dims, &done));
        if (done)
            return DYNO_OK;
    }
    dyno_expr dims[DYNO_RANK_MAX];
    for (int i = 0; i < x->rank; i++)
        dims[i] = x->dims[i];
    DYNO_TRY(infer_open(ctx, dims));
    return dyno_infer_set(ctx, 0, x->dtype, x->rank, dims);
}

/* from [outer, in, inner] to [outer, out, inner] along one axis. */
static enum dyno_status resize_axis(struct dyno_ref *ctx, const struct dyno_resize_plan *plan,
                                    int axis, int64_t outer, int64_t inner, const double *from,
                                    double *to)
{
    const struct dyno_resize_attrs *a = ctx->attrs;
    const int64_t in = plan->in[axis];
    const int64_t out = plan->out[axis];
    double *weights = dyno_values_alloc(dyno_resize_taps_max(a, plan, axis));
    if (weights == NULL)
        return DYNO_NOMEM(ctx->err);
    for (int64_t o = 0; o < out; o++) {
        int64_t first = 0;
        const int count = dyno_resize_taps(a, plan, axis, o, &first, weights);
        for (int64_t r = 0; r < outer; r++) {
            double *row = to + (r * out + o) * inner;
            memset(row, 0, (size_t)inner * sizeof(*row));
            for (int t = 0; t < count; t++) {
                const int64_t idx = first + t < 0 ? 0 : first + t >= in ? in - 1 : first + t;
                const double *source = from + (r * in + idx) * inner;
                /* A weight of 0 must not turn infinity into NaN: nearest copies. */
                for (int64_t i = 0; weights[t] != 0 && i < inner; i++)
                    row[i] += weights[t] * source[i];
            }
        }
    }
    dyno_free(weights);
    return DYNO_OK;
}

/* extrapolation_value wherever a coordinate is outside on any axis. */
static void extrapolate(struct dyno_ref *ctx, const struct dyno_resize_plan *plan, double *values)
{
    const struct dyno_resize_attrs *a = ctx->attrs;
    const int64_t total = dyno_tensor_count(&ctx->out[0]);
    struct dyno_walk walk;
    if (a->coord != DYNO_RESIZE_TF_CROP_AND_RESIZE)
        return;
    dyno_walk_init(&walk, plan->rank, plan->out);
    for (int64_t i = 0; i < total; i++, dyno_walk_next(&walk))
        for (int axis = 0; axis < plan->rank; axis++)
            if (dyno_resize_is_outside(a, plan, axis, walk.idx[axis]))
                values[i] = (double)a->extrapolation_value;
}

/* The output is the input on this axis. */
static bool is_identity(const struct dyno_resize_plan *plan, int axis)
{
    return plan->in[axis] == plan->out[axis] && plan->scale[axis] == 1 &&
           plan->roi_begin[axis] == 0 && plan->roi_end[axis] == 1;
}

static const struct dyno_tensor *ref_input(const struct dyno_ref *ctx, uint32_t idx)
{
    return idx < ctx->in_count ? ctx->in[idx] : NULL;
}

/* Integers: linear and cubic round to nearest, as values between two integers exist there. */
static void store(struct dyno_ref *ctx, double *values)
{
    struct dyno_tensor *out = &ctx->out[0];
    const int64_t total = dyno_tensor_count(out);
    const bool is_float = dyno_dtype_is_float(out->dtype);
    for (int64_t i = 0; !is_float && i < total; i++)
        values[i] = nearbyint(values[i]);
    dyno_values_store(out, values);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *x = ctx->in[IN_X];
    struct dyno_resize_plan plan;
    DYNO_TRY(dyno_resize_plan(ctx->attrs, x, ref_input(ctx, IN_ROI), ref_input(ctx, IN_SCALES),
                              ref_input(ctx, IN_SIZES), &plan, ctx->err));
    DYNO_TRY(dyno_values_shape_out(ctx, 0, x->dtype, plan.rank, plan.out));
    if (dyno_tensor_count(&ctx->out[0]) == 0)
        return DYNO_OK;
    enum dyno_status status = DYNO_OK;
    double *values = dyno_values_load(x);
    if (values == NULL)
        return DYNO_NOMEM(ctx->err);
    int64_t outer = 1;
    for (int axis = 0; axis < plan.rank; axis++) {
        int64_t inner = 1;
        for (int i = axis + 1; i < plan.rank; i++)
            inner *= plan.in[i];
        if (!is_identity(&plan, axis)) {
            double *next = dyno_values_alloc(outer * plan.out[axis] * inner);
            if (next == NULL) {
                status = DYNO_NOMEM(ctx->err);
                goto out;
            }
            status = resize_axis(ctx, &plan, axis, outer, inner, values, next);
            dyno_free(values);
            values = next;
            if (status != DYNO_OK)
                goto out;
        }
        outer *= plan.out[axis];
    }
    extrapolate(ctx, &plan, values);
    store(ctx, values);
out:
    dyno_free(values);
    return status;
}

const struct dyno_op dyno_op_resize = {
    .onnx_name = "Resize",
    .domain = "",
    .since = 19,
    .in_min = 1,
    .in_max = 4,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_resize_attrs),
    .infer = infer,
    .reference = reference,
};
