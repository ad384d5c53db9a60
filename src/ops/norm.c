/* norm.c - what the normalisations share. */
#include "ops/norm.h"

#include "ops/infer.h"
#include "ops/values.h"

void dyno_norm_moments(const double *values, int64_t count, double *mean_out, double *var_out)
{
    double mean = 0;
    double var = 0;
    for (int64_t i = 0; i < count; i++)
        mean += values[i];
    mean /= (double)count;
    for (int64_t i = 0; i < count; i++)
        var += (values[i] - mean) * (values[i] - mean);
    *mean_out = mean;
    *var_out = var / (double)count;
}

enum dyno_status dyno_norm_infer_channels(struct dyno_infer *ctx, const char *const *names)
{
    const struct dyno_type *x = ctx->in[0];
    DYNO_TRY(dyno_check_classes(ctx, 0, 4, DYNO_WANT_FLOAT));
    if (x->rank >= 0 && x->rank < 2)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "x has rank %d, wants at least 2: N and C",
                         x->rank);
    for (uint32_t i = 1; i < ctx->in_count; i++)
        DYNO_TRY(
            dyno_check_vector(ctx, i, names[i - 1], x->rank >= 2 ? x->dims[1] : DYNO_EXPR_NONE));
    return dyno_infer_set(ctx, 0, x->dtype, x->rank, x->dims);
}

enum dyno_status dyno_norm_split(const struct dyno_infer *ctx, uint32_t idx, const char *name,
                                 int axis)
{
    const struct dyno_type *x = ctx->in[0];
    const struct dyno_type *in = idx < ctx->in_count ? ctx->in[idx] : NULL;
    if (in == NULL || in->rank < 0 || x->rank < 0)
        return DYNO_OK;
    if (in->rank > x->rank)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "%s has rank %d, more than x's %d", name,
                         in->rank, x->rank);
    for (int i = 1; i <= in->rank; i++) {
        int64_t size = 0;
        int64_t want = 0;
        if (!dyno_dim_const(ctx, in, in->rank - i, &size) || size == 1)
            continue;
        if (x->rank - i < axis)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "%s has size %lld before the first normalised axis %d", name,
                             (long long)size, axis);
        if (dyno_dim_const(ctx, x, x->rank - i, &want) && size != want)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "%s has size %lld where x has %lld (axis %d)",
                             name, (long long)size, (long long)want, x->rank - i);
    }
    return DYNO_OK;
}

void dyno_norm_affine(const double *values, int64_t count, double mean, double factor, double scale,
                      double bias, struct dyno_tensor *out, int64_t first)
{
    for (int64_t i = 0; i < count; i++) {
        const double y = (values[i] - mean) * factor * scale + bias;
        dyno_values_store_at(out, first + i, &y, 1);
    }
}

double dyno_norm_load(const struct dyno_tensor *tensor, int64_t idx)
{
    return dyno_elem_load_f64(tensor->dtype, tensor->data, (size_t)idx);
}
