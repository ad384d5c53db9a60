/* mat_mul_shape.c - the geometry of numpy's matmul, and one product in f64. */
#include <string.h>

#include "ops/infer.h"
#include "ops/mat_mul.h"

/* A vector is a row on the left and a column on the right. */
struct operand {
    int rank;
    int64_t rows, cols;
    bool vector;
};

static struct operand operand_of(int rank, const int64_t *dims, bool left)
{
    struct operand out = {.rank = rank, .vector = rank == 1};
    if (rank == 1) {
        out.rows = left ? 1 : dims[0];
        out.cols = left ? dims[0] : 1;
    } else {
        out.rows = dims[rank - 2];
        out.cols = dims[rank - 1];
    }
    return out;
}

/* Strides in matrices along the batch axes; false when the sizes clash. */
static bool batch_strides(struct dyno_mat_mul_shape *shape, int rank, const int64_t *dims,
                          int64_t *strides)
{
    int64_t stride = 1;
    for (int i = shape->batch_rank - 1; i >= 0; i--) {
        const int axis = i - (shape->batch_rank - (rank - 2));
        const int64_t size = axis >= 0 ? dims[axis] : 1;
        if (size != 1 && size != shape->batch_dims[i])
            return false;
        strides[i] = size == 1 ? 0 : stride;
        stride *= size;
    }
    return true;
}

enum dyno_status dyno_mat_mul_shape(int a_rank, const int64_t *a_dims, int b_rank,
                                    const int64_t *b_dims, struct dyno_mat_mul_shape *shape_out,
                                    struct dyno_err *err)
{
    if (a_rank < 1 || b_rank < 1)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "operands have ranks %d and %d, want at least 1",
                         a_rank, b_rank);
    const struct operand a = operand_of(a_rank, a_dims, true);
    const struct operand b = operand_of(b_rank, b_dims, false);
    if (a.cols != b.rows)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "A has %lld columns but B has %lld rows",
                         (long long)a.cols, (long long)b.rows);
    struct dyno_mat_mul_shape shape = {.m = a.rows, .k = a.cols, .n = b.cols, .batch_count = 1};
    const int a_batch = a_rank > 2 ? a_rank - 2 : 0;
    const int b_batch = b_rank > 2 ? b_rank - 2 : 0;
    shape.batch_rank = a_batch > b_batch ? a_batch : b_batch;
    for (int i = 0; i < shape.batch_rank; i++) {
        const int a_axis = i - (shape.batch_rank - a_batch);
        const int b_axis = i - (shape.batch_rank - b_batch);
        const int64_t left = a_axis >= 0 ? a_dims[a_axis] : 1;
        const int64_t right = b_axis >= 0 ? b_dims[b_axis] : 1;
        shape.batch_dims[i] = left == 1 ? right : left;
        shape.batch_count *= shape.batch_dims[i];
        shape.out_dims[shape.out_rank++] = shape.batch_dims[i];
    }
    if (!batch_strides(&shape, a_batch + 2, a_dims, shape.a_strides) ||
        !batch_strides(&shape, b_batch + 2, b_dims, shape.b_strides))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "the leading axes of A and B do not broadcast");
    if (!a.vector)
        shape.out_dims[shape.out_rank++] = a.rows;
    if (!b.vector)
        shape.out_dims[shape.out_rank++] = b.cols;
    *shape_out = shape;
    return DYNO_OK;
}

void dyno_mat_mul_batch(const struct dyno_mat_mul_shape *shape, int64_t batch, int64_t *a_out,
                        int64_t *b_out)
{
    *a_out = 0;
    *b_out = 0;
    for (int i = shape->batch_rank - 1; i >= 0; i--) {
        const int64_t idx = batch % shape->batch_dims[i];
        batch /= shape->batch_dims[i];
        *a_out += idx * shape->a_strides[i];
        *b_out += idx * shape->b_strides[i];
    }
}

enum dyno_status dyno_mat_mul_infer_dims(struct dyno_infer *ctx, const struct dyno_type *a,
                                         const struct dyno_type *b, int *rank_out,
                                         dyno_expr *dims_out)
{
    *rank_out = -1;
    if (a->rank == 0 || b->rank == 0)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "operands have ranks %d and %d, want at least 1",
                         a->rank, b->rank);
    if (a->rank < 0 || b->rank < 0)
        return DYNO_OK;
    int64_t cols = 0;
    int64_t rows = 0;
    if (dyno_expr_is_const(ctx->exprs, a->dims[a->rank - 1], &cols) &&
        dyno_expr_is_const(ctx->exprs, b->dims[b->rank > 1 ? b->rank - 2 : 0], &rows) &&
        cols != rows)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "A has %lld columns but B has %lld rows",
                         (long long)cols, (long long)rows);
    int rank = 0;
    DYNO_TRY(dyno_infer_broadcast_dims(ctx, a->dims, a->rank > 2 ? a->rank - 2 : 0, b->dims,
                                       b->rank > 2 ? b->rank - 2 : 0, dims_out, &rank));
    if (a->rank > 1)
        dims_out[rank++] = a->dims[a->rank - 2];
    if (b->rank > 1)
        dims_out[rank++] = b->dims[b->rank - 1];
    *rank_out = rank;
    return DYNO_OK;
}

void dyno_mat_mul_f64(int64_t m, int64_t k, int64_t n, const double *restrict a,
                      const double *restrict b, double *restrict y)
{
    memset(y, 0, (size_t)(m * n) * sizeof(*y));
    for (int64_t i = 0; i < m; i++)
        for (int64_t l = 0; l < k; l++) {
            const double factor = a[i * k + l];
            for (int64_t j = 0; j < n; j++)
                y[i * n + j] += factor * b[l * n + j];
        }
}
