/* mat_mul_integer.c - MatMulInteger-10: (A - a_zero_point) x (B - b_zero_point), in i32. */
#include "base/mem.h"
#include "ops/infer.h"
#include "ops/mat_mul.h"
#include "ops/quantize.h"
#include "ops/values.h"

enum { IN_A, IN_B, IN_A_ZERO, IN_B_ZERO };

static enum dyno_status infer(struct dyno_infer *ctx)
{
    int rank = -1;
    dyno_expr dims[DYNO_RANK_MAX];
    DYNO_TRY(dyno_check_classes(ctx, IN_A, IN_B_ZERO, DYNO_WANT_INT));
    DYNO_TRY(dyno_mat_mul_infer_dims(ctx, ctx->in[IN_A], ctx->in[IN_B], &rank, dims));
    return dyno_infer_set(ctx, 0, DYNO_I32, rank, dims);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *a = ctx->in[IN_A];
    const struct dyno_tensor *b = ctx->in[IN_B];
    struct dyno_mat_mul_shape shape;
    DYNO_TRY(dyno_mat_mul_shape(a->rank, a->dims, b->rank, b->dims, &shape, ctx->err));
    /* One zero point, or one a row of A, a column of B. */
    DYNO_TRY(dyno_quantize_want_count(ctx, IN_A_ZERO, "a_zero_point", shape.m));
    DYNO_TRY(dyno_quantize_want_count(ctx, IN_B_ZERO, "b_zero_point", shape.n));
    enum dyno_status status = DYNO_OK;
    const int64_t each = shape.m * shape.n;
    double *a_values = dyno_quantize_centred(
        a, ctx->in_count > IN_A_ZERO ? ctx->in[IN_A_ZERO] : NULL, shape.k, shape.m);
    double *b_values =
        dyno_quantize_centred(b, ctx->in_count > IN_B_ZERO ? ctx->in[IN_B_ZERO] : NULL, 1, shape.n);
    double *y_values = dyno_values_alloc(each);
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
        for (int64_t i = 0; i < each; i++)
            dyno_elem_store_i64(DYNO_I32, ctx->out[0].data, (size_t)(batch * each + i),
                                (int64_t)y_values[i]);
    }
out:
    dyno_free(y_values);
    dyno_free(b_values);
    dyno_free(a_values);
    return status;
}

const struct dyno_op dyno_op_mat_mul_integer = {
    .onnx_name = "MatMulInteger",
    .domain = "",
    .since = 10,
    .in_min = 2,
    .in_max = 4,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
