/* det.c - Det-22: the determinant of each square matrix on the last two axes. */
#include <math.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/values.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *x = ctx->in[0];
    int64_t rows = 0;
    int64_t cols = 0;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_FLOAT));
    if (x->rank >= 0 && x->rank < 2)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "x has rank %d, wants at least 2", x->rank);
    if (dyno_dim_const(ctx, x, x->rank - 2, &rows) && dyno_dim_const(ctx, x, x->rank - 1, &cols) &&
        rows != cols)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "matrices of %lld x %lld are not square",
                         (long long)rows, (long long)cols);
    return dyno_infer_set(ctx, 0, x->dtype, x->rank >= 0 ? x->rank - 2 : -1, x->dims);
}

/* Gaussian elimination with row pivots, in place. */
static double determinant(double *m, int64_t n)
{
    double result = 1;
    for (int64_t c = 0; c < n; c++) {
        int64_t pivot = c;
        for (int64_t r = c + 1; r < n; r++)
            if (fabs(m[r * n + c]) > fabs(m[pivot * n + c]))
                pivot = r;
        if (m[pivot * n + c] == 0)
            return 0;
        for (int64_t j = 0; pivot != c && j < n; j++) {
            const double held = m[c * n + j];
            m[c * n + j] = m[pivot * n + j];
            m[pivot * n + j] = held;
        }
        result *= pivot != c ? -m[c * n + c] : m[c * n + c];
        for (int64_t r = c + 1; r < n; r++) {
            const double factor = m[r * n + c] / m[c * n + c];
            for (int64_t j = c; j < n; j++)
                m[r * n + j] -= factor * m[c * n + j];
        }
    }
    return result;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *x = ctx->in[0];
    const int64_t n = x->dims[x->rank - 1];
    const int64_t count = dyno_tensor_count(&ctx->out[0]);
    double *values = dyno_values_load(x);
    if (values == NULL)
        return DYNO_NOMEM(ctx->err);
    for (int64_t i = 0; i < count; i++) {
        const double y = determinant(values + i * n * n, n);
        dyno_values_store_at(&ctx->out[0], i, &y, 1);
    }
    dyno_free(values);
    return DYNO_OK;
}

const struct dyno_op dyno_op_det = {
    .onnx_name = "Det",
    .since = 22,
    DYNO_UNARY_OP,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
