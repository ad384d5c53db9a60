/* where.c - y = condition ? a : b, broadcast.  (ONNX Where-16) */
#include "ops/infer.h"
#include "ops/ref.h"

static dyno_expr elem(struct dyno_infer *ctx, const dyno_expr *args)
{
    return dyno_expr_select(ctx->exprs, args[0], args[1], args[2]);
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_BOOL));
    DYNO_TRY(dyno_infer_want_same(ctx, 1, 2));
    DYNO_TRY(dyno_infer_broadcast_to(ctx, ctx->in[1]->dtype));
    return dyno_infer_map_elems(ctx, elem);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    struct dyno_tensor *const out = &ctx->out[0];
    const int64_t count = dyno_tensor_count(out);
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, out->dims);
    for (int i = 0; i < 3; i++)
        dyno_walk_add(&walk, ctx->in[i]);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk)) {
        const int from = dyno_ref_i64(ctx->in[0], walk.at[0]) != 0 ? 1 : 2;
        dyno_ref_copy(out->dtype, out->data, i, ctx->in[from]->data, walk.at[from]);
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_where = {
    .onnx_name = "Where",
    .domain = "",
    .since = 16,
    .in_min = 3,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
