/* quantize.c - what the quantisation operators share: scales of elements, bounds, rounding. */
#include "ops/quantize.h"

#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"
#include "ops/values.h"

enum dyno_status dyno_quantize_check(struct dyno_infer *ctx, const struct dyno_quantize_attrs *a,
                                     uint32_t idx)
{
    const struct dyno_type *x = ctx->in[0];
    const struct dyno_type *scale = ctx->in[idx];
    int64_t size = 0;
    int64_t want = 0;
    int axis = 0;
    if (a->block_size < 0)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "block_size is %lld, must be at least 0",
                         (long long)a->block_size);
    if (scale->rank <= 0 || x->rank < 0)
        return DYNO_OK;
    if (scale->rank == 1 && a->block_size == 0) {
        if (!dyno_dim_const(ctx, scale, 0, &size) || size == 1)
            return DYNO_OK;
        DYNO_TRY(dyno_infer_axis(ctx, a->axis, x->rank, &axis));
        if (dyno_dim_const(ctx, x, axis, &want) && size != want)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "the scale has %lld entries, x has size %lld on axis %d",
                             (long long)size, (long long)want, axis);
        return DYNO_OK;
    }
    if (scale->rank != x->rank)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "the scale has rank %d; wants 0, 1, or in blocks x's rank %d", scale->rank,
                         x->rank);
    return dyno_infer_axis(ctx, a->axis, x->rank, &axis);
}

enum dyno_status dyno_quantize_map(const struct dyno_quantize_attrs *a, const struct dyno_tensor *x,
                                   const struct dyno_tensor *scale,
                                   struct dyno_quantize_map *map_out, struct dyno_err *err)
{
    *map_out = (struct dyno_quantize_map){
        .inner = 1, .size = 1, .block = 1, .blocks = 1, .per_tensor = true};
    if (dyno_tensor_count(scale) == 1)
        return DYNO_OK;
    if (a->axis < -x->rank || a->axis >= x->rank)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "axis is %lld, must be %d..%d", (long long)a->axis,
                         -x->rank, x->rank - 1);
    const int axis = dyno_ref_axis(a->axis, x->rank);
    map_out->per_tensor = false;
    map_out->blocked = a->block_size > 0;
    map_out->size = x->dims[axis];
    map_out->block = map_out->blocked ? a->block_size : 1;
    map_out->blocks = (map_out->size + map_out->block - 1) / map_out->block;
    for (int i = axis + 1; i < x->rank; i++)
        map_out->inner *= x->dims[i];
    if (!map_out->blocked) {
        if (scale->rank == 1 && scale->dims[0] == map_out->size)
            return DYNO_OK;
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "the scale has %lld entries, x has size %lld on axis "
                         "%d",
                         (long long)dyno_tensor_count(scale), (long long)map_out->size, axis);
    }
    for (int i = 0; i < x->rank; i++) {
        const int64_t want = i == axis ? map_out->blocks : x->dims[i];
        if (scale->rank != x->rank || scale->dims[i] != want)
            return DYNO_FAIL(err, DYNO_E_FORMAT,
                             "the scale's shape does not fit blocks of %lld on axis %d (looked at "
                             "axis %d)",
                             (long long)map_out->block, axis, i);
    }
    return DYNO_OK;
}

void dyno_quantize_bounds(enum dyno_dtype dtype, double *min_out, double *max_out)
{
    const unsigned bits = dyno_dtype_bits(dtype);
    if (dyno_dtype_is_signed(dtype)) {
        *min_out = -ldexp(1, (int)bits - 1);
        *max_out = ldexp(1, (int)bits - 1) - 1;
    } else {
        *min_out = 0;
        *max_out = ldexp(1, (int)bits) - 1;
    }
}

double dyno_quantize_round(float quotient, double zero_point, double min, double max)
{
    const double value = nearbyint((double)quotient) + zero_point;
    return fmin(fmax(value, min), max);
}

double dyno_quantize_zero(const struct dyno_tensor *zero_point, int64_t idx)
{
    if (zero_point == NULL)
        return 0;
    return dyno_elem_load_f64(zero_point->dtype, zero_point->data, (size_t)idx);
}

double *dyno_quantize_centred(const struct dyno_tensor *x, const struct dyno_tensor *zero_point,
                              int64_t inner, int64_t size)
{
    double *values = dyno_values_load(x);
    if (values == NULL || zero_point == NULL)
        return values;
    const bool one = dyno_tensor_count(zero_point) == 1;
    const int64_t count = dyno_tensor_count(x);
    for (int64_t i = 0; i < count; i++)
        values[i] -= dyno_quantize_zero(zero_point, one ? 0 : i / inner % size);
    return values;
}

enum dyno_status dyno_quantize_linear_classes(struct dyno_infer *ctx)
{
    static const unsigned classes[] = {DYNO_WANT_INT,   DYNO_WANT_FLOAT, DYNO_WANT_INT,
                                       DYNO_WANT_INT,   DYNO_WANT_FLOAT, DYNO_WANT_INT,
                                       DYNO_WANT_FLOAT, DYNO_WANT_INT};
    for (uint32_t i = 0; i < DYNO_COUNT(classes); i++)
        DYNO_TRY(dyno_infer_want(ctx, i, classes[i]));
    return DYNO_OK;
}

enum dyno_status dyno_quantize_want_count(struct dyno_ref *ctx, uint32_t idx, const char *name,
                                          int64_t want)
{
    const struct dyno_tensor *in = idx < ctx->in_count ? ctx->in[idx] : NULL;
    const int64_t count = in != NULL ? dyno_tensor_count(in) : 1;
    if (count == 1 || count == want)
        return DYNO_OK;
    return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "%s has %lld entries, wants 1 or %lld", name,
                     (long long)count, (long long)want);
}
