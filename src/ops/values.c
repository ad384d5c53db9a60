/* values.c - tensors as arrays of doubles, and small checks of infer rules. */
#include "ops/values.h"

#include <string.h>

#include "base/mem.h"
#include "ops/infer.h"

double *dyno_values_alloc(int64_t count)
{
    return dyno_alloc_raw(count > 0 ? (size_t)count : 1, sizeof(double));
}

double *dyno_values_load(const struct dyno_tensor *tensor)
{
    const int64_t count = dyno_tensor_count(tensor);
    double *values = dyno_values_alloc(count);
    if (values == NULL)
        return NULL;
    if (tensor->dtype == DYNO_F32) {
        const float *at = tensor->data;
        for (int64_t i = 0; i < count; i++)
            values[i] = (double)at[i];
    } else {
        for (int64_t i = 0; i < count; i++)
            values[i] = dyno_elem_load_f64(tensor->dtype, tensor->data, (size_t)i);
    }
    return values;
}

void dyno_values_store_at(struct dyno_tensor *tensor, int64_t first, const double *values,
                          int64_t count)
{
    if (tensor->dtype == DYNO_F32) {
        float *at = (float *)tensor->data + first;
        for (int64_t i = 0; i < count; i++)
            at[i] = (float)values[i];
    } else {
        for (int64_t i = 0; i < count; i++)
            dyno_elem_store_f64(tensor->dtype, tensor->data, (size_t)(first + i), values[i]);
    }
}

void dyno_values_store(struct dyno_tensor *tensor, const double *values)
{
    dyno_values_store_at(tensor, 0, values, dyno_tensor_count(tensor));
}

enum dyno_status dyno_values_shape_out(struct dyno_ref *ctx, uint32_t idx, enum dyno_dtype dtype,
                                       int rank, const int64_t *dims)
{
    if (ctx->out[idx].data != NULL)
        return DYNO_OK;
    return dyno_ref_alloc(ctx, idx, dtype, rank, dims);
}

bool dyno_dim_const(const struct dyno_infer *ctx, const struct dyno_type *type, int axis,
                    int64_t *size_out)
{
    return type != NULL && axis >= 0 && axis < type->rank &&
           dyno_expr_is_const(ctx->exprs, type->dims[axis], size_out);
}

enum dyno_status dyno_check_classes(struct dyno_infer *ctx, uint32_t first, uint32_t last,
                                    unsigned classes)
{
    for (uint32_t i = first; i <= last; i++)
        DYNO_TRY(dyno_infer_want(ctx, i, classes));
    return DYNO_OK;
}

enum dyno_status dyno_check_same_dtype(struct dyno_infer *ctx, uint32_t a, const char *a_name,
                                       uint32_t b, const char *b_name)
{
    if (a >= ctx->in_count || b >= ctx->in_count || ctx->in[a] == NULL || ctx->in[b] == NULL)
        return DYNO_OK;
    const enum dyno_dtype left = ctx->in[a]->dtype;
    const enum dyno_dtype right = ctx->in[b]->dtype;
    if (left == right || left == DYNO_DTYPE_NONE || right == DYNO_DTYPE_NONE)
        return DYNO_OK;
    return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "%s is %s but %s is %s; they must be one type",
                     a_name, dyno_dtype_text(left), b_name, dyno_dtype_text(right));
}

enum dyno_status dyno_check_rank(struct dyno_infer *ctx, uint32_t idx, const char *name, int rank)
{
    if (idx >= ctx->in_count || ctx->in[idx] == NULL || ctx->in[idx]->rank < 0 ||
        ctx->in[idx]->rank == rank)
        return DYNO_OK;
    return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "%s has rank %d, wants %d", name, ctx->in[idx]->rank,
                     rank);
}

enum dyno_status dyno_check_vector(struct dyno_infer *ctx, uint32_t idx, const char *name,
                                   dyno_expr length)
{
    if (idx >= ctx->in_count || ctx->in[idx] == NULL || ctx->in[idx]->rank < 0)
        return DYNO_OK;
    DYNO_TRY(dyno_check_rank(ctx, idx, name, 1));
    int64_t got = 0;
    int64_t want = 0;
    if (length != DYNO_EXPR_NONE && dyno_expr_is_const(ctx->exprs, length, &want) &&
        dyno_dim_const(ctx, ctx->in[idx], 0, &got) && got != want)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "%s has %lld entries, wants %lld", name,
                         (long long)got, (long long)want);
    return DYNO_OK;
}
