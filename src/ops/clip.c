/* clip.c - y = min(max(x, low), high); each bound may be absent.  (ONNX Clip-13) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

static enum dyno_status infer(struct dyno_infer *ctx)
{
    DYNO_TRY(dyno_infer_want_same(ctx, 0, 1));
    DYNO_TRY(dyno_infer_want_same(ctx, 0, 2));
    for (uint32_t i = 1; i < ctx->in_count; i++) {
        int64_t size = 0;
        const struct dyno_type *const bound = ctx->in[i];
        if (bound != NULL && (bound->rank > 1 ||
                              (bound->rank == 1 &&
                               dyno_expr_is_const(ctx->exprs, bound->dims[0], &size) && size != 1)))
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "input %u must be one number", i);
    }
    DYNO_TRY(dyno_infer_unary_number(ctx));
    uint32_t count = 0;
    const dyno_expr *const low = dyno_infer_elems(ctx, 1, &count);
    const dyno_expr *const high = dyno_infer_elems(ctx, 2, &count);
    const dyno_expr *const elems = dyno_infer_elems(ctx, 0, &count);
    const bool has_low = ctx->in_count > 1 && ctx->in[1] != NULL;
    const bool has_high = ctx->in_count > 2 && ctx->in[2] != NULL;
    if (elems == NULL || (has_low && low == NULL) || (has_high && high == NULL))
        return DYNO_OK;
    dyno_expr *const out = dyno_infer_elems_alloc(ctx, count);
    if (out == NULL)
        return DYNO_NOMEM(ctx->err);
    for (uint32_t i = 0; i < count; i++) {
        out[i] = has_low ? dyno_expr_max(ctx->exprs, elems[i], low[0]) : elems[i];
        out[i] = has_high ? dyno_expr_min(ctx->exprs, out[i], high[0]) : out[i];
    }
    dyno_infer_set_elems(ctx, 0, out, count);
    return DYNO_OK;
}

/* A bound that is there; NULL otherwise. */
static const struct dyno_tensor *bound(const struct dyno_ref *ctx, uint32_t idx)
{
    return idx < ctx->in_count ? ctx->in[idx] : NULL;
}

static void clip_floats(const struct dyno_tensor *in, const struct dyno_tensor *low,
                        const struct dyno_tensor *high, struct dyno_tensor *out)
{
    const double p = low != NULL ? dyno_elem_load_f64(low->dtype, low->data, 0) : -INFINITY;
    const double q = high != NULL ? dyno_elem_load_f64(high->dtype, high->data, 0) : INFINITY;
    const int64_t count = dyno_tensor_count(in);
    for (int64_t i = 0; i < count; i++) {
        double x = dyno_elem_load_f64(in->dtype, in->data, (size_t)i);
        x = x < p ? p : x;
        x = x > q ? q : x;
        dyno_elem_store_f64(out->dtype, out->data, (size_t)i, x);
    }
}

static void clip_ints(const struct dyno_tensor *in, const struct dyno_tensor *low,
                      const struct dyno_tensor *high, struct dyno_tensor *out)
{
    /* Flipping the top bit puts u64 into the order of int64. */
    const uint64_t flip = in->dtype == DYNO_U64 ? UINT64_C(1) << 63 : 0;
    const int64_t p = low != NULL ? (int64_t)((uint64_t)dyno_ref_i64(low, 0) ^ flip) : INT64_MIN;
    const int64_t q = high != NULL ? (int64_t)((uint64_t)dyno_ref_i64(high, 0) ^ flip) : INT64_MAX;
    const int64_t count = dyno_tensor_count(in);
    for (int64_t i = 0; i < count; i++) {
        int64_t x = (int64_t)((uint64_t)dyno_ref_i64(in, i) ^ flip);
        x = x < p ? p : x;
        x = x > q ? q : x;
        dyno_elem_store_i64(out->dtype, out->data, (size_t)i, (int64_t)((uint64_t)x ^ flip));
    }
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    if (dyno_dtype_is_float(ctx->in[0]->dtype))
        clip_floats(ctx->in[0], bound(ctx, 1), bound(ctx, 2), &ctx->out[0]);
    else
        clip_ints(ctx->in[0], bound(ctx, 1), bound(ctx, 2), &ctx->out[0]);
    return DYNO_OK;
}

const struct dyno_op dyno_op_clip = {
    .onnx_name = "Clip",
    .domain = "",
    .since = 13,
    .in_min = 1,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = DYNO_PW_clip,
    .infer = infer,
    .reference = reference,
};
