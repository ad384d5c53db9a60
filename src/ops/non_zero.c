/* non_zero.c - y [rank, n] = the indices of x's elements that are not 0.  (ONNX NonZero-13) */
#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_type *const in = ctx->in[0];
    dyno_expr dims[2] = {DYNO_EXPR_NONE, DYNO_EXPR_NONE};
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_NUMBER | DYNO_WANT_BOOL));
    if (in->rank >= 0)
        dims[0] = dyno_expr_const(ctx->exprs, in->rank);
    return dyno_infer_set(ctx, 0, DYNO_I64, 2, dims);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *const in = ctx->in[0];
    const bool is_float = dyno_dtype_is_float(in->dtype);
    const int64_t count = dyno_tensor_count(in);
    bool *const is_set = dyno_arena_alloc(ctx->arena, (size_t)count + 1, sizeof(*is_set));
    if (is_set == NULL)
        return DYNO_NOMEM(ctx->err);
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++) {
        is_set[i] = is_float ? dyno_elem_load_f64(in->dtype, in->data, (size_t)i) != 0.0
                             : dyno_ref_i64(in, i) != 0;
        found += is_set[i];
    }
    DYNO_TRY(dyno_ref_alloc(ctx, 0, DYNO_I64, 2, (const int64_t[]){in->rank, found}));
    int64_t *const out = ctx->out[0].data;
    int64_t at = 0;
    struct dyno_walk walk;
    dyno_walk_init(&walk, in->rank, in->dims);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk)) {
        if (!is_set[i])
            continue;
        for (int j = 0; j < in->rank; j++)
            out[j * found + at] = walk.idx[j];
        at++;
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_non_zero = {
    .onnx_name = "NonZero",
    .since = 13,
    DYNO_UNARY_OP,
    .flags = DYNO_OP_OPEN,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
