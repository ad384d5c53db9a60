/* dropout.c - inference: y = x and a mask of ones.  (ONNX Dropout-22) */
#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

enum { TRAINING_MODE = 2 };

static const struct dyno_attr attrs[] = {
    {"seed", DYNO_ATTR_I64, offsetof(struct dyno_dropout_attrs, seed), 0, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *const in = ctx->in[0];
    int64_t training = 0;
    uint32_t count = 0;
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_FLOAT));
    if (ctx->in_count > TRAINING_MODE && ctx->in[TRAINING_MODE] != NULL &&
        dyno_infer_consts(ctx, TRAINING_MODE, &training, 1, &count) && training != 0)
        return DYNO_FAIL(ctx->err, DYNO_E_UNSUPPORTED,
                         "training_mode (input 2) is true: this is an engine for inference");
    DYNO_TRY(dyno_infer_set(ctx, 0, in->dtype, in->rank, in->dims));
    return dyno_infer_set(ctx, 1, DYNO_BOOL, in->rank, in->dims);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    if (ctx->in_count > TRAINING_MODE && ctx->in[TRAINING_MODE] != NULL &&
        dyno_ref_i64(ctx->in[TRAINING_MODE], 0) != 0)
        return DYNO_FAIL(ctx->err, DYNO_E_UNSUPPORTED,
                         "training_mode (input 2) is true: this is an engine for inference");
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
