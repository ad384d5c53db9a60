/* test_dtype.c - sizes, and every code of every small type there and back. */
#include "base/dtype.h"

#include <math.h>

#include "base/err.h"
#include "base/tensor.h"
#include "test.h"

static void test_names(void)
{
    for (unsigned i = 1; i < DYNO_DTYPE_COUNT; i++) {
        const char *text = dyno_dtype_text((enum dyno_dtype)i);
        CHECK((unsigned)dyno_dtype_parse(text, strlen(text)) == i);
        CHECK(dyno_dtype_bits((enum dyno_dtype)i) != 0);
    }
    CHECK(dyno_dtype_parse("f3", 2) == DYNO_DTYPE_NONE);
    CHECK(dyno_dtype_bits((enum dyno_dtype)99) == 0 && dyno_dtype_bits(DYNO_DTYPE_NONE) == 0);
    CHECK_STR(dyno_dtype_text((enum dyno_dtype)99), "none");
    CHECK(dyno_dtype_is_int(DYNO_I4) && dyno_dtype_is_int(DYNO_U64) &&
          !dyno_dtype_is_int(DYNO_BOOL));
    CHECK(dyno_dtype_is_signed(DYNO_I2) && !dyno_dtype_is_signed(DYNO_U8));
    CHECK(dyno_dtype_is_float(DYNO_F8E8M0) && !dyno_dtype_is_float(DYNO_C64));
}

static void test_sizes(void)
{
    size_t bytes = 0;
    CHECK(dyno_dtype_bytes(DYNO_F32, 3, &bytes) && bytes == 12);
    CHECK(dyno_dtype_bytes(DYNO_I4, 3, &bytes) && bytes == 2);
    CHECK(dyno_dtype_bytes(DYNO_U2, 5, &bytes) && bytes == 2);
    CHECK(dyno_dtype_bytes(DYNO_U2, UINT64_MAX, &bytes) && bytes == (UINT64_C(1) << 62));
    CHECK(!dyno_dtype_bytes(DYNO_F64, UINT64_MAX / 4, &bytes));
    CHECK(!dyno_dtype_bytes(DYNO_DTYPE_NONE, 1, &bytes));
    int64_t count = 0;
    CHECK(dyno_dims_count((const int64_t[]){2, 3, 4}, 3, &count) && count == 24);
    CHECK(dyno_dims_count(NULL, 0, &count) && count == 1);
    CHECK(dyno_dims_count((const int64_t[]){INT64_MAX / 32, 0}, 2, &count) && count == 0);
    CHECK(!dyno_dims_count((const int64_t[]){-1}, 1, &count));
    CHECK(!dyno_dims_count((const int64_t[]){0, -1}, 2, &count));
    CHECK(!dyno_dims_count((const int64_t[]){INT64_C(1) << 40, INT64_C(1) << 40}, 2, &count));
}

/* Every code decodes to a value that encodes to the same code, and values between two neighbours
 * go to the nearer one, ties to even. */
static void test_small_floats(void)
{
    static const enum dyno_dtype kinds[] = {DYNO_F8E4M3FN,   DYNO_F8E4M3FNUZ, DYNO_F8E5M2,
                                            DYNO_F8E5M2FNUZ, DYNO_F4E2M1,     DYNO_F8E8M0,
                                            DYNO_F16,        DYNO_BF16};
    for (size_t k = 0; k < DYNO_COUNT(kinds); k++) {
        const enum dyno_dtype kind = kinds[k];
        const unsigned code_count = 1U << dyno_dtype_bits(kind);
        double before = NAN;
        for (unsigned code = 0; code < code_count; code++) {
            const uint32_t stored = code;
            uint32_t back = 0;
            const double value = dyno_elem_load_f64(kind, &stored, 0);
            dyno_elem_store_f64(kind, &back, 0, value);
            const bool saturates = isinf(value) && kind == DYNO_F8E5M2;
            if (isnan(value))
                CHECK(isnan(dyno_elem_load_f64(kind, &back, 0)));
            else if (!saturates)
                CHECK_MSG(back == code, "%s code %u: %g is %u", dyno_dtype_text(kind), code, value,
                          back);
            if (isfinite(before) && isfinite(value) && value > before && kind != DYNO_F8E8M0) {
                back = 0;
                dyno_elem_store_f64(kind, &back, 0, (before + value) / 2);
                CHECK_MSG(back == (code % 2 == 0 ? code : code - 1), "%s tie below code %u",
                          dyno_dtype_text(kind), code);
                back = 0;
                dyno_elem_store_f64(kind, &back, 0, before + (value - before) * 0.51);
                CHECK(back == code);
            }
            before = value;
        }
    }
}

static double stored(enum dyno_dtype kind, double value)
{
    uint64_t room = 0;
    dyno_elem_store_f64(kind, &room, 0, value);
    return dyno_elem_load_f64(kind, &room, 0);
}

static void test_known_values(void)
{
    CHECK(stored(DYNO_F8E4M3FN, 1000.0) == 448.0 && stored(DYNO_F8E4M3FN, INFINITY) == 448.0);
    CHECK(stored(DYNO_F8E4M3FNUZ, -1e9) == -240.0);
    CHECK(stored(DYNO_F8E5M2, 1e9) == 57344.0);
    CHECK(stored(DYNO_F4E2M1, 2.5) == 2.0 && stored(DYNO_F4E2M1, 100.0) == 6.0);
    CHECK(stored(DYNO_F8E8M0, 3.0) == 4.0 && stored(DYNO_F8E8M0, 4.0) == 4.0);
    CHECK(isinf(stored(DYNO_F16, 65520.0)) && stored(DYNO_F16, 65519.0) == 65504.0);
    CHECK(stored(DYNO_I8, -3.7) == -3.0 && stored(DYNO_U8, 258.0) == 2.0);
    CHECK(stored(DYNO_BOOL, 0.5) == 1.0 && stored(DYNO_BOOL, 0.0) == 0.0);
    CHECK(stored(DYNO_U64, 0x1p63) == 0x1p63);
    CHECK(stored(DYNO_I4, -8.0) == -8.0 && stored(DYNO_I4, 8.0) == -8.0 &&
          stored(DYNO_U4, 15.0) == 15.0);
    const double big = 1e300;
    const double nan_value = NAN;
    CHECK(dyno_elem_load_i64(DYNO_F64, &big, 0) == INT64_MIN);
    CHECK(dyno_elem_load_i64(DYNO_F64, &nan_value, 0) == INT64_MIN);
}

static void test_packed(void)
{
    uint8_t bytes[2] = {0};
    for (size_t i = 0; i < 4; i++)
        dyno_elem_store_i64(DYNO_U4, bytes, i, (int64_t)i + 1);
    CHECK(bytes[0] == 0x21 && bytes[1] == 0x43);
    for (size_t i = 0; i < 8; i++)
        dyno_elem_store_i64(DYNO_I2, bytes, i, (int64_t)(i % 4) - 2);
    for (size_t i = 0; i < 8; i++)
        CHECK(dyno_elem_load_i64(DYNO_I2, bytes, i) == (int64_t)(i % 4) - 2);
}

static void test_halves(void)
{
    uint32_t dice = 7;
    for (int i = 0; i < 200000; i++) {
        dice = dice * 1664525U + 1013904223U;
        float value;
        memcpy(&value, &dice, sizeof(value));
        if (isnan(value)) {
            CHECK(isnan(dyno_f16_to_f32(dyno_f32_to_f16(value))));
            CHECK(isnan(dyno_bf16_to_f32(dyno_f32_to_bf16(value))));
            continue;
        }
        uint16_t by_table = 0;
        dyno_elem_store_f64(DYNO_F16, &by_table, 0, (double)value);
        CHECK_MSG(dyno_f32_to_f16(value) == by_table, "%a", (double)value);
        dyno_elem_store_f64(DYNO_BF16, &by_table, 0, (double)value);
        CHECK_MSG(dyno_f32_to_bf16(value) == by_table, "%a", (double)value);
    }
    for (int i = -30; i < 20; i++)
        for (int j = 0; j < 64; j++) {
            const float value = ldexpf(1.0F + (float)j / 64.0F * 1.013F, i);
            uint16_t by_table = 0;
            dyno_elem_store_f64(DYNO_F16, &by_table, 0, (double)value);
            CHECK_MSG(dyno_f32_to_f16(value) == by_table, "%a", (double)value);
        }
}

int main(void)
{
    test_names();
    test_sizes();
    test_small_floats();
    test_known_values();
    test_packed();
    test_halves();
    return TEST_RESULT();
}
