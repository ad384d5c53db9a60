/* range.c - y = start, start + delta, ... before limit.  (ONNX Range-11) */
#include <math.h>

#include "ops/infer.h"
#include "ops/ref.h"

enum { START, LIMIT, DELTA };

static double number(const struct dyno_tensor *tensor)
{
    return dyno_elem_load_f64(tensor->dtype, tensor->data, 0);
}

/* How many numbers there are; false when that is not a number of elements. */
static bool count_floats(double start, double limit, double delta, int64_t *count_out)
{
    const double count = ceil((limit - start) / delta);
    if (isnan(count) || count >= 0x1p62)
        return false;
    *count_out = count > 0.0 ? (int64_t)count : 0;
    return true;
}

static dyno_expr count_expr(struct dyno_infer *ctx, dyno_expr start, dyno_expr limit, int64_t delta)
{
    struct dyno_exprs *const exprs = ctx->exprs;
    const dyno_expr zero = dyno_expr_const(exprs, 0);
    const bool up = delta > 0;
    const dyno_expr span =
        up ? dyno_expr_sub(exprs, limit, start) : dyno_expr_sub(exprs, start, limit);
    const dyno_expr by = up ? dyno_expr_const(exprs, delta)
                            : dyno_expr_sub(exprs, zero, dyno_expr_const(exprs, delta));
    return dyno_expr_max(exprs, zero, dyno_expr_ceildiv(exprs, span, by));
}

static enum dyno_status infer_ints(struct dyno_infer *ctx, const dyno_expr *args)
{
    struct dyno_exprs *const exprs = ctx->exprs;
    int64_t delta = 0;
    int64_t count = 0;
    dyno_expr dim = DYNO_EXPR_NONE;
    if (!dyno_expr_is_const(exprs, args[DELTA], &delta))
        return dyno_infer_set(ctx, 0, ctx->in[0]->dtype, 1, &dim);
    if (delta == 0)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "delta (input 2) is 0, must not be");
    dim = count_expr(ctx, args[START], args[LIMIT], delta);
    DYNO_TRY(dyno_infer_set(ctx, 0, ctx->in[0]->dtype, 1, &dim));
    if (ctx->out_count == 0 || !dyno_expr_is_const(exprs, dim, &count) || count > DYNO_ELEMS_MAX)
        return DYNO_OK;
    dyno_expr *const elems = dyno_infer_elems_alloc(ctx, (uint32_t)count);
    if (elems == NULL)
        return DYNO_NOMEM(ctx->err);
    dyno_expr value = args[START];
    for (int64_t i = 0; i < count; i++) {
        elems[i] = value;
        if (i + 1 < count)
            value = dyno_expr_add(exprs, value, args[DELTA]);
    }
    dyno_infer_set_elems(ctx, 0, elems, (uint32_t)count);
    return DYNO_OK;
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    dyno_expr args[3];
    dyno_expr dim = DYNO_EXPR_NONE;
    const struct dyno_tensor *constants[3];
    bool known = true;
    bool constant = true;
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t count = 0;
        DYNO_TRY(dyno_infer_want(ctx, i, DYNO_WANT_NUMBER));
        DYNO_TRY(dyno_infer_want_same(ctx, 0, i));
        const dyno_expr *const elems = dyno_infer_elems(ctx, i, &count);
        constants[i] = ctx->in[i]->constant;
        known = known && elems != NULL && count == 1;
        if (known)
            args[i] = elems[0];
        constant = constant && constants[i] != NULL && dyno_tensor_count(constants[i]) == 1;
    }
    if (known)
        return infer_ints(ctx, args);
    if (constant) {
        int64_t count = 0;
        if (!count_floats(number(constants[START]), number(constants[LIMIT]),
                          number(constants[DELTA]), &count))
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "the range from %g to %g by %g has no end",
                             number(constants[START]), number(constants[LIMIT]),
                             number(constants[DELTA]));
        dim = dyno_expr_const(ctx->exprs, count);
    }
    return dyno_infer_set(ctx, 0, ctx->in[0]->dtype, 1, &dim);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    struct dyno_tensor *const out = &ctx->out[0];
    const int64_t count = out->dims[0];
    for (int64_t i = 0; i < count; i++) {
        if (dyno_dtype_is_int(out->dtype)) {
            const uint64_t offset = (uint64_t)i * (uint64_t)dyno_ref_i64(ctx->in[DELTA], 0);
            const int64_t value = (int64_t)((uint64_t)dyno_ref_i64(ctx->in[START], 0) + offset);
            dyno_elem_store_i64(out->dtype, out->data, (size_t)i, value);
        } else {
            const double value = number(ctx->in[START]) + (double)i * number(ctx->in[DELTA]);
            dyno_elem_store_f64(out->dtype, out->data, (size_t)i, value);
        }
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_range = {
    .onnx_name = "Range",
    .domain = "",
    .since = 11,
    .in_min = 3,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .infer = infer,
    .reference = reference,
};
