/* dtype.c - sizes, names and single elements of every type. */
#include "base/dtype.h"

#include <math.h>
#include <string.h>

#include "base/err.h"

unsigned dyno_dtype_bits(enum dyno_dtype dtype)
{
    static const uint8_t bits[DYNO_DTYPE_COUNT] = {
#define X(sym, value, width, text, numpy) [value] = (width),
        DYNO_DTYPE_MAP(X)
#undef X
    };
    return (unsigned)dtype < DYNO_DTYPE_COUNT ? bits[dtype] : 0;
}

static const char *const texts[DYNO_DTYPE_COUNT] = {[0] = "none",
#define X(sym, value, width, text, numpy) [value] = (text),
                                                    DYNO_DTYPE_MAP(X)
#undef X
};

const char *dyno_dtype_text(enum dyno_dtype dtype)
{
    return (unsigned)dtype < DYNO_DTYPE_COUNT ? texts[dtype] : texts[0];
}

enum dyno_dtype dyno_dtype_parse(const char *text, size_t bytes)
{
    for (unsigned i = 1; i < DYNO_DTYPE_COUNT; i++)
        if (strlen(texts[i]) == bytes && memcmp(texts[i], text, bytes) == 0)
            return (enum dyno_dtype)i;
    return DYNO_DTYPE_NONE;
}

enum {
    CLASS_OTHER,
    CLASS_FLOAT,
    CLASS_SIGNED,
    CLASS_UNSIGNED,
};

static int class_of(enum dyno_dtype dtype)
{
    switch (dtype) {
    case DYNO_F32:
    case DYNO_F64:
    case DYNO_F16:
    case DYNO_BF16:
    case DYNO_F8E4M3FN:
    case DYNO_F8E4M3FNUZ:
    case DYNO_F8E5M2:
    case DYNO_F8E5M2FNUZ:
    case DYNO_F4E2M1:
    case DYNO_F8E8M0:
        return CLASS_FLOAT;
    case DYNO_I8:
    case DYNO_I16:
    case DYNO_I32:
    case DYNO_I64:
    case DYNO_I4:
    case DYNO_I2:
        return CLASS_SIGNED;
    case DYNO_U8:
    case DYNO_U16:
    case DYNO_U32:
    case DYNO_U64:
    case DYNO_U4:
    case DYNO_U2:
        return CLASS_UNSIGNED;
    case DYNO_DTYPE_NONE:
    case DYNO_STR:
    case DYNO_BOOL:
    case DYNO_C64:
    case DYNO_C128:
    case DYNO_DTYPE_COUNT:
        break;
    }
    return CLASS_OTHER;
}

bool dyno_dtype_is_float(enum dyno_dtype dtype)
{
    return class_of(dtype) == CLASS_FLOAT;
}

bool dyno_dtype_is_signed(enum dyno_dtype dtype)
{
    return class_of(dtype) == CLASS_SIGNED;
}

bool dyno_dtype_is_int(enum dyno_dtype dtype)
{
    return class_of(dtype) == CLASS_SIGNED || class_of(dtype) == CLASS_UNSIGNED;
}

bool dyno_dtype_bytes(enum dyno_dtype dtype, uint64_t count, size_t *bytes_out)
{
    const unsigned bits = dyno_dtype_bits(dtype);
    if (bits == 0)
        return false;
    uint64_t bytes = 0;
    if (bits < 8) {
        const unsigned per_byte = 8 / bits;
        bytes = count / per_byte + (count % per_byte != 0);
    } else if (__builtin_mul_overflow(count, (uint64_t)(bits / 8), &bytes)) {
        return false;
    }
    if (bytes > SIZE_MAX)
        return false;
    *bytes_out = (size_t)bytes;
    return true;
}

/* --- halves --- */

float dyno_bf16_to_f32(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof(value));
    return value;
}

uint16_t dyno_f32_to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    if ((bits & 0x7fffffffU) > 0x7f800000U)
        return (uint16_t)((bits >> 16) | 0x40U);
    return (uint16_t)((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

float dyno_f16_to_f32(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000U) << 16;
    const uint32_t exponent = (bits >> 10) & 0x1fU;
    const uint32_t fraction = bits & 0x3ffU;
    uint32_t wide;
    if (exponent == 0) {
        const float tiny = (float)fraction * 0x1p-24F;
        memcpy(&wide, &tiny, sizeof(wide));
        wide |= sign;
    } else if (exponent == 0x1f) {
        wide = sign | 0x7f800000U | (fraction << 13);
    } else {
        wide = sign | ((exponent + 112) << 23) | (fraction << 13);
    }
    float value;
    memcpy(&value, &wide, sizeof(value));
    return value;
}

uint16_t dyno_f32_to_f16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    const uint32_t sign = (bits >> 16) & 0x8000U;
    const uint32_t magnitude = bits & 0x7fffffffU;
    if (magnitude > 0x7f800000U)
        return (uint16_t)(sign | 0x7e00U | ((magnitude >> 13) & 0x1ffU));
    if (magnitude >= 0x477ff000U) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00U);
    if (magnitude < 0x38800000U) { /* below 2^-14: adding 0.5 puts the half's last bit at f32's */
        float shifted;
        memcpy(&shifted, &magnitude, sizeof(shifted));
        shifted += 0.5F;
        uint32_t sum;
        memcpy(&sum, &shifted, sizeof(sum));
        return (uint16_t)(sign | (sum - 0x3f000000U));
    }
    const uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
    return (uint16_t)(sign | ((rounded - 0x38000000U) >> 13));
}

/* --- small floats, by their description --- */

struct small_float {
    int fraction_bits;
    int bias;
    double max;
    unsigned nan;       /* code of NaN without sign; with `unsigned_zero` the only NaN */
    bool unsigned_zero; /* the code of -0 means NaN */
    bool has_nan;
    bool has_inf; /* exponent all ones is infinity and NaN: too large becomes infinity */
};

static const struct small_float *small_float(enum dyno_dtype dtype)
{
    static const struct small_float f16 = {10, 15, 65504.0, 0x7e00, false, true, true};
    static const struct small_float bf16 = {7, 127, 0x1.fep127, 0x7fc0, false, true, true};
    static const struct small_float e4m3fn = {3, 7, 448.0, 0x7f, false, true, false};
    static const struct small_float e4m3fnuz = {3, 8, 240.0, 0x80, true, true, false};
    static const struct small_float e5m2 = {2, 15, 57344.0, 0x7f, false, true, false};
    static const struct small_float e5m2fnuz = {2, 16, 57344.0, 0x80, true, true, false};
    static const struct small_float e2m1 = {1, 1, 6.0, 0, false, false, false};
    if (dtype == DYNO_F16)
        return &f16;
    if (dtype == DYNO_BF16)
        return &bf16;
    if (dtype == DYNO_F8E4M3FN)
        return &e4m3fn;
    if (dtype == DYNO_F8E4M3FNUZ)
        return &e4m3fnuz;
    if (dtype == DYNO_F8E5M2)
        return &e5m2;
    return dtype == DYNO_F8E5M2FNUZ ? &e5m2fnuz : &e2m1;
}

static unsigned small_encode(enum dyno_dtype dtype, double value)
{
    const struct small_float *kind = small_float(dtype);
    const unsigned sign_bit = 1U << (dyno_dtype_bits(dtype) - 1);
    const unsigned sign = signbit(value) ? sign_bit : 0;
    if (isnan(value)) {
        if (!kind->has_nan)
            return 0;
        return kind->unsigned_zero ? kind->nan : kind->nan | sign;
    }
    double magnitude = fabs(value);
    const int exponent_min = 1 - kind->bias;
    int exponent = magnitude >= ldexp(1.0, exponent_min) ? ilogb(magnitude) : exponent_min;
    if (!isinf(magnitude)) {
        const double scaled = ldexp(magnitude, kind->fraction_bits - exponent);
        magnitude = ldexp(nearbyint(scaled), exponent - kind->fraction_bits);
    }
    if (magnitude > kind->max) {
        if (kind->has_inf)
            return sign | (kind->nan & ~(1U << (kind->fraction_bits - 1)));
        magnitude = kind->max;
    }
    if (magnitude == 0.0)
        return kind->unsigned_zero ? 0 : sign;
    if (magnitude < ldexp(1.0, exponent_min))
        return sign | (unsigned)ldexp(magnitude, kind->fraction_bits - exponent_min);
    exponent = ilogb(magnitude);
    const double fraction = ldexp(magnitude, kind->fraction_bits - exponent);
    const unsigned base = (unsigned)(exponent + kind->bias - 1) << kind->fraction_bits;
    return sign | (base + (unsigned)fraction);
}

static double small_decode(enum dyno_dtype dtype, unsigned code)
{
    const struct small_float *kind = small_float(dtype);
    const unsigned sign_bit = 1U << (dyno_dtype_bits(dtype) - 1);
    const unsigned magnitude = code & (sign_bit - 1);
    if (kind->unsigned_zero && code == sign_bit)
        return (double)NAN;
    if (dtype == DYNO_F8E4M3FN && magnitude == 0x7f)
        return (double)NAN;
    if (dtype == DYNO_F8E5M2 && magnitude >= 0x7c) {
        const double special = magnitude == 0x7c ? (double)INFINITY : (double)NAN;
        return code & sign_bit ? -special : special;
    }
    const int exponent = (int)(magnitude >> kind->fraction_bits);
    const unsigned fraction = magnitude & ((1U << kind->fraction_bits) - 1);
    double value;
    if (exponent == 0)
        value = ldexp((double)fraction, 1 - kind->bias - kind->fraction_bits);
    else
        value = ldexp((double)(fraction + (1U << kind->fraction_bits)),
                      exponent - kind->bias - kind->fraction_bits);
    return code & sign_bit ? -value : value;
}

/* A power of two, rounded up. */
static unsigned e8m0_encode(double value)
{
    if (isnan(value))
        return 255;
    if (!(value > 0x1p-127))
        return 0;
    int exponent = 0;
    const double fraction =
        frexp(value, &exponent); /* value = fraction * 2^exponent, in [0.5, 1) */
    const int code = (fraction > 0.5 ? exponent : exponent - 1) + 127;
    return isinf(value) || code > 254 ? 254 : (unsigned)code;
}

/* --- elements --- */

static unsigned packed_get(const void *data, size_t idx, unsigned bits)
{
    const unsigned per_byte = 8 / bits;
    const uint8_t byte = ((const uint8_t *)data)[idx / per_byte];
    return (byte >> (idx % per_byte * bits)) & ((1U << bits) - 1);
}

static void packed_put(void *data, size_t idx, unsigned bits, unsigned code)
{
    const unsigned per_byte = 8 / bits;
    uint8_t *byte = (uint8_t *)data + idx / per_byte;
    const unsigned shift = (unsigned)(idx % per_byte) * bits;
    const unsigned mask = ((1U << bits) - 1) << shift;
    *byte = (uint8_t)((*byte & ~mask) | ((code << shift) & mask));
}

static uint64_t bits_get(enum dyno_dtype dtype, const void *data, size_t idx)
{
    const unsigned bits = dyno_dtype_bits(dtype);
    DYNO_ASSERT(bits != 0 && bits <= 64);
    if (bits < 8)
        return packed_get(data, idx, bits);
    uint64_t value = 0;
    memcpy(&value, (const uint8_t *)data + idx * (bits / 8), bits / 8);
    return value;
}

static void bits_put(enum dyno_dtype dtype, void *data, size_t idx, uint64_t value)
{
    const unsigned bits = dyno_dtype_bits(dtype);
    DYNO_ASSERT(bits != 0 && bits <= 64);
    if (bits < 8)
        packed_put(data, idx, bits, (unsigned)value);
    else
        memcpy((uint8_t *)data + idx * (bits / 8), &value, bits / 8);
}

static double float_decode(enum dyno_dtype dtype, uint64_t bits)
{
    if (dtype == DYNO_F64) {
        double value;
        memcpy(&value, &bits, sizeof(value));
        return value;
    }
    if (dtype == DYNO_F32) {
        const uint32_t low = (uint32_t)bits;
        float value;
        memcpy(&value, &low, sizeof(value));
        return (double)value;
    }
    if (dtype == DYNO_F16)
        return (double)dyno_f16_to_f32((uint16_t)bits);
    if (dtype == DYNO_BF16)
        return (double)dyno_bf16_to_f32((uint16_t)bits);
    if (dtype == DYNO_F8E8M0)
        return bits == 255 ? (double)NAN : ldexp(1.0, (int)bits - 127);
    return small_decode(dtype, (unsigned)bits);
}

static uint64_t float_encode(enum dyno_dtype dtype, double value)
{
    if (dtype == DYNO_F64) {
        uint64_t bits;
        memcpy(&bits, &value, sizeof(bits));
        return bits;
    }
    if (dtype == DYNO_F32) {
        const float narrow = (float)value;
        uint32_t bits;
        memcpy(&bits, &narrow, sizeof(bits));
        return bits;
    }
    return dtype == DYNO_F8E8M0 ? e8m0_encode(value) : small_encode(dtype, value);
}

static int64_t int_decode(enum dyno_dtype dtype, uint64_t bits)
{
    const unsigned width = dyno_dtype_bits(dtype);
    if (dtype == DYNO_BOOL)
        return bits != 0;
    if (width == 0 || width >= 64 || !dyno_dtype_is_signed(dtype))
        return (int64_t)bits;
    const uint64_t sign = UINT64_C(1) << (width - 1);
    return (int64_t)((bits ^ sign) - sign);
}

static int64_t truncated(double value)
{
    if (value >= -9223372036854775808.0 && value < 9223372036854775808.0)
        return (int64_t)value;
    if (value >= 9223372036854775808.0 && value < 18446744073709551616.0)
        return (int64_t)(uint64_t)value;
    return INT64_MIN;
}

double dyno_elem_load_f64(enum dyno_dtype dtype, const void *data, size_t idx)
{
    const uint64_t bits = bits_get(dtype, data, idx);
    if (dyno_dtype_is_float(dtype))
        return float_decode(dtype, bits);
    return dtype == DYNO_U64 ? (double)bits : (double)int_decode(dtype, bits);
}

int64_t dyno_elem_load_i64(enum dyno_dtype dtype, const void *data, size_t idx)
{
    const uint64_t bits = bits_get(dtype, data, idx);
    return dyno_dtype_is_float(dtype) ? truncated(float_decode(dtype, bits))
                                      : int_decode(dtype, bits);
}

void dyno_elem_store_f64(enum dyno_dtype dtype, void *data, size_t idx, double value)
{
    if (dtype == DYNO_BOOL)
        bits_put(dtype, data, idx, value != 0.0);
    else if (dyno_dtype_is_float(dtype))
        bits_put(dtype, data, idx, float_encode(dtype, value));
    else
        bits_put(dtype, data, idx, (uint64_t)truncated(value));
}

void dyno_elem_store_i64(enum dyno_dtype dtype, void *data, size_t idx, int64_t value)
{
    if (dtype == DYNO_BOOL)
        bits_put(dtype, data, idx, value != 0);
    else if (dyno_dtype_is_float(dtype))
        bits_put(dtype, data, idx, float_encode(dtype, (double)value));
    else
        bits_put(dtype, data, idx, (uint64_t)value);
}
