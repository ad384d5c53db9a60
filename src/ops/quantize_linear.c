/* quantize_linear.c - QuantizeLinear-25: saturate(round(x / scale) + zero_point). */
#include <math.h>

#include "ops/infer.h"
#include "ops/quantize.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_quantize_attrs, name)
static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, FIELD(axis), 1, NULL, 0},
    {"block_size", DYNO_ATTR_I64, FIELD(block_size), 0, NULL, 0},
    {"output_dtype", DYNO_ATTR_I64, FIELD(output_dtype), 0, NULL, 0},
    {"precision", DYNO_ATTR_I64, FIELD(precision), 0, NULL, 0},
    {"saturate", DYNO_ATTR_I64, FIELD(saturate), 1, NULL, 0},
};

static bool is_target(int64_t dtype)
{
    switch (dtype) {
    case DYNO_U8:
    case DYNO_I8:
    case DYNO_U16:
    case DYNO_I16:
    case DYNO_U4:
    case DYNO_I4:
    case DYNO_U2:
    case DYNO_I2:
    case DYNO_F8E4M3FN:
    case DYNO_F8E4M3FNUZ:
    case DYNO_F8E5M2:
    case DYNO_F8E5M2FNUZ:
    case DYNO_F4E2M1:
        return true;
    default:
        return false;
    }
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_quantize_attrs *a = ctx->attrs;
    const struct dyno_type *x = ctx->in[0];
    const struct dyno_type *zero = ctx->in_count > 2 ? ctx->in[2] : NULL;
    int64_t dtype = a->output_dtype != 0 ? a->output_dtype : DYNO_U8;
    if (zero != NULL && zero->dtype != DYNO_DTYPE_NONE) {
        if (a->output_dtype != 0 && a->output_dtype != (int64_t)zero->dtype)
            return DYNO_FAIL(ctx->err, DYNO_E_FORMAT,
                             "output_dtype is %lld but the zero point is %s",
                             (long long)a->output_dtype, dyno_dtype_text(zero->dtype));
        dtype = zero->dtype;
    }
    if (!is_target(dtype))
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "the output type %lld is not a quantised one",
                         (long long)dtype);
    DYNO_TRY(dyno_check_classes(ctx, 0, 2, DYNO_WANT_NUMBER));
    DYNO_TRY(dyno_quantize_check(ctx, a, 1));
    return dyno_infer_set(ctx, 0, (enum dyno_dtype)dtype, x->rank, x->dims);
}

/* x / scale, rounded to the type the division is done in. */
static float divide(enum dyno_dtype precision, double x, double scale)
{
    float quotient = (float)x / (float)scale;
    if (precision == DYNO_F16)
        quotient = dyno_f16_to_f32(dyno_f32_to_f16(quotient));
    if (precision == DYNO_BF16)
        quotient = dyno_bf16_to_f32(dyno_f32_to_bf16(quotient));
    return quotient;
}

/* Without `saturate` what is beyond the largest f8 becomes NaN, or infinity where the type has it.
 */
static void store_f8(const struct dyno_quantize_attrs *a, struct dyno_tensor *out, int64_t idx,
                     double value)
{
    static const struct {
        enum dyno_dtype dtype;
        double first_beyond; /* what rounds past the largest value */
    } limits[] = {{DYNO_F8E4M3FN, 0x1.d00001p8},
                  {DYNO_F8E4M3FNUZ, 248},
                  {DYNO_F8E5M2, 61440},
                  {DYNO_F8E5M2FNUZ, 61440}};
    for (size_t i = 0; a->saturate == 0 && i < DYNO_COUNT(limits); i++) {
        if (limits[i].dtype != out->dtype || !(fabs(value) >= limits[i].first_beyond))
            continue;
        if (out->dtype == DYNO_F8E5M2) {
            ((uint8_t *)out->data)[idx] = signbit(value) ? 0xfc : 0x7c;
            return;
        }
        value = (double)NAN;
    }
    dyno_elem_store_f64(out->dtype, out->data, (size_t)idx, value);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_quantize_attrs *a = ctx->attrs;
    const struct dyno_tensor *x = ctx->in[0];
    const struct dyno_tensor *scale = ctx->in[1];
    const struct dyno_tensor *zero = ctx->in_count > 2 ? ctx->in[2] : NULL;
    struct dyno_tensor *out = &ctx->out[0];
    struct dyno_quantize_map map;
    DYNO_TRY(dyno_quantize_map(a, x, scale, &map, ctx->err));
    if (zero != NULL && dyno_tensor_count(zero) != dyno_tensor_count(scale))
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "the zero point has %lld entries, the scale %lld",
                         (long long)dyno_tensor_count(zero), (long long)dyno_tensor_count(scale));
    const enum dyno_dtype precision =
        a->precision != 0 ? (enum dyno_dtype)a->precision : scale->dtype;
    const bool is_int = dyno_dtype_is_int(out->dtype);
    double min = 0;
    double max = 0;
    dyno_quantize_bounds(out->dtype, &min, &max);
    const int64_t count = dyno_tensor_count(x);
    for (int64_t i = 0; i < count; i++) {
        const int64_t s = dyno_quantize_scale_idx(&map, i);
        const float quotient = divide(precision, dyno_elem_load_f64(x->dtype, x->data, (size_t)i),
                                      dyno_elem_load_f64(scale->dtype, scale->data, (size_t)s));
        const double offset = dyno_quantize_zero(zero, s);
        if (is_int)
            dyno_elem_store_i64(out->dtype, out->data, (size_t)i,
                                (int64_t)dyno_quantize_round(quotient, offset, min, max));
        else
            store_f8(a, out, i, (double)quotient + offset);
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_quantize_linear = {
    .onnx_name = "QuantizeLinear",
    .domain = "",
    .since = 25,
    .in_min = 2,
    .in_max = 3,
    .out_min = 1,
    .out_max = 1,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_quantize_attrs),
    .infer = infer,
    .reference = reference,
};
