/* dropout.c - nothing is dropped: y = x and a mask of ones.  (ONNX Dropout-22) */
#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

enum { RATIO = 1, TRAINING_MODE };

static const struct dyno_attr attrs[] = {
    {"seed", DYNO_ATTR_I64, offsetof(struct dyno_dropout_attrs, seed), 0, NULL, 0},
};

static const char trains[] =
    "training_mode (input 2) is true, the ratio is not 0: this is an engine for inference";

/* The ratio is 0.5 unless it is given. */
static bool drops_nothing(const struct dyno_tensor *ratio)
{
    return ratio != NULL && dyno_dtype_is_float(ratio->dtype) && dyno_tensor_count(ratio) == 1 &&
           dyno_elem_load_f64(ratio->dtype, ratio->data, 0) == 0.0;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *const in = ctx->in[0];
    const struct dyno_type *const ratio = ctx->in_count > RATIO ? ctx->in[RATIO] : NULL;
    int64_t training = 0;
    uint32_t count = 0;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_FLOAT));
    /* A ratio that only the run tells is looked at then. */
    if (ctx->in_count > TRAINING_MODE && ctx->in[TRAINING_MODE] != NULL &&
        dyno_infer_consts(ctx, TRAINING_MODE, &training, 1, &count) && count == 1 &&
        training != 0 && (ratio == NULL || ratio->constant != NULL) &&
        !drops_nothing(ratio != NULL ? ratio->constant : NULL))
        return DYNO_FAIL(ctx->err, DYNO_E_UNSUPPORTED, "%s", trains);
    DYNO_TRY(dyno_infer_set(ctx, 0, in->dtype, in->rank, in->dims));
    return dyno_infer_set(ctx, 1, DYNO_BOOL, in->rank, in->dims);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *const training =
        ctx->in_count > TRAINING_MODE ? ctx->in[TRAINING_MODE] : NULL;
    if (training != NULL && dyno_tensor_count(training) == 1 && dyno_ref_i64(training, 0) != 0 &&
        !drops_nothing(ctx->in_count > RATIO ? ctx->in[RATIO] : NULL))
        return DYNO_FAIL(ctx->err, DYNO_E_UNSUPPORTED, "%s", trains);
    const int64_t count = dyno_tensor_count(ctx->in[0]);
    for (int64_t i = 0; ctx->out_count > 1 && i < count; i++)
        dyno_elem_store_i64(DYNO_BOOL, ctx->out[1].data, (size_t)i, 1);
    return dyno_ref_view(ctx);
}

const struct dyno_op dyno_op_dropout = {
    .onnx_name = "Dropout",
    .domain = "",
    .since = 22,
    .in_min = 1,
    .in_max = 3,
    .out_min = 1,
    .out_max = 2,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_dropout_attrs),
    .infer = infer,
    .reference = reference,
};
