/* trilu.c - y = x, but 0 below (upper) or above (lower) the k-th diagonal.  (ONNX Trilu-14) */
#include "ops/infer.h"
#include "ops/move.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"upper", DYNO_ATTR_I64, offsetof(struct dyno_trilu_attrs, upper), 1, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_INDEX));
    if (ctx->in[0]->rank >= 0 && ctx->in[0]->rank < 2)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "input 0 has %d dimensions, must have 2 or more",
                         ctx->in[0]->rank);
    return dyno_infer_same_as_input(ctx);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_trilu_attrs *const a = ctx->attrs;
    const struct dyno_tensor *const in = ctx->in[0];
    const bool shifted = ctx->in_count > 1 && ctx->in[1] != NULL;
    const int64_t k = shifted ? dyno_ref_i64(ctx->in[1], 0) : 0;
    const int64_t rows = in->dims[in->rank - 2];
    const int64_t cols = in->dims[in->rank - 1];
    const int64_t count = dyno_tensor_count(in);
    for (int64_t i = 0; i < count; i++) {
        const int64_t offset = i % cols - i / cols % rows;
        if (a->upper != 0 ? offset >= k : offset <= k)
            dyno_ref_copy(in->dtype, ctx->out[0].data, i, in->data, i);
    }
    return DYNO_OK; /* the allocation gave zeros */
}

const struct dyno_op dyno_op_trilu = {
    .onnx_name = "Trilu",
    .domain = "",
    .since = 14,
    .in_min = 1,
    .in_max = 2,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_trilu_attrs),
    .infer = infer,
    .reference = reference,
};
