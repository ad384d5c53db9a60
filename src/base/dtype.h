/* dtype.h - element types.  Values are those of ONNX TensorProto.DataType, so no table maps them.
 */
#ifndef DYNO_BASE_DTYPE_H
#define DYNO_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(symbol, onnx value, bits an element, printed name, numpy descr or NULL) */
#define DYNO_DTYPE_MAP(X)                    \
    X(F32, 1, 32, "f32", "<f4")              \
    X(U8, 2, 8, "u8", "|u1")                 \
    X(I8, 3, 8, "i8", "|i1")                 \
    X(U16, 4, 16, "u16", "<u2")              \
    X(I16, 5, 16, "i16", "<i2")              \
    X(I32, 6, 32, "i32", "<i4")              \
    X(I64, 7, 64, "i64", "<i8")              \
    X(STR, 8, 128, "str", NULL)              \
    X(BOOL, 9, 8, "bool", "|b1")             \
    X(F16, 10, 16, "f16", "<f2")             \
    X(F64, 11, 64, "f64", "<f8")             \
    X(U32, 12, 32, "u32", "<u4")             \
    X(U64, 13, 64, "u64", "<u8")             \
    X(C64, 14, 64, "c64", "<c8")             \
    X(C128, 15, 128, "c128", "<c16")         \
    X(BF16, 16, 16, "bf16", NULL)            \
    X(F8E4M3FN, 17, 8, "f8e4m3fn", NULL)     \
    X(F8E4M3FNUZ, 18, 8, "f8e4m3fnuz", NULL) \
    X(F8E5M2, 19, 8, "f8e5m2", NULL)         \
    X(F8E5M2FNUZ, 20, 8, "f8e5m2fnuz", NULL) \
    X(U4, 21, 4, "u4", NULL)                 \
    X(I4, 22, 4, "i4", NULL)                 \
    X(F4E2M1, 23, 4, "f4e2m1", NULL)         \
    X(F8E8M0, 24, 8, "f8e8m0", NULL)         \
    X(U2, 25, 2, "u2", NULL)                 \
    X(I2, 26, 2, "i2", NULL)

enum dyno_dtype {
    DYNO_DTYPE_NONE = 0, /* unknown */
#define X(sym, value, bits, text, numpy) DYNO_##sym = (value),
    DYNO_DTYPE_MAP(X)
#undef X
        DYNO_DTYPE_COUNT
};

/* 0 for DYNO_DTYPE_NONE and for numbers outside the enum. */
unsigned dyno_dtype_bits(enum dyno_dtype dtype);

/* "f32"; "none" when unknown.  Static. */
const char *dyno_dtype_text(enum dyno_dtype dtype);

/* The dtype named by dyno_dtype_text's text; DYNO_DTYPE_NONE when there is none. */
enum dyno_dtype dyno_dtype_parse(const char *text, size_t bytes);

bool dyno_dtype_is_float(enum dyno_dtype dtype);  /* f16 bf16 f32 f64 and the f8/f4 kinds */
bool dyno_dtype_is_signed(enum dyno_dtype dtype); /* integers only */
bool dyno_dtype_is_int(enum dyno_dtype dtype);    /* 2..64 bits, signed or not; not bool */

/* Bytes of `count` packed elements (4-bit types: two a byte, first in the low half);
 * false on overflow or unknown type. */
bool dyno_dtype_bytes(enum dyno_dtype dtype, uint64_t count, size_t *bytes_out);

/* Element `idx` of a packed array as a double / int64 and back.  Loads: f16, bf16, f8 exact; u64
 * above 2^63 wraps in _i64; NaN and what int64 cannot hold is INT64_MIN.  Stores: floats round to
 * nearest even (f8 and f4 saturate, f8e8m0 rounds up), integers truncate toward zero and wrap, bool
 * is != 0.  Not for STR and complex. */
double dyno_elem_load_f64(enum dyno_dtype dtype, const void *data, size_t idx);
int64_t dyno_elem_load_i64(enum dyno_dtype dtype, const void *data, size_t idx);
void dyno_elem_store_f64(enum dyno_dtype dtype, void *data, size_t idx, double value);
void dyno_elem_store_i64(enum dyno_dtype dtype, void *data, size_t idx, int64_t value);

/* IEEE half and bfloat16, round to nearest even. */
float dyno_f16_to_f32(uint16_t bits);
uint16_t dyno_f32_to_f16(float value);
float dyno_bf16_to_f32(uint16_t bits);
uint16_t dyno_f32_to_bf16(float value);

#endif /* DYNO_BASE_DTYPE_H */
