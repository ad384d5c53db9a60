/* test_pbwire.c - fields there and back, packed forms, malformed bytes. */
#include "base/pbwire.h"

#include "base/mem.h"
#include "test.h"

static struct dyno_pb_field next(struct dyno_pb_reader *reader)
{
    struct dyno_pb_field field;
    bool more = false;
    struct dyno_err err = {0};
    CHECK_MSG(dyno_pb_next(reader, &field, &more, &err) == DYNO_OK && more, "%s", err.text);
    return field;
}

static void test_round_trip(void)
{
    struct dyno_strbuf out = {0};
    dyno_pb_put_varint(&out, 1, 300);
    dyno_pb_put_varint(&out, 2, (uint64_t)-5);
    dyno_pb_put_f32(&out, 3, 1.5F);
    dyno_pb_put_f64(&out, 4, -2.25);
    dyno_pb_put_text(&out, 536870911, "hello");
    dyno_pb_put_bytes(&out, 6, "", 0);
    CHECK(memcmp(out.text, "\x08\xac\x02", 3) == 0);
    struct dyno_pb_reader reader;
    dyno_pb_init(&reader, out.text, out.bytes);
    int64_t wide = 0;
    int32_t narrow = 0;
    float single = 0;
    double twice = 0;
    const char *text = NULL;
    size_t bytes = 0;
    struct dyno_pb_field field = next(&reader);
    CHECK(field.number == 1 && dyno_pb_i64(&field, &wide, NULL) == DYNO_OK && wide == 300);
    CHECK(dyno_pb_f32(&field, &single, NULL) == DYNO_E_FORMAT);
    field = next(&reader);
    CHECK(dyno_pb_i32(&field, &narrow, NULL) == DYNO_OK && narrow == -5);
    CHECK(dyno_pb_i64(&field, &wide, NULL) == DYNO_OK && wide == -5);
    field = next(&reader);
    CHECK(dyno_pb_f32(&field, &single, NULL) == DYNO_OK && single == 1.5F);
    field = next(&reader);
    CHECK(dyno_pb_f64(&field, &twice, NULL) == DYNO_OK && twice == -2.25);
    field = next(&reader);
    CHECK(field.number == 536870911 && dyno_pb_bytes(&field, &text, &bytes, NULL) == DYNO_OK);
    CHECK(bytes == 5 && memcmp(text, "hello", 5) == 0 &&
          dyno_pb_i64(&field, &wide, NULL) != DYNO_OK);
    field = next(&reader);
    CHECK(dyno_pb_bytes(&field, &text, &bytes, NULL) == DYNO_OK && bytes == 0);
    bool more = true;
    CHECK(dyno_pb_next(&reader, &field, &more, NULL) == DYNO_OK && !more);
    dyno_strbuf_fini(&out);
}

static void test_packed(void)
{
    struct dyno_strbuf out = {0};
    const float floats[3] = {1, 2, 3};
    dyno_pb_put_bytes(&out, 1, "\x01\xac\x02\x7f", 4);
    dyno_pb_put_bytes(&out, 2, floats, sizeof(floats));
    dyno_pb_put_f32(&out, 2, 4.0F);
    dyno_pb_put_bytes(&out, 3, "\x01\x80", 2);
    dyno_pb_put_bytes(&out, 4, "12345", 5);
    dyno_pb_put_varint(&out, 5, 9);
    struct dyno_pb_reader reader;
    dyno_pb_init(&reader, out.text, out.bytes);
    size_t count = 0;
    uint64_t varints[3];
    float back[3];
    struct dyno_pb_field field = next(&reader);
    CHECK(dyno_pb_varints_count(&field, &count, NULL) == DYNO_OK && count == 3);
    dyno_pb_varints_read(&field, varints);
    CHECK(varints[0] == 1 && varints[1] == 300 && varints[2] == 127);
    field = next(&reader);
    CHECK(dyno_pb_fixed_count(&field, 4, &count, NULL) == DYNO_OK && count == 3);
    dyno_pb_fixed_read(&field, 4, back);
    CHECK(test_same(back, floats, sizeof(floats)));
    CHECK(dyno_pb_fixed_count(&field, 8, &count, NULL) == DYNO_E_FORMAT);
    field = next(&reader);
    CHECK(dyno_pb_fixed_count(&field, 4, &count, NULL) == DYNO_OK && count == 1);
    dyno_pb_fixed_read(&field, 4, back);
    CHECK(back[0] == 4.0F && dyno_pb_fixed_count(&field, 8, &count, NULL) == DYNO_E_FORMAT);
    field = next(&reader);
    CHECK(dyno_pb_varints_count(&field, &count, NULL) == DYNO_E_FORMAT);
    field = next(&reader);
    CHECK(dyno_pb_fixed_count(&field, 4, &count, NULL) == DYNO_E_FORMAT);
    field = next(&reader);
    CHECK(dyno_pb_varints_count(&field, &count, NULL) == DYNO_OK && count == 1);
    dyno_pb_varints_read(&field, varints);
    CHECK(varints[0] == 9);
    dyno_strbuf_fini(&out);
}

static void test_nested(void)
{
    struct dyno_strbuf inner = {0};
    struct dyno_strbuf outer = {0};
    dyno_pb_put_varint(&inner, 1, 42);
    dyno_strbuf_add(&inner, "\x12\x05", 2); /* field 2 wants 5 bytes, none are there */
    dyno_pb_put_bytes(&outer, 7, inner.text, inner.bytes);
    struct dyno_pb_reader reader;
    dyno_pb_init(&reader, outer.text, outer.bytes);
    struct dyno_pb_field field = next(&reader);
    struct dyno_pb_reader nested = dyno_pb_nested(&reader, &field);
    CHECK(next(&nested).value == 42);
    bool more = false;
    struct dyno_err err = {0};
    CHECK(dyno_pb_next(&nested, &field, &more, &err) == DYNO_E_FORMAT);
    CHECK_STR(err.text, "protobuf at byte 6: field 2 wants 5 bytes, 0 are left");
    dyno_strbuf_fini(&inner);
    dyno_strbuf_fini(&outer);
}

static void test_malformed(void)
{
    static const struct {
        const char *bytes;
        size_t count;
    } cases[] = {
        {"\x08", 1},                                              /* no value */
        {"\x80", 1},                                              /* tag cut short */
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, /* eleven bytes */
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11},     /* above 64 bits */
        {"\x00\x01", 2},                                          /* field 0 */
        {"\x0b", 1},                                              /* group */
        {"\x0c", 1},
        {"\x0f\x01", 2},
        {"\x0d\x01\x02\x03", 4},
        {"\x09\x01\x02\x03\x04\x05\x06\x07", 8},
        {"\x0a\x02\x01", 3},
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
        {"\xf8\xff\xff\xff\xff\xff\x01\x00", 8}, /* field number too large */
    };
    for (size_t i = 0; i < DYNO_COUNT(cases); i++) {
        char *copy = malloc(cases[i].count);
        memcpy(copy, cases[i].bytes, cases[i].count);
        struct dyno_pb_reader reader;
        struct dyno_pb_field field;
        bool more = false;
        struct dyno_err err = {0};
        dyno_pb_init(&reader, copy, cases[i].count);
        CHECK_MSG(dyno_pb_next(&reader, &field, &more, &err) == DYNO_E_FORMAT, "case %zu", i);
        CHECK(strncmp(err.text, "protobuf at byte ", 17) == 0);
        free(copy);
    }
    struct dyno_pb_reader reader;
    struct dyno_pb_field field;
    bool more = true;
    dyno_pb_init(&reader, NULL, 0);
    CHECK(dyno_pb_next(&reader, &field, &more, NULL) == DYNO_OK && !more);
}

int main(void)
{
    test_round_trip();
    test_packed();
    test_nested();
    test_malformed();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
