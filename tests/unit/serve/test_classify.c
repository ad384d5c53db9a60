/* test_classify.c - the largest elements as text: every type, ties, NaNs, labels, rows. */
#include "serve/v2/classify.h"

#include <math.h>
#include <stdint.h>

#include "test.h"

struct memory {
    struct dyno_v2_memory memory; /* first */
    struct dyno_arena *arena;
    size_t left_bytes;
};

static void *take(struct dyno_v2_memory *memory, size_t bytes)
{
    struct memory *own = (struct memory *)(void *)memory;
    if (bytes > own->left_bytes)
        return NULL;
    own->left_bytes -= bytes;
    return dyno_arena_alloc(own->arena, bytes, 1);
}

static struct memory memory = {.memory.take = take};

/* The elements of a BYTES tensor with a blank after each. */
static const char *told(const struct dyno_v2_tensor *classes)
{
    static char text[2048];
    size_t to = 0;
    const char *at = classes->data;
    CHECK(classes->dtype == DYNO_STR);
    for (size_t left = classes->bytes; left > 0;) {
        uint32_t length = 0;
        memcpy(&length, at, sizeof(length));
        REQUIRE(length + sizeof(length) <= left && to + length + 2 < sizeof(text));
        memcpy(text + to, at + sizeof(length), length);
        to += length;
        text[to++] = ' ';
        at += sizeof(length) + length;
        left -= sizeof(length) + length;
    }
    text[to] = 0;
    return text;
}

static struct dyno_v2_tensor tensor_of(enum dyno_dtype dtype, const void *data, int64_t rows,
                                       int64_t columns)
{
    return (struct dyno_v2_tensor){
        .name = "y", .dtype = dtype, .rank = 2, .dims = {rows, columns}, .data = data};
}

static void check(enum dyno_dtype dtype, const void *data, int64_t columns, uint32_t count,
                  const char *want)
{
    const struct dyno_v2_tensor tensor = tensor_of(dtype, data, 1, columns);
    struct dyno_v2_tensor classes = {0};
    struct dyno_err err = {0};
    CHECK_MSG(dyno_v2_classify(&tensor, true, count, NULL, &memory.memory, &classes, &err) ==
                  DYNO_OK,
              "%s", err.text);
    CHECK_STR(told(&classes), want);
}

static void test_types(void)
{
    static const float f32[] = {1.5F, -2.0F, 3.0F, 0.0F};
    static const double f64[] = {1e300, -1e300};
    static const uint16_t f16[] = {0x3c00, 0xbc00, 0x4000}; /* 1 -1 2 */
    static const uint16_t bf16[] = {0x3f80, 0x4000};
    static const uint8_t u8[] = {5, 255, 0};
    static const int8_t i8[] = {5, -128, 127};
    static const int64_t i64[] = {INT64_MIN, INT64_MAX, -1};
    static const uint64_t u64[] = {1, UINT64_MAX, INT64_MAX};
    check(DYNO_F32, f32, 4, 2, "3.000000:2 1.500000:0 ");
    check(DYNO_F32, f32, 4, 100, "3.000000:2 1.500000:0 0.000000:3 -2.000000:1 ");
    check(DYNO_F16, f16, 3, 3, "2.000000:2 1.000000:0 -1.000000:1 ");
    check(DYNO_BF16, bf16, 2, 1, "2.000000:1 ");
    check(DYNO_U8, u8, 3, 2, "255:1 5:0 ");
    check(DYNO_I8, i8, 3, 3, "127:2 5:0 -128:1 ");
    check(DYNO_I64, i64, 3, 3, "9223372036854775807:1 -1:2 -9223372036854775808:0 ");
    check(DYNO_U64, u64, 3, 3, "18446744073709551615:1 9223372036854775807:2 1:0 ");
    char want[700];
    (void)snprintf(want, sizeof(want), "%f:0 %f:1 ", 1e300, -1e300);
    check(DYNO_F64, f64, 2, 2, want);
}

static void test_order(void)
{
    const float ties[] = {1.0F, 2.0F, 2.0F, 1.0F, 2.0F};
    const float nans[] = {NAN, -INFINITY, -NAN, 1.0F, INFINITY};
    const float zeros[] = {-0.0F, 0.0F};
    check(DYNO_F32, ties, 5, 5, "2.000000:1 2.000000:2 2.000000:4 1.000000:0 1.000000:3 ");
    check(DYNO_F32, ties, 5, 4, "2.000000:1 2.000000:2 2.000000:4 1.000000:0 ");
    check(DYNO_F32, nans, 5, 5, "inf:4 1.000000:3 -inf:1 nan:0 nan:2 ");
    check(DYNO_F32, zeros, 2, 2, "-0.000000:0 0.000000:1 ");
    /* Against a slow and obvious order. */
    int32_t values[101];
    uint32_t seed = 7;
    for (int i = 0; i < 101; i++) {
        seed = seed * 1664525U + 1013904223U;
        values[i] = (int32_t)(seed >> 27) - 16;
    }
    for (uint32_t count = 1; count <= 101; count += 9) {
        bool used[101] = {false};
        char want[2048] = "";
        for (uint32_t k = 0; k < count; k++) {
            int best = -1;
            for (int i = 0; i < 101; i++)
                if (!used[i] && (best < 0 || values[i] > values[best]))
                    best = i;
            used[best] = true;
            (void)snprintf(want + strlen(want), sizeof(want) - strlen(want), "%d:%d ", values[best],
                           best);
        }
        check(DYNO_I32, values, 101, count, want);
    }
}

static void test_rows_and_labels(void)
{
    static const float data[] = {1.0F, 2.0F, 3.0F, 6.0F, 5.0F, 4.0F};
    const char *items[] = {"cat", ""};
    const struct dyno_v2_labels labels = {.items = items, .count = 2};
    const struct dyno_v2_tensor tensor = tensor_of(DYNO_F32, data, 2, 3);
    struct dyno_v2_tensor got = {0};
    CHECK(dyno_v2_classify(&tensor, true, 2, &labels, &memory.memory, &got, NULL) == DYNO_OK);
    CHECK(got.rank == 2 && got.dims[0] == 2 && got.dims[1] == 2);
    CHECK_STR(told(&got), "3.000000:2 2.000000:1 6.000000:0:cat 5.000000:1 ");
    CHECK(dyno_v2_bytes_fit(got.data, got.bytes, 4));
    CHECK(dyno_v2_classify(&tensor, false, 2, &labels, &memory.memory, &got, NULL) == DYNO_OK);
    CHECK(got.rank == 1 && got.dims[0] == 2);
    CHECK_STR(told(&got), "6.000000:3 5.000000:4 ");
    const struct dyno_v2_tensor none = tensor_of(DYNO_F32, data, 0, 3);
    CHECK(dyno_v2_classify(&none, true, 2, NULL, &memory.memory, &got, NULL) == DYNO_OK);
    CHECK(got.bytes == 0 && got.dims[0] == 0);
    const struct dyno_v2_tensor empty = tensor_of(DYNO_F32, data, 2, 0);
    CHECK(dyno_v2_classify(&empty, true, 2, NULL, &memory.memory, &got, NULL) == DYNO_OK);
    CHECK(got.bytes == 0 && got.dims[0] == 2 && got.dims[1] == 0);
    const struct dyno_v2_tensor scalar = {.name = "y", .dtype = DYNO_F32, .data = data};
    CHECK(dyno_v2_classify(&scalar, true, 2, NULL, &memory.memory, &got, NULL) == DYNO_OK);
    CHECK_STR(told(&got), "1.000000:0 ");
}

static void test_refusals(void)
{
    static const uint8_t data[8];
    static const uint8_t many[DYNO_V2_CLASSES_MAX + 1];
    struct dyno_v2_tensor got = {0};
    const struct dyno_v2_tensor flags = tensor_of(DYNO_BOOL, data, 1, 8);
    const struct dyno_v2_tensor large = tensor_of(DYNO_U8, many, 1, DYNO_V2_CLASSES_MAX + 1);
    const struct dyno_v2_tensor most = tensor_of(DYNO_U8, many, 1, DYNO_V2_CLASSES_MAX);
    CHECK(dyno_v2_classify(&flags, true, 1, NULL, &memory.memory, &got, NULL) == DYNO_E_ARG);
    CHECK(dyno_v2_classify(&large, true, 1, NULL, &memory.memory, &got, NULL) == DYNO_E_LIMIT);
    CHECK(dyno_v2_classify(&most, true, 1, NULL, &memory.memory, &got, NULL) == DYNO_OK);
    CHECK(dyno_v2_classify(&large, false, 1, NULL, &memory.memory, &got, NULL) == DYNO_E_LIMIT);
    for (size_t room = 0; room <= 40; room++) {
        memory.left_bytes = room; /* 32 for two ranks, 8 for "0:0", its length and one more */
        CHECK(dyno_v2_classify(&most, true, 1, NULL, &memory.memory, &got, NULL) ==
              (room < 40 ? DYNO_E_BUSY : DYNO_OK));
    }
}

int main(void)
{
    memory.arena = dyno_arena_create();
    memory.left_bytes = (size_t)1 << 30;
    test_types();
    test_order();
    test_rows_and_labels();
    test_refusals();
    dyno_arena_destroy(memory.arena);
    return TEST_RESULT();
}
