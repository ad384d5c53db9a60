/* infer.c - helpers of infer rules: types, shapes, broadcasting. */
#include "ops/infer.h"

#include <inttypes.h>

bool dyno_type_of_tensor(const struct dyno_tensor *tensor, struct dyno_exprs *exprs,
                         struct dyno_arena *arena, struct dyno_type *type_out)
{
    *type_out = (struct dyno_type){.kind = DYNO_TYPE_TENSOR,
                                   .dtype = tensor->dtype,
                                   .rank = tensor->rank,
                                   .constant = tensor->data != NULL ? tensor : NULL};
    for (int i = 0; i < tensor->rank; i++) {
        type_out->dims[i] = dyno_expr_const(exprs, tensor->dims[i]);
        if (type_out->dims[i] == DYNO_EXPR_NONE)
            return false;
    }
    int64_t count = 0;
    if (tensor->data == NULL || !dyno_dims_count(tensor->dims, tensor->rank, &count) ||
        count > DYNO_ELEMS_MAX || (!dyno_dtype_is_int(tensor->dtype) && tensor->dtype != DYNO_BOOL))
        return true;
    dyno_expr *const elems = dyno_arena_alloc(arena, (size_t)count + 1, sizeof(*elems));
    if (elems == NULL)
        return false;
    for (int64_t i = 0; i < count; i++) {
        const int64_t value = dyno_elem_load_i64(tensor->dtype, tensor->data, (size_t)i);
        if (!dyno_expr_value_ok(value))
            return true; /* the one number that no expression has: contents that are not tracked */
        elems[i] = dyno_expr_const(exprs, value);
        if (elems[i] == DYNO_EXPR_NONE)
            return false;
    }
    type_out->elems = elems;
    type_out->elem_count = (uint32_t)count;
    return true;
}

enum dyno_status dyno_infer_set(struct dyno_infer *ctx, uint32_t idx, enum dyno_dtype dtype,
                                int rank, const dyno_expr *dims)
{
    if (idx >= ctx->out_count)
        return DYNO_OK;
    if (rank > DYNO_RANK_MAX)
        return DYNO_FAIL(ctx->err, DYNO_E_LIMIT, "output %u has %d dimensions, at most %d are held",
                         idx, rank, DYNO_RANK_MAX);
    struct dyno_type *const out = &ctx->out[idx];
    out->kind = DYNO_TYPE_TENSOR;
    out->dtype = dtype;
    out->rank = rank;
    for (int i = 0; i < rank; i++) {
        out->dims[i] = dims[i] != DYNO_EXPR_NONE ? dims[i] : dyno_infer_unknown_dim(ctx);
        if (out->dims[i] == DYNO_EXPR_NONE)
            return DYNO_NOMEM(ctx->err);
        int64_t size = 0;
        if (dyno_expr_is_const(ctx->exprs, out->dims[i], &size) && size < 0)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "dimension %d of output %u has the negative size %" PRId64, i, idx,
                             size);
    }
    return DYNO_OK;
}

static bool is_of_class(enum dyno_dtype dtype, unsigned classes)
{
    if (dyno_dtype_is_float(dtype))
        return (classes & DYNO_WANT_FLOAT) != 0;
    if (dyno_dtype_is_int(dtype))
        return (classes & DYNO_WANT_INT) != 0 ||
               ((classes & DYNO_WANT_INDEX) != 0 && (dtype == DYNO_I32 || dtype == DYNO_I64));
    if (dtype == DYNO_BOOL)
        return (classes & DYNO_WANT_BOOL) != 0;
    if (dtype == DYNO_STR)
        return (classes & DYNO_WANT_STR) != 0;
    if (dtype == DYNO_C64 || dtype == DYNO_C128)
        return (classes & DYNO_WANT_COMPLEX) != 0;
    return (classes & DYNO_WANT_ANY) == DYNO_WANT_ANY;
}

enum dyno_status dyno_infer_want(struct dyno_infer *ctx, uint32_t idx, unsigned classes)
{
    if (idx >= ctx->in_count || ctx->in[idx] == NULL)
        return DYNO_OK;
    const struct dyno_type *const in = ctx->in[idx];
    if (in->kind != DYNO_TYPE_TENSOR)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "input %u is not a tensor, must be one", idx);
    if (in->dtype == DYNO_DTYPE_NONE || is_of_class(in->dtype, classes))
        return DYNO_OK;
    return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                     "input %u is of type %s, which the operator does not accept", idx,
                     dyno_dtype_text(in->dtype));
}

enum dyno_status dyno_infer_want_same(struct dyno_infer *ctx, uint32_t a_idx, uint32_t b_idx)
{
    if (a_idx >= ctx->in_count || b_idx >= ctx->in_count)
        return DYNO_OK;
    const struct dyno_type *const a = ctx->in[a_idx];
    const struct dyno_type *const b = ctx->in[b_idx];
    if (a == NULL || b == NULL || a->dtype == b->dtype || a->dtype == DYNO_DTYPE_NONE ||
        b->dtype == DYNO_DTYPE_NONE)
        return DYNO_OK;
    return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                     "inputs %u and %u are of types %s and %s, must be of one type", a_idx, b_idx,
                     dyno_dtype_text(a->dtype), dyno_dtype_text(b->dtype));
}

enum dyno_status dyno_infer_same_as_input(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    return dyno_infer_set(ctx, 0, ctx->in[0]->dtype, ctx->in[0]->rank, ctx->in[0]->dims);
}

enum dyno_status dyno_infer_unary_float(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_FLOAT));
    return dyno_infer_same_as_input(ctx);
}

enum dyno_status dyno_infer_unary_number(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_NUMBER));
    return dyno_infer_same_as_input(ctx);
}

/* One dimension of a broadcast; false when two known sizes clash. */
static bool broadcast_dim(struct dyno_infer *ctx, dyno_expr a, dyno_expr b, dyno_expr *out)
{
    int64_t a_size = 0;
    int64_t b_size = 0;
    const bool a_known = dyno_expr_is_const(ctx->exprs, a, &a_size);
    const bool b_known = dyno_expr_is_const(ctx->exprs, b, &b_size);
    if (a == b || (b_known && b_size == 1)) {
        *out = a;
    } else if (a_known && a_size == 1) {
        *out = b;
    } else if (a_known && b_known) {
        return false;
    } else if (a_known || b_known) {
        *out = a_known ? a : b; /* the open one can only be this size or 1 */
    } else {
        int64_t a_min = 0;
        int64_t b_min = 0;
        int64_t max = 0;
        dyno_expr_range(ctx->exprs, a, &a_min, &max);
        dyno_expr_range(ctx->exprs, b, &b_min, &max);
        if (a_min >= 2)
            *out = a;
        else if (b_min >= 2)
            *out = b;
        else
            *out = dyno_expr_max(ctx->exprs, a, b);
    }
    return true;
}

/* NOLINTNEXTLINE(readability-function-size): three shapes are pointer and rank each */
enum dyno_status dyno_infer_broadcast_dims(struct dyno_infer *ctx, const dyno_expr *a, int a_rank,
                                           const dyno_expr *b, int b_rank, dyno_expr *out,
                                           int *out_rank)
{
    const int rank = a_rank > b_rank ? a_rank : b_rank;
    dyno_expr dims[DYNO_RANK_MAX] = {0};
    for (int i = 1; i <= rank; i++) {
        dyno_expr *const dim = &dims[rank - i];
        if (i > a_rank) {
            *dim = b[b_rank - i];
        } else if (i > b_rank) {
            *dim = a[a_rank - i];
        } else if (!broadcast_dim(ctx, a[a_rank - i], b[b_rank - i], dim)) {
            int64_t a_size = 0;
            int64_t b_size = 0;
            (void)dyno_expr_is_const(ctx->exprs, a[a_rank - i], &a_size);
            (void)dyno_expr_is_const(ctx->exprs, b[b_rank - i], &b_size);
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "sizes %" PRId64 " and %" PRId64
                             " meet in dimension %d from the end: they do not broadcast",
                             a_size, b_size, i);
        }
    }
    for (int i = 0; i < rank; i++)
        out[i] = dims[i];
    *out_rank = rank;
    return DYNO_OK;
}

enum dyno_status dyno_infer_broadcast_to(struct dyno_infer *ctx, enum dyno_dtype dtype)
{
    dyno_expr dims[DYNO_RANK_MAX] = {0};
    int rank = 0;
    for (uint32_t i = 0; i < ctx->in_count; i++) {
        const struct dyno_type *const in = ctx->in[i];
        if (in == NULL)
            continue;
        if (dtype == DYNO_DTYPE_NONE)
            dtype = in->dtype;
        if (in->rank < 0)
            rank = -1;
        if (rank >= 0)
            DYNO_TRY(dyno_infer_broadcast_dims(ctx, dims, rank, in->dims, in->rank, dims, &rank));
    }
    return dyno_infer_set(ctx, 0, dtype, rank, dims);
}

enum dyno_status dyno_infer_broadcast(struct dyno_infer *ctx)
{
    for (uint32_t i = 0; i < ctx->in_count; i++) {
        DYNO_TRY(dyno_infer_want(ctx, i, DYNO_WANT_ANY));
        DYNO_TRY(dyno_infer_want_same(ctx, 0, i));
    }
    return dyno_infer_broadcast_to(ctx, DYNO_DTYPE_NONE);
}

enum dyno_status dyno_infer_arith(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_NUMBER));
    return dyno_infer_broadcast(ctx);
}

enum dyno_status dyno_infer_integers(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_INT));
    return dyno_infer_broadcast(ctx);
}

dyno_expr dyno_infer_unknown_dim(struct dyno_infer *ctx)
{
    return dyno_expr_fresh(ctx->exprs, 0, INT64_MAX);
}

enum dyno_status dyno_infer_axis(struct dyno_infer *ctx, int64_t axis, int rank, int *axis_out)
{
    if (axis < -rank || axis >= rank)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "axis %" PRId64 " is outside [%d, %d) of a tensor with %d dimensions",
                         axis, -rank, rank, rank);
    *axis_out = (int)(axis < 0 ? axis + rank : axis);
    return DYNO_OK;
}

bool dyno_infer_const_dims(const struct dyno_infer *ctx, const struct dyno_type *type,
                           int64_t *dims_out)
{
    for (int i = 0; i < type->rank; i++)
        if (!dyno_expr_is_const(ctx->exprs, type->dims[i], &dims_out[i]))
            return false;
    return type->rank >= 0;
}

dyno_expr dyno_infer_product(struct dyno_infer *ctx, const dyno_expr *dims, int from, int to)
{
    dyno_expr product = dyno_expr_const(ctx->exprs, 1);
    for (int i = from; i < to; i++)
        product = dyno_expr_mul(ctx->exprs, product, dims[i]);
    return product;
}

int64_t dyno_infer_vector_count(const struct dyno_infer *ctx, uint32_t idx)
{
    int64_t count = -1;
    if (idx >= ctx->in_count || ctx->in[idx] == NULL || ctx->in[idx]->rank != 1 ||
        !dyno_expr_is_const(ctx->exprs, ctx->in[idx]->dims[0], &count))
        return -1;
    return count;
}
