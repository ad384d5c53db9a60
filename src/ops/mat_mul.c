/* mat_mul.c - MatMul-13: numpy's matmul. */
#include "ops/mat_mul.h"

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/values.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    int rank = -1;
    dyno_expr dims[DYNO_RANK_MAX];
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_NUMBER));
    DYNO_TRY(dyno_check_same_dtype(ctx, 0, "A", 1, "B"));
    DYNO_TRY(dyno_mat_mul_infer_dims(ctx, ctx->in[0], ctx->in[1], &rank, dims));
    return dyno_infer_set(ctx, 0, ctx->in[0]->dtype, rank, dims);
}

/* Integers wrap, as in numpy. */
static void run_int(struct dyno_ref *ctx, const struct dyno_mat_mul_shape *shape)
{
    const struct dyno_tensor *a = ctx->in[0];
    const struct dyno_tensor *b = ctx->in[1];
    struct dyno_tensor *out = &ctx->out[0];
    int64_t at = 0;
    for (int64_t batch = 0; batch < shape->batch_count; batch++) {
        int64_t a_idx = 0;
        int64_t b_idx = 0;
        dyno_mat_mul_batch(shape, batch, &a_idx, &b_idx);
        for (int64_t i = 0; i < shape->m; i++)
            for (int64_t j = 0; j < shape->n; j++) {
                uint64_t sum = 0;
                for (int64_t l = 0; l < shape->k; l++) {
                    const int64_t left = (a_idx * shape->m + i) * shape->k + l;
                    const int64_t right = (b_idx * shape->k + l) * shape->n + j;
                    sum += (uint64_t)dyno_elem_load_i64(a->dtype, a->data, (size_t)left) *
                           (uint64_t)dyno_elem_load_i64(b->dtype, b->data, (size_t)right);
                }
                dyno_elem_store_i64(out->dtype, out->data, (size_t)at++, (int64_t)sum);
            }
    }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *a = ctx->in[0];
    const struct dyno_tensor *b = ctx->in[1];
    struct dyno_mat_mul_shape shape;
    DYNO_TRY(dyno_mat_mul_shape(a->rank, a->dims, b->rank, b->dims, &shape, ctx->err));
    DYNO_TRY(dyno_values_shape_out(ctx, 0, a->dtype, shape.out_rank, shape.out_dims));
    if (dyno_dtype_is_int(a->dtype)) {
        run_int(ctx, &shape);
        return DYNO_OK;
    }
    enum dyno_status status = DYNO_OK;
    double *a_values = dyno_values_load(a);
    double *b_values = dyno_values_load(b);
    double *y_values = dyno_values_alloc(shape.m * shape.n);
    if (a_values == NULL || b_values == NULL || y_values == NULL) {
        status = DYNO_NOMEM(ctx->err);
        goto out;
    }
    for (int64_t batch = 0; batch < shape.batch_count; batch++) {
        int64_t a_idx = 0;
        int64_t b_idx = 0;
        dyno_mat_mul_batch(&shape, batch, &a_idx, &b_idx);
        dyno_mat_mul_f64(shape.m, shape.k, shape.n, a_values + a_idx * shape.m * shape.k,
                         b_values + b_idx * shape.k * shape.n, y_values);
        dyno_values_store_at(&ctx->out[0], batch * shape.m * shape.n, y_values, shape.m * shape.n);
    }
out:
    dyno_free(y_values);
    dyno_free(b_values);
    dyno_free(a_values);
    return status;
}

const struct dyno_op dyno_op_mat_mul = {
    .onnx_name = "MatMul",
    .since = 13,
    DYNO_BINARY_OP,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
