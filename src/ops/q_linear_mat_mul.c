/* q_linear_mat_mul.c - QLinearMatMul-21: MatMul between quantised tensors, requantised. */
#include "base/mem.h"
#include "ops/infer.h"
#include "ops/mat_mul.h"
#include "ops/quantize.h"
#include "ops/values.h"

enum { IN_A, IN_A_SCALE, IN_A_ZERO, IN_B, IN_B_SCALE, IN_B_ZERO, IN_Y_SCALE, IN_Y_ZERO };

static enum dyno_status infer(struct dyno_infer *ctx)
{
    int rank = -1;
    dyno_expr dims[DYNO_RANK_MAX];
    DYNO_TRY(dyno_quantize_linear_classes(ctx));
    DYNO_TRY(dyno_mat_mul_infer_dims(ctx, ctx->in[IN_A], ctx->in[IN_B], &rank, dims));
    return dyno_infer_set(ctx, 0, ctx->in[IN_Y_ZERO]->dtype, rank, dims);
}

/* Scales and zero points are single, of each row of A, of each column of B. */
static enum dyno_status check_counts(struct dyno_ref *ctx, const struct dyno_mat_mul_shape *shape)
{
    const struct {
        uint32_t idx;
        const char *name;
        int64_t want;
    } rows[] = {
        {IN_A_SCALE, "a_scale", shape->m}, {IN_A_ZERO, "a_zero_point", shape->m},
        {IN_B_SCALE, "b_scale", shape->n}, {IN_B_ZERO, "b_zero_point", shape->n},
        {IN_Y_SCALE, "y_scale", 1},        {IN_Y_ZERO, "y_zero_point", 1},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++)
        DYNO_TRY(dyno_quantize_want_count(ctx, rows[i].idx, rows[i].name, rows[i].want));
    return DYNO_OK;
}

static float scale_of(const struct dyno_tensor *scale, int64_t idx)
{
    const int64_t at = dyno_tensor_count(scale) == 1 ? 0 : idx;
    return (float)dyno_elem_load_f64(scale->dtype, scale->data, (size_t)at);
}

static void requantize(struct dyno_ref *ctx, const struct dyno_mat_mul_shape *shape,
                       const double *sums, int64_t first)
{
    struct dyno_tensor *out = &ctx->out[0];
    const float y_scale = scale_of(ctx->in[IN_Y_SCALE], 0);
    double min = 0;
    double max = 0;
    dyno_quantize_bounds(out->dtype, &min, &max);
    for (int64_t i = 0; i < shape->m * shape->n; i++) {
        const float factor = scale_of(ctx->in[IN_A_SCALE], i / shape->n) *
                             scale_of(ctx->in[IN_B_SCALE], i % shape->n) / y_scale;
        const double y = dyno_quantize_round((float)sums[i] * factor,
                                             dyno_quantize_zero(ctx->in[IN_Y_ZERO], 0), min, max);
        dyno_elem_store_i64(out->dtype, out->data, (size_t)(first + i), (int64_t)y);
    }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *a = ctx->in[IN_A];
    const struct dyno_tensor *b = ctx->in[IN_B];
    struct dyno_mat_mul_shape shape;
    DYNO_TRY(dyno_mat_mul_shape(a->rank, a->dims, b->rank, b->dims, &shape, ctx->err));
    DYNO_TRY(check_counts(ctx, &shape));
    enum dyno_status status = DYNO_OK;
    const int64_t each = shape.m * shape.n;
    double *a_values = dyno_quantize_centred(a, ctx->in[IN_A_ZERO], shape.k, shape.m);
    double *b_values = dyno_quantize_centred(b, ctx->in[IN_B_ZERO], 1, shape.n);
    double *sums = dyno_values_alloc(each);
    if (a_values == NULL || b_values == NULL || sums == NULL) {
        status = DYNO_NOMEM(ctx->err);
        goto out;
    }
    for (int64_t batch = 0; batch < shape.batch_count; batch++) {
        int64_t a_idx = 0;
        int64_t b_idx = 0;
        dyno_mat_mul_batch(&shape, batch, &a_idx, &b_idx);
        dyno_mat_mul_f64(shape.m, shape.k, shape.n, a_values + a_idx * shape.m * shape.k,
                         b_values + b_idx * shape.k * shape.n, sums);
        requantize(ctx, &shape, sums, batch * each);
    }
out:
    dyno_free(sums);
    dyno_free(b_values);
    dyno_free(a_values);
    return status;
}

const struct dyno_op dyno_op_q_linear_mat_mul = {
    .onnx_name = "QLinearMatMul",
    .domain = "",
    .since = 21,
    .in_min = 8,
    .in_max = 8,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
