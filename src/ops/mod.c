/* mod.c - y = the remainder of a / b, broadcast.  (ONNX Mod-13) */
#include <math.h>

#include "ops/elementwise.h"
#include "ops/infer.h"
#include "ops/ref.h"

static const struct dyno_attr attrs[] = {
    {"fmod", DYNO_ATTR_I64, offsetof(struct dyno_mod_attrs, fmod), 0, NULL, 0},
};

static double f64_floor(double a, double b)
{
    const double r = fmod(a, b);
    return r != 0.0 && (r < 0.0) != (b < 0.0) ? r + b : r;
}

static int64_t i64_trunc(int64_t a, int64_t b, bool is_u64)
{
    if (is_u64)
        return (int64_t)((uint64_t)a % (uint64_t)b);
    return b == -1 ? 0 : a % b;
}

static int64_t i64_floor(int64_t a, int64_t b, bool is_u64)
{
    const int64_t r = i64_trunc(a, b, is_u64);
    return !is_u64 && r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static dyno_expr elem(struct dyno_infer *ctx, const dyno_expr *args)
{
    const struct dyno_mod_attrs *const a = ctx->attrs;
    int64_t a_min = 0;
    int64_t b_min = 0;
    int64_t max = 0;
    dyno_expr_range(ctx->exprs, args[0], &a_min, &max);
    dyno_expr_range(ctx->exprs, args[1], &b_min, &max);
    if (b_min <= 0 || (a->fmod != 0 && a_min < 0))
        return DYNO_EXPR_NONE;
    return dyno_expr_mod(ctx->exprs, args[0], args[1]);
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_arith(ctx));
    return dyno_infer_map_elems(ctx, elem);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_mod_attrs *const a = ctx->attrs;
    const bool is_c = a->fmod != 0;
    DYNO_TRY(dyno_ref_check_divisor(ctx));
    return dyno_ref_binary(ctx, &(struct dyno_ref_binary){.pw = -1,
                                                          .f64 = is_c ? fmod : f64_floor,
                                                          .i64 = is_c ? i64_trunc : i64_floor});
}

const struct dyno_op dyno_op_mod = {
    .onnx_name = "Mod",
    .since = 13,
    DYNO_BINARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_mod_attrs),
    .infer = infer,
    .reference = reference,
};
