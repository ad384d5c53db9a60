/* loss.c - what the two losses share. */
#include "ops/loss.h"

#include "ops/infer.h"
#include "ops/ref.h"
#include "ops/values.h"

const char *const dyno_loss_reduction_names[] = {"mean", "sum", "none", NULL};

enum { IN_X, IN_LABELS, IN_WEIGHTS };

enum dyno_status dyno_loss_infer(struct dyno_infer *ctx)
{
    const struct dyno_loss_attrs *a = ctx->attrs;
    const struct dyno_type *x = ctx->in[IN_X];
    const struct dyno_type *labels = ctx->in[IN_LABELS];
    DYNO_TRY(dyno_infer_want(ctx, IN_X, DYNO_WANT_FLOAT));
    DYNO_TRY(dyno_infer_want(ctx, IN_LABELS, DYNO_WANT_INDEX));
    DYNO_TRY(dyno_infer_want(ctx, IN_WEIGHTS, DYNO_WANT_FLOAT));
    if (x->rank >= 0 && x->rank < 2)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "the scores have rank %d, want at least 2",
                         x->rank);
    if (x->rank >= 0)
        DYNO_TRY(dyno_check_rank(ctx, IN_LABELS, "labels", x->rank - 1));
    DYNO_TRY(
        dyno_check_vector(ctx, IN_WEIGHTS, "weights", x->rank >= 2 ? x->dims[1] : DYNO_EXPR_NONE));
    if (a->reduction != DYNO_LOSS_NONE)
        return dyno_infer_set(ctx, 0, x->dtype, 0, NULL);
    return dyno_infer_set(ctx, 0, x->dtype, labels->rank, labels->dims);
}

enum dyno_status dyno_loss_run(struct dyno_ref *ctx, const double *log_probs)
{
    const struct dyno_loss_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[IN_X];
    const struct dyno_tensor *labels = ctx->in[IN_LABELS];
    const struct dyno_tensor *weights = ctx->in_count > IN_WEIGHTS ? ctx->in[IN_WEIGHTS] : NULL;
    const int64_t classes = x->dims[1];
    const int64_t count = dyno_tensor_count(labels);
    const int64_t inner = x->dims[0] > 0 ? count / x->dims[0] : 1;
    double sum = 0;
    double weight_sum = 0;
    if (classes < 1 || dyno_tensor_count(x) != count * classes)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                         "%lld labels do not fit %lld scores of %lld "
                         "classes",
                         (long long)count, (long long)dyno_tensor_count(x), (long long)classes);
    for (int64_t i = 0; i < count; i++) {
        const int64_t label = dyno_ref_i64(labels, i);
        double loss = 0;
        if (label != a->ignore_index) {
            if (label < 0 || label >= classes)
                return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "labels[%lld] is %lld, must be 0..%lld",
                                 (long long)i, (long long)label, (long long)(classes - 1));
            double weight = 1;
            if (weights != NULL)
                weight = dyno_elem_load_f64(weights->dtype, weights->data, (size_t)label);
            loss = -weight * log_probs[(i / inner * classes + label) * inner + i % inner];
            weight_sum += weight;
        }
        sum += loss;
        if (a->reduction == DYNO_LOSS_NONE)
            dyno_values_store_at(&ctx->out[0], i, &loss, 1);
    }
    if (a->reduction == DYNO_LOSS_MEAN)
        sum /= weight_sum;
    if (a->reduction != DYNO_LOSS_NONE)
        dyno_values_store_at(&ctx->out[0], 0, &sum, 1);
    return DYNO_OK;
}
