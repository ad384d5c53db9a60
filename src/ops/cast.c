/* cast.c - y = x as another element type.  (ONNX Cast-25) */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/elementwise.h"
#include "ops/infer.h"
#include "ops/ref.h"

static const char *const rounds[] = {"up", "down", "nearest", NULL};

static const struct dyno_attr attrs[] = {
    {"to", DYNO_ATTR_I64, offsetof(struct dyno_cast_attrs, to), 0, NULL, 1},
    {"saturate", DYNO_ATTR_I64, offsetof(struct dyno_cast_attrs, saturate), 1, NULL, 0},
    {"round_mode", DYNO_ATTR_ENUM, offsetof(struct dyno_cast_attrs, round_mode), DYNO_CAST_ROUND_UP,
     rounds, 0},
};

/* --- shape rule --- */

static dyno_expr as_it_is(struct dyno_infer *ctx, const dyno_expr *args)
{
    (void)ctx;
    return args[0];
}

static dyno_expr as_bool(struct dyno_infer *ctx, const dyno_expr *args)
{
    const dyno_expr is_zero = dyno_expr_eq(ctx->exprs, args[0], dyno_expr_const(ctx->exprs, 0));
    return dyno_expr_sub(ctx->exprs, dyno_expr_const(ctx->exprs, 1), is_zero);
}

enum dyno_status dyno_cast_infer(struct dyno_infer *ctx, enum dyno_dtype to)
{
    const struct dyno_type *const in = ctx->in[0];
    DYNO_TRY(dyno_infer_want(ctx, 0, DYNO_WANT_ANY));
    DYNO_TRY(dyno_infer_set(ctx, 0, to, in->rank, in->dims));
    struct dyno_infer data = *ctx;
    data.in_count = 1; /* CastLike's second input gives the type only */
    return dyno_infer_map_elems(&data,
                                to == DYNO_BOOL && in->dtype != DYNO_BOOL ? as_bool : as_it_is);
}

static enum dyno_status infer(struct dyno_infer *ctx)
{
    const struct dyno_cast_attrs *const a = ctx->attrs;
    if (a->to <= DYNO_DTYPE_NONE || a->to >= DYNO_DTYPE_COUNT)
        return DYNO_FAIL(ctx->err, DYNO_E_FORMAT, "attribute to is %" PRId64 ", not a type", a->to);
    return dyno_cast_infer(ctx, (enum dyno_dtype)a->to);
}

/* --- numbers --- */

static bool is_f8(enum dyno_dtype dtype)
{
    return dtype == DYNO_F8E4M3FN || dtype == DYNO_F8E4M3FNUZ || dtype == DYNO_F8E5M2 ||
           dtype == DYNO_F8E5M2FNUZ;
}

/* Without saturation what rounds beyond the largest finite value is infinite where the type has
 * an infinity, not a number elsewhere.  Codes: ONNX's table of the f8 types. */
static bool overflows_f8(enum dyno_dtype dtype, double value, uint8_t *code_out)
{
    const bool negative = signbit(value);
    switch ((int)dtype) {
    case DYNO_F8E4M3FN: /* 448; 464 is the tie and goes to the even 448 */
        *code_out = negative ? 0xff : 0x7f;
        return fabs(value) > 464.0;
    case DYNO_F8E4M3FNUZ: /* 240; 248 is the tie and goes up */
        *code_out = 0x80;
        return fabs(value) >= 248.0;
    case DYNO_F8E5M2: /* 57344; 61440 is the tie and goes up */
        *code_out = negative ? 0xfc : 0x7c;
        return fabs(value) >= 61440.0;
    default:
        *code_out = 0x80;
        return fabs(value) >= 61440.0;
    }
}

/* The power of two that stands for a positive number in f8e8m0. */
static double power_of_two(double value, enum dyno_cast_round mode)
{
    int exponent = 0;
    if (!(value > 0.0) || isinf(value))
        return value;
    const double fraction = 2.0 * frexp(value, &exponent); /* value = fraction * 2^(exponent-1) */
    const bool up = fraction > 1.0 && (mode == DYNO_CAST_ROUND_UP ||
                                       (mode == DYNO_CAST_ROUND_NEAREST && fraction >= 1.5));
    return ldexp(1.0, up ? exponent : exponent - 1);
}

static void store_float(const struct dyno_cast_attrs *a, struct dyno_tensor *out, int64_t idx,
                        double value)
{
    uint8_t code = 0;
    if (out->dtype == DYNO_F8E8M0)
        value = power_of_two(value, (enum dyno_cast_round)a->round_mode);
    if (is_f8(out->dtype) && a->saturate == 0 && !isnan(value) &&
        overflows_f8(out->dtype, value, &code))
        ((uint8_t *)out->data)[idx] = code;
    else
        dyno_elem_store_f64(out->dtype, out->data, (size_t)idx, value);
}

static void cast_number(const struct dyno_cast_attrs *a, const struct dyno_tensor *in,
                        struct dyno_tensor *out, int64_t idx)
{
    const bool from_float = dyno_dtype_is_float(in->dtype);
    if (!from_float && !dyno_dtype_is_float(out->dtype)) {
        dyno_elem_store_i64(out->dtype, out->data, (size_t)idx, dyno_ref_i64(in, idx));
        return;
    }
    double value = dyno_elem_load_f64(in->dtype, in->data, (size_t)idx);
    if (!from_float && out->dtype == DYNO_F32) /* one rounding, not two */
        value = in->dtype == DYNO_U64 ? (double)(float)(uint64_t)dyno_ref_i64(in, idx)
                                      : (double)(float)dyno_ref_i64(in, idx);
    store_float(a, out, idx, value);
}

/* --- texts --- */

#define TEXT_BYTES_MAX 64

/* The shortest decimal that reads back as the same number. */
static void print_float(double value, bool single, char *text)
{
    if (isnan(value) || isinf(value)) {
        (void)snprintf(text, TEXT_BYTES_MAX, "%s",
                       isnan(value) ? "nan" : (value < 0 ? "-inf" : "inf"));
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(text, TEXT_BYTES_MAX, "%.*g", digits, value);
        const bool same = single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value;
        if (same)
            break;
    }
    if (strpbrk(text, ".e") == NULL)
        memcpy(text + strlen(text), ".0", sizeof(".0"));
}

static enum dyno_status cast_to_text(struct dyno_ref *ctx, int64_t idx)
{
    const struct dyno_tensor *const in = ctx->in[0];
    char text[TEXT_BYTES_MAX];
    if (dyno_dtype_is_float(in->dtype))
        print_float(dyno_elem_load_f64(in->dtype, in->data, (size_t)idx), in->dtype != DYNO_F64,
                    text);
    else if (in->dtype == DYNO_BOOL)
        (void)snprintf(text, sizeof(text), "%s", dyno_ref_i64(in, idx) != 0 ? "True" : "False");
    else if (in->dtype == DYNO_U64)
        (void)snprintf(text, sizeof(text), "%" PRIu64, (uint64_t)dyno_ref_i64(in, idx));
    else
        (void)snprintf(text, sizeof(text), "%" PRId64, dyno_ref_i64(in, idx));
    struct dyno_str *const out = (struct dyno_str *)ctx->out[0].data + idx;
    out->bytes = strlen(text);
    out->text = dyno_arena_strndup(ctx->arena, text, out->bytes);
    return out->text != NULL ? DYNO_OK : DYNO_NOMEM(ctx->err);
}

static enum dyno_status cast_from_text(struct dyno_ref *ctx, int64_t idx)
{
    const struct dyno_cast_attrs *const a = ctx->attrs;
    const struct dyno_str str = ((const struct dyno_str *)ctx->in[0]->data)[idx];
    struct dyno_tensor *const out = &ctx->out[0];
    char text[TEXT_BYTES_MAX] = "";
    char *end = text;
    if (str.bytes > 0 && str.bytes < sizeof(text)) {
        memcpy(text, str.text, str.bytes);
        if (dyno_dtype_is_float(out->dtype))
            store_float(a, out, idx, strtod(text, &end));
        else if (out->dtype == DYNO_U64)
            dyno_elem_store_i64(out->dtype, out->data, (size_t)idx,
                                (int64_t)strtoull(text, &end, 10));
        else
            dyno_elem_store_i64(out->dtype, out->data, (size_t)idx, strtoll(text, &end, 10));
    }
    if (end == text || *end != '\0')
        return DYNO_FAIL(ctx->err, DYNO_E_ARG, "element %" PRId64 " is '%.*s', not a number of %s",
                         idx, str.bytes < 64 ? (int)str.bytes : 64,
                         str.text != NULL ? str.text : "", dyno_dtype_text(out->dtype));
    return DYNO_OK;
}

enum dyno_status dyno_cast_run(struct dyno_ref *ctx)
{
    const struct dyno_tensor *const in = ctx->in[0];
    struct dyno_tensor *const out = &ctx->out[0];
    const int64_t count = dyno_tensor_count(in);
    if (in->dtype == out->dtype)
        return dyno_ref_view(ctx);
    const enum dyno_dtype complex[] = {DYNO_C64, DYNO_C128};
    for (size_t i = 0; i < DYNO_COUNT(complex); i++)
        if (in->dtype == complex[i] || out->dtype == complex[i])
            return dyno_ref_refuse(ctx, complex[i]);
    for (int64_t i = 0; i < count; i++) {
        if (out->dtype == DYNO_STR)
            DYNO_TRY(cast_to_text(ctx, i));
        else if (in->dtype == DYNO_STR)
            DYNO_TRY(cast_from_text(ctx, i));
        else
            cast_number(ctx->attrs, in, out, i);
    }
    return DYNO_OK;
}

const struct dyno_op dyno_op_cast = {
    .onnx_name = "Cast",
    .since = 25,
    DYNO_UNARY_OP,
    .pw = -1,
    .attrs = attrs,
    .attr_count = DYNO_COUNT(attrs),
    .attr_bytes = sizeof(struct dyno_cast_attrs),
    .infer = infer,
    .reference = dyno_cast_run,
};
