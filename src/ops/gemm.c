/* gemm.c - Gemm-13: alpha * A' * B' + beta * C. */
#include "ops/gemm.h"

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/mat_mul.h"
#include "ops/ref.h"
#include "ops/values.h"

static const struct dyno_attr attrs[] = {
    {"alpha", DYNO_ATTR_F32, offsetof(struct dyno_gemm_attrs, alpha), 1, NULL, 0},
    {"beta", DYNO_ATTR_F32, offsetof(struct dyno_gemm_attrs, beta), 1, NULL, 0},
    {"transA", DYNO_ATTR_I64, offsetof(struct dyno_gemm_attrs, trans_a), 0, NULL, 0},
    {"transB", DYNO_ATTR_I64, offsetof(struct dyno_gemm_attrs, trans_b), 0, NULL, 0},
};

/* C must broadcast to [M, N] without widening it. */
static enum dyno_status check_c(struct dyno_infer *ctx, const dyno_expr *dims)
{
    const struct dyno_type *c = ctx->in_count > 2 ? ctx->in[2] : NULL;
    if (c == NULL || c->rank < 0)
        return DYNO_OK;
    if (c->rank > 2)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "C has rank %d, wants at most 2", c->rank);
    for (int i = 1; i <= c->rank; i++) {
        int64_t size = 0;
        int64_t want = 0;
        if (dyno_dim_const(ctx, c, c->rank - i, &size) && size != 1 &&
            dyno_expr_is_const(ctx->exprs, dims[2 - i], &want) && size != want)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "C has %lld %s, which do not broadcast to the product's %lld",
                             (long long)size, i == 1 ? "columns" : "rows", (long long)want);
    }
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_gemm_attrs *a = ctx->attrs;
    dyno_expr dims[2] = {DYNO_EXPR_NONE, DYNO_EXPR_NONE};
    DYNO_TRY(dyno_check_classes(ctx, 0, 2, DYNO_WANT_NUMBER));
    DYNO_TRY(dyno_check_same_dtype(ctx, 0, "A", 1, "B"));
    DYNO_TRY(dyno_check_same_dtype(ctx, 0, "A", 2, "C"));
    DYNO_TRY(dyno_check_rank(ctx, 0, "A", 2));
    DYNO_TRY(dyno_check_rank(ctx, 1, "B", 2));
    const bool trans_a = a->trans_a != 0;
    const bool trans_b = a->trans_b != 0;
    int64_t left = 0;
    int64_t right = 0;
    if (dyno_dim_const(ctx, ctx->in[0], trans_a ? 0 : 1, &left) &&
        dyno_dim_const(ctx, ctx->in[1], trans_b ? 1 : 0, &right) && left != right)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "A has %lld columns but B has %lld rows (after transA %d, transB %d)",
                         (long long)left, (long long)right, trans_a, trans_b);
    if (ctx->in[0]->rank == 2)
        dims[0] = ctx->in[0]->dims[trans_a ? 1 : 0];
    if (ctx->in[1]->rank == 2)
        dims[1] = ctx->in[1]->dims[trans_b ? 0 : 1];
    DYNO_TRY(check_c(ctx, dims));
    return dyno_infer_set(ctx, 0, ctx->in[0]->dtype, 2, dims);
}

/* rows x cols values of a matrix stored transposed. */
static double *load_transposed(const struct dyno_tensor *tensor)
{
    const int64_t rows = tensor->dims[1];
    const int64_t cols = tensor->dims[0];
    double *from = dyno_values_load(tensor);
    double *to = dyno_values_alloc(rows * cols);
    for (int64_t r = 0; from != NULL && to != NULL && r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            to[r * cols + c] = from[c * rows + r];
    if (from == NULL) {
        dyno_free(to);
        to = NULL;
    }
    dyno_free(from);
    return to;
}

/* y = alpha * y + beta * C */
static void scale_and_add(const struct dyno_gemm_attrs *a, const struct dyno_tensor *c,
                          const struct dyno_tensor *out, double *y)
{
    const int64_t count = dyno_tensor_count(out);
    for (int64_t i = 0; i < count; i++)
        y[i] *= (double)a->alpha;
    if (c == NULL)
        return;
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, out->dims);
    dyno_walk_add(&walk, c);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk))
        y[i] += (double)a->beta * dyno_elem_load_f64(c->dtype, c->data, (size_t)walk.at[0]);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_gemm_attrs *a = ctx->attrs;
    const struct dyno_tensor *left = ctx->in[0];
    const struct dyno_tensor *right = ctx->in[1];
    struct dyno_tensor *out = &ctx->out[0];
    enum dyno_status status = DYNO_OK;
    double *a_values = a->trans_a != 0 ? load_transposed(left) : dyno_values_load(left);
    double *b_values = a->trans_b != 0 ? load_transposed(right) : dyno_values_load(right);
    double *y_values = dyno_values_alloc(dyno_tensor_count(out));
    if (a_values == NULL || b_values == NULL || y_values == NULL) {
        status = DYNO_NOMEM(ctx->err);
        goto out;
    }
    dyno_mat_mul_f64(out->dims[0], left->dims[a->trans_a != 0 ? 0 : 1], out->dims[1], a_values,
                     b_values, y_values);
    scale_and_add(a, ctx->in_count > 2 ? ctx->in[2] : NULL, out, y_values);
    dyno_values_store(out, y_values);
out:
    dyno_free(y_values);
    dyno_free(b_values);
    dyno_free(a_values);
    return status;
}

const struct dyno_op dyno_op_gemm = {
    .onnx_name = "Gemm",
    .domain = "",
    .since = 13,
    .in_min = 2,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_gemm_attrs),
    .infer = infer,
    .reference = reference,
};
