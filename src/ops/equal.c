/* equal.c - y = a == b, broadcast.  (ONNX Equal-19) */
#include <string.h>

#include "ops/infer.h"
#include "ops/ref.h"

static double f64(double a, double b)
{
    return a == b ? 1.0 : 0.0;
}

static int64_t i64(int64_t a, int64_t b, bool is_u64)
{
    (void)is_u64;
    return a == b;
}

static dyno_expr elem(struct dyno_infer *ctx, const dyno_expr *args)
{
    return dyno_expr_eq(ctx->exprs, args[0], args[1]);
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    return dyno_infer_compare(ctx, elem);
}

static enum dyno_status compare_texts(struct dyno_ref *ctx)
{
    const struct dyno_str *const a = ctx->in[0]->data;
    const struct dyno_str *const b = ctx->in[1]->data;
    struct dyno_tensor *const out = &ctx->out[0];
    const int64_t count = dyno_tensor_count(out);
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, out->dims);
    dyno_walk_add(&walk, ctx->in[0]);
    dyno_walk_add(&walk, ctx->in[1]);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk)) {
        const struct dyno_str x = a[walk.at[0]];
        const struct dyno_str y = b[walk.at[1]];
        const bool same =
            x.bytes == y.bytes && (x.bytes == 0 || memcmp(x.text, y.text, x.bytes) == 0);
        dyno_elem_store_i64(DYNO_BOOL, out->data, (size_t)i, same);
    }
    return DYNO_OK;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    if (ctx->in[0]->dtype == DYNO_STR)
        return compare_texts(ctx);
    return dyno_ref_binary(ctx, &(struct dyno_ref_binary){.pw = -1, .f64 = f64, .i64 = i64});
}

const struct dyno_op dyno_op_equal = {
    .onnx_name = "Equal",
    .since = 19,
    DYNO_BINARY_OP,
    .flags = DYNO_OP_COMMUTES,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
