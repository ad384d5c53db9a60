/* prelu.c - y = x < 0 ? slope * x : x; slope broadcasts to x.  (ONNX PRelu-16) */
#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_NUMBER));
    DYNO_TRY(dyno_infer_want_same(ctx, 0, 1));
    const struct dyno_type *const x = ctx->in[0];
    const struct dyno_type *const slope = ctx->in[1];
    if (x->rank >= 0 && slope->rank >= 0) {
        dyno_expr dims[DYNO_RANK_MAX];
        int rank = 0;
        DYNO_TRY(dyno_infer_broadcast_dims(ctx, x->dims, x->rank, slope->dims, slope->rank, dims,
                                           &rank));
        bool same = rank == x->rank;
        for (int i = 0; same && i < rank; i++) {
            int64_t size = 0;
            same = dims[i] == x->dims[i] || !dyno_expr_is_const(ctx->exprs, x->dims[i], &size);
        }
        if (!same)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "the slope (input 1) must broadcast to the shape of input 0");
    }
    return dyno_infer_same_as_input(ctx);
}

static double f64(double a, double b)
{
    return a < 0.0 ? b * a : a;
}

static int64_t i64(int64_t a, int64_t b, bool is_u64)
{
    return !is_u64 && a < 0 ? (int64_t)((uint64_t)a * (uint64_t)b) : a;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    return dyno_ref_binary(ctx,
                           &(struct dyno_ref_binary){.pw = DYNO_PW_prelu, .f64 = f64, .i64 = i64});
}

const struct dyno_op dyno_op_prelu = {
    .onnx_name = "PRelu",
    .since = 16,
    DYNO_BINARY_OP,
    .pw = DYNO_PW_prelu,
    .infer = infer,
    .reference = reference,
};
