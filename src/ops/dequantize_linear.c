/* dequantize_linear.c - DequantizeLinear-25: (x - zero_point) * scale. */
#include "ops/infer.h"
#include "ops/quantize.h"
#include "ops/values.h"

#define FIELD(name) offsetof(struct dyno_quantize_attrs, name)
static const struct dyno_attr attrs[] = {
    {"axis", DYNO_ATTR_I64, FIELD(axis), 1, NULL, 0},
    {"block_size", DYNO_ATTR_I64, FIELD(block_size), 0, NULL, 0},
    {"output_dtype", DYNO_ATTR_I64, FIELD(output_dtype), 0, NULL, 0},
};

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_quantize_attrs *a = ctx->attrs;
    const struct dyno_type *x = ctx->in[0];
    enum dyno_dtype dtype = ctx->in[1]->dtype;
    if (a->output_dtype != 0)
        dtype = (enum dyno_dtype)a->output_dtype;
    if (a->output_dtype < 0 || a->output_dtype >= DYNO_DTYPE_COUNT ||
        (dtype != DYNO_DTYPE_NONE && !dyno_dtype_is_float(dtype)))
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "the output type %lld is not a float",
                         a->output_dtype != 0 ? (long long)a->output_dtype : (long long)dtype);
    DYNO_TRY(dyno_check_classes(ctx, 0, 2, DYNO_WANT_NUMBER));
    DYNO_TRY(dyno_check_same_dtype(ctx, 0, "x", 2, "the zero point"));
    DYNO_TRY(dyno_quantize_check(ctx, a, 1));
    return dyno_infer_set(ctx, 0, dtype, x->rank, x->dims);
}

static enum dyno_status reference(struct dyno_ref *ctx)
{
    const struct dyno_tensor *x = ctx->in[0];
    const struct dyno_tensor *scale = ctx->in[1];
    const struct dyno_tensor *zero = ctx->in_count > 2 ? ctx->in[2] : NULL;
    struct dyno_tensor *out = &ctx->out[0];
    struct dyno_quantize_map map;
    DYNO_TRY(dyno_quantize_map(ctx->attrs, x, scale, &map, ctx->err));
    if (zero != NULL && dyno_tensor_count(zero) != dyno_tensor_count(scale))
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "the zero point has %lld entries, the scale %lld",
                         (long long)dyno_tensor_count(zero), (long long)dyno_tensor_count(scale));
    const int64_t count = dyno_tensor_count(x);
    for (int64_t i = 0; i < count; i++) {
        const int64_t s = dyno_quantize_scale_idx(&map, i);
        const double centred =
            dyno_elem_load_f64(x->dtype, x->data, (size_t)i) - dyno_quantize_zero(zero, s);
        const float y =
            (float)centred * (float)dyno_elem_load_f64(scale->dtype, scale->data, (size_t)s);
        dyno_elem_store_f64(out->dtype, out->data, (size_t)i, (double)y);
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_dequantize_linear = {
    .onnx_name = "DequantizeLinear",
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
