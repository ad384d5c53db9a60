/* softmax.c - Softmax-13: exp(x - max) / sum along one axis; and the loop that LogSoftmax and
 * Hardmax share. */
#include "ops/softmax.h"

#include <math.h>

#include "base/mem.h"
#include "ops/infer.h"
#include "ops/ref.h"
#include "ops/values.h"

const struct dyno_attr dyno_softmax_attr_rows[1] = {
    {"axis", DYNO_ATTR_I64, offsetof(struct dyno_softmax_attrs, axis), -1, NULL, 0},
};

enum dyno_status dyno_softmax_infer(struct dyno_infer *ctx)
{
    const struct dyno_softmax_attrs *a = ctx->attrs;
    int axis = 0;
    if (ctx->in[0]->rank >= 0)
        DYNO_TRY(dyno_infer_axis(ctx, a->axis, ctx->in[0]->rank, &axis));
    return dyno_infer_unary_float(ctx);
}

enum dyno_status dyno_softmax_run(struct dyno_ref *ctx, void (*row)(double *values, int64_t count))
{
    const struct dyno_softmax_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    const int64_t total = dyno_tensor_count(x);
    if (total == 0)
        return DYNO_OK;
    const int axis = dyno_ref_axis(a->axis, x->rank);
    const int64_t count = x->dims[axis];
    int64_t strides[DYNO_RANK_MAX];
    dyno_ref_strides(x->rank, x->dims, strides);
    const int64_t inner = strides[axis];
    double *values = dyno_values_alloc(count);
    if (values == NULL)
        return DYNO_NOMEM(ctx->err);
    for (int64_t r = 0; r < total / count; r++) {
        const int64_t first = r / inner * inner * count + r % inner;
        for (int64_t i = 0; i < count; i++)
            values[i] = dyno_elem_load_f64(x->dtype, x->data, (size_t)(first + i * inner));
        row(values, count);
        for (int64_t i = 0; i < count; i++)
            dyno_values_store_at(&ctx->out[0], first + i * inner, &values[i], 1);
    }
    dyno_free(values);
    return DYNO_OK;
}

void dyno_softmax_row(double *values, int64_t count)
{
    double max = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        max = values[i] > max ? values[i] : max;
    for (int64_t i = 0; i < count; i++) {
        values[i] = exp(values[i] - max);
        sum += values[i];
    }
    for (int64_t i = 0; i < count; i++)
        values[i] /= sum;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_softmax_run(ctx, dyno_softmax_row);
}

const struct dyno_op dyno_op_softmax = {
    .onnx_name = "Softmax",
    .since = 13,
    DYNO_SOFTMAX_OP,
    .reference = reference,
};
