/* pow.c - y = a ^ b, broadcast, of a's type; the exponent may be of another type.  (ONNX Pow-15) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_NUMBER));
    DYNO_TRY(dyno_infer_want(ctx, 1, DYNO_WANT_NUMBER));
    return dyno_infer_broadcast_to(ctx, ctx->in[0]->dtype);
}

/* Exact in wrapping arithmetic; a negative power of a whole number is 0 but for 1 and -1. */
static int64_t power_i64(int64_t base, int64_t exponent)
{
    if (exponent < 0)
        return base == 1 ? 1 : (base == -1 ? (exponent % 2 != 0 ? -1 : 1) : 0);
    uint64_t result = 1;
    for (uint64_t square = (uint64_t)base; exponent > 0; exponent /= 2, square *= square)
        if (exponent % 2 != 0)
            result *= square;
    return (int64_t)result;
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *const a = ctx->in[0];
    const struct dyno_tensor *const b = ctx->in[1];
    struct dyno_tensor *const out = &ctx->out[0];
    const bool whole = dyno_dtype_is_int(a->dtype) && dyno_dtype_is_int(b->dtype);
    const bool single = a->dtype == DYNO_F32 && b->dtype == DYNO_F32;
    const int64_t count = dyno_tensor_count(out);
    struct dyno_walk walk;
    dyno_walk_init(&walk, out->rank, out->dims);
    dyno_walk_add(&walk, a);
    dyno_walk_add(&walk, b);
    for (int64_t i = 0; i < count; i++, dyno_walk_next(&walk)) {
        if (whole) {
            const int64_t y = power_i64(dyno_ref_i64(a, walk.at[0]), dyno_ref_i64(b, walk.at[1]));
            dyno_elem_store_i64(out->dtype, out->data, (size_t)i, y);
            continue;
        }
        const double x = dyno_elem_load_f64(a->dtype, a->data, (size_t)walk.at[0]);
        const double e = dyno_elem_load_f64(b->dtype, b->data, (size_t)walk.at[1]);
        const double y =
            single ? (double)dyno_pw_eval(DYNO_PW_pow, (float)x, (float)e, 0.0F, 0.0F, 0.0F)
                   : pow(x, e);
        dyno_elem_store_f64(out->dtype, out->data, (size_t)i, y);
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_pow = {
    .onnx_name = "Pow",
    .since = 15,
    DYNO_BINARY_OP,
    .pw = DYNO_PW_pow,
    .infer = infer,
    .reference = reference,
};
