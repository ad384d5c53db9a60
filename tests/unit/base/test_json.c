/* test_json.c - what is written reads back; what is malformed is refused at its place. */
#include "base/json.h"

#include <math.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "test.h"

static struct dyno_arena *arena;

static const struct dyno_json *parse(const char *text)
{
    const struct dyno_json *root = NULL;
    struct dyno_err err = {0};
    CHECK_MSG(dyno_json_parse(text, strlen(text), arena, &root, &err) == DYNO_OK, "%s: %s", text,
              err.text);
    return root;
}

static void write_sample(struct dyno_json_writer *json)
{
    dyno_json_object_begin(json);
    dyno_json_key(json, "name");
    dyno_json_str(json, "a \"quoted\"\\\n\x01 \xc3\xa9 \xff");
    dyno_json_key(json, "numbers");
    dyno_json_array_begin(json);
    dyno_json_i64(json, INT64_MIN);
    dyno_json_u64(json, UINT64_MAX);
    dyno_json_f64(json, 0.1);
    dyno_json_f64(json, (double)NAN);
    dyno_json_array_end(json);
    dyno_json_key(json, "empty");
    dyno_json_object_begin(json);
    dyno_json_object_end(json);
    dyno_json_key(json, "yes");
    dyno_json_bool(json, true);
    dyno_json_key(json, "none");
    dyno_json_null(json);
    dyno_json_object_end(json);
}

static void test_write(void)
{
    struct dyno_strbuf out = {0};
    struct dyno_json_writer json = {.out = &out};
    write_sample(&json);
    CHECK_STR(dyno_strbuf_text(&out),
              "{\"name\": \"a \\\"quoted\\\"\\\\\\n\\u0001 \xc3\xa9 \xef\xbf\xbd\", "
              "\"numbers\": [-9223372036854775808, 18446744073709551615, 0.1, null], "
              "\"empty\": {}, \"yes\": true, \"none\": null}");
    dyno_strbuf_clear(&out);
    json = (struct dyno_json_writer){.out = &out, .indent = 2};
    write_sample(&json);
    CHECK(strstr(out.text, "{\n  \"name\": ") == out.text);
    CHECK(strstr(out.text, "\n    0.1,\n") != NULL && strstr(out.text, "\"empty\": {},") != NULL);
    const struct dyno_json *root = parse(out.text);
    CHECK(root->kind == DYNO_JSON_OBJECT && root->count == 5);
    const struct dyno_json *numbers = dyno_json_find(root, "numbers");
    REQUIRE(numbers != NULL && numbers->count == 4);
    CHECK(numbers->first->is_int);
    CHECK(numbers->first->integer == INT64_MIN && !numbers->first->next->is_int);
    dyno_strbuf_fini(&out);
}

static void test_doubles(void)
{
    static const double values[] = {
        0.0, -0.0, 1.0, 1.0 / 3.0, 1e300, 5e-324, 1e21, 123456789012345678.0, 2.5, -7e-7};
    for (size_t i = 0; i < DYNO_COUNT(values); i++) {
        struct dyno_strbuf out = {0};
        struct dyno_json_writer json = {.out = &out};
        dyno_json_f64(&json, values[i]);
        const struct dyno_json *back = parse(out.text);
        CHECK(back->kind == DYNO_JSON_NUMBER && back->number == values[i]);
        CHECK(signbit(back->number) == signbit(values[i]));
        dyno_strbuf_fini(&out);
    }
}

static void test_parse(void)
{
    const struct dyno_json *root = parse(
        " {\"a\" : [1, -2.5e3 , true,false,null, \"x\\u00e9\\ud83d\\ude00\\/\"], \"\": {}}\n");
    const struct dyno_json *a = dyno_json_find(root, "a");
    REQUIRE(a != NULL && a->count == 6);
    CHECK(a->first->integer == 1);
    CHECK(a->first->next->number == -2500.0 && !a->first->next->is_int);
    CHECK(a->first->next->next->boolean && !a->first->next->next->next->boolean);
    const struct dyno_json *text = a->first->next->next->next->next->next;
    CHECK_STR(text->text, "x\xc3\xa9\xf0\x9f\x98\x80/");
    CHECK(dyno_json_find(root, "")->kind == DYNO_JSON_OBJECT);
    CHECK(dyno_json_find(root, "b") == NULL && dyno_json_find(NULL, "b") == NULL);
    CHECK(dyno_json_find(a, "b") == NULL);
    CHECK(parse("\"a\\u0000b\"")->text_bytes == 3);
}

static void test_refusals(void)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[1,]",
                                      "{\"a\":1,}",
                                      "{\"a\" 1}",
                                      "{a:1}",
                                      "01",
                                      "-",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "+1",
                                      "nul",
                                      "truex",
                                      "\"a",
                                      "\"\\x\"",
                                      "\"\\u12g4\"",
                                      "\"\\ud800\"",
                                      "\"\\udc00\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\xff\"",
                                      "\"\n\"",
                                      "[1 2]",
                                      "1 2",
                                      "{\"a\":1,\"a\":2}",
                                      "\"\\",
                                      "NaN",
                                      "\"\xc0\x80\"",
                                      "\"\xed\xa0\x80\"",
                                      "[1}"};
    for (size_t i = 0; i < DYNO_COUNT(bad); i++) {
        const struct dyno_json *root = NULL;
        struct dyno_err err = {0};
        CHECK_MSG(dyno_json_parse(bad[i], strlen(bad[i]), arena, &root, &err) == DYNO_E_FORMAT,
                  "%s", bad[i]);
        CHECK(root == NULL && strncmp(err.text, "JSON line ", 10) == 0);
    }
    const struct dyno_json *root = NULL;
    struct dyno_err err = {0};
    CHECK(dyno_json_parse("[1,\n  x]", 8, arena, &root, &err) == DYNO_E_FORMAT);
    CHECK_STR(err.text, "JSON line 2 column 3: a value expected");
    char deep[200];
    memset(deep, '[', sizeof(deep));
    CHECK(dyno_json_parse(deep, sizeof(deep), arena, &root, NULL) == DYNO_E_LIMIT);
    memset(deep, '[', 64);
    memset(deep + 64, ']', 64);
    CHECK(dyno_json_parse(deep, 128, arena, &root, NULL) == DYNO_OK);
}

/* Texts of every length and exponent against the C library, which rounds correctly. */
static void test_numbers(void)
{
    static const char *const edges[] = {"9007199254740993",
                                        "9007199254740992.5",
                                        "0.9007199254740993e16",
                                        "9999999999999999999",
                                        "9999999999999999999e19",
                                        "9223372036854775807",
                                        "9223372036854775808",
                                        "-9223372036854775808",
                                        "-9223372036854775809",
                                        "18446744073709551615",
                                        "0.000",
                                        "-0.0e5",
                                        "1e400",
                                        "1e-400",
                                        "1e999999999999",
                                        "0.00000000000000000001",
                                        "4.9406564584124654e-324",
                                        "123456789012345678901234567890"};
    for (size_t i = 0; i < DYNO_COUNT(edges); i++) {
        const struct dyno_json *value = parse(edges[i]);
        const double want = strtod(edges[i], NULL);
        CHECK_MSG(value->number == want && signbit(value->number) == signbit(want), "%s", edges[i]);
    }
    CHECK(parse(edges[5])->integer == INT64_MAX && parse(edges[7])->integer == INT64_MIN);
    CHECK(!parse(edges[6])->is_int && !parse(edges[8])->is_int && !parse(edges[9])->is_int);
    srand(7);
    for (int i = 0; i < 200000; i++) {
        char text[64];
        const double value = ((double)rand() * 2147483648.0 + rand()) / 4.6e18;
        (void)snprintf(text, sizeof(text), "%.*g", 1 + rand() % 19,
                       ldexp(value, rand() % 120 - 60));
        CHECK_MSG(parse(text)->number == strtod(text, NULL), "%s", text);
        if (i % 1000 == 0)
            dyno_arena_reset(arena);
    }
}

static void test_floats(void)
{
    static const float edges[] = {0.1F,   1.0F,        -2.5F,      3.4028235e38F, 1.17549435e-38F,
                                  1e-45F, 16777216.0F, 0.3333333F, 1e10F,         123456.0F,
                                  1e-5F,  9.9999e-5F,  -0.0F,      100000000.0F,  8388608.5F};
    srand(11);
    for (int i = 0; i < 300000; i++) {
        const uint32_t bits = ((uint32_t)rand() << 16) ^ (uint32_t)rand();
        float value;
        memcpy(&value, &bits, sizeof(value));
        value = i < (int)DYNO_COUNT(edges) ? edges[i] : value;
        if (!isfinite(value))
            continue;
        struct dyno_strbuf out = {0};
        struct dyno_json_writer json = {.out = &out, .indent = -1};
        dyno_json_f32(&json, value);
        const float back = strtof(out.text, NULL);
        CHECK_MSG(test_same(&back, &value, sizeof(value)), "%.9g is written %s", value, out.text);
        dyno_strbuf_fini(&out);
    }
    struct dyno_strbuf out = {0};
    struct dyno_json_writer json = {.out = &out, .indent = -1};
    dyno_json_object_begin(&json);
    dyno_json_key(&json, "a");
    dyno_json_array_begin(&json);
    for (size_t i = 0; i < 9; i++)
        dyno_json_f32(&json, edges[i]);
    dyno_json_array_end(&json);
    dyno_json_object_end(&json);
    CHECK_STR(dyno_strbuf_text(&out), "{\"a\":[0.1,1.0,-2.5,3.4028235e38,1.17549435e-38,1.4013e-45,"
                                      "16777216.0,0.3333333,10000000000.0]}");
    dyno_strbuf_fini(&out);
}

static void test_reader(void)
{
    static const char text[] = "{\"a\\u0062\":[1,[2,{\"x\":3}],\"q\\n\"],\"c\":{},\"d\":null}";
    static const enum dyno_json_token_kind want[] = {
        DYNO_JSON_TOKEN_OBJECT, DYNO_JSON_TOKEN_ARRAY,  DYNO_JSON_TOKEN_NUMBER,
        DYNO_JSON_TOKEN_ARRAY,  DYNO_JSON_TOKEN_STRING, DYNO_JSON_TOKEN_CLOSE,
        DYNO_JSON_TOKEN_OBJECT, DYNO_JSON_TOKEN_CLOSE,  DYNO_JSON_TOKEN_NULL,
        DYNO_JSON_TOKEN_CLOSE,  DYNO_JSON_TOKEN_END,    DYNO_JSON_TOKEN_END};
    struct dyno_json_reader reader;
    struct dyno_json_token token;
    dyno_json_reader_init(&reader, text, strlen(text));
    for (size_t i = 0; i < DYNO_COUNT(want); i++) {
        CHECK(dyno_json_read(&reader, &token, NULL) == DYNO_OK && token.kind == want[i]);
        if (i == 1)
            CHECK(token.has_key && dyno_json_raw_is(&token.key, "ab") &&
                  !dyno_json_raw_is(&token.key, "a"));
        if (i == 3)
            CHECK(!token.has_key && dyno_json_skip(&reader, NULL) == DYNO_OK);
        if (i == 4) {
            char meaning[8];
            CHECK(dyno_json_unescape(&token.raw, meaning) == 2 && memcmp(meaning, "q\n", 2) == 0);
        }
        if (i == 6)
            CHECK(token.has_key && dyno_json_raw_is(&token.key, "c"));
    }
}

/* No prefix of a document is a document, and none crashes. */
static void test_truncation(void)
{
    const char *text = "{\"a\":[1.5e3,\"\\u00e9\\ud83d\\ude00\",true,null],\"b\":{\"c\":-7}}";
    for (size_t bytes = 0; bytes < strlen(text); bytes++) {
        char *copy = malloc(bytes + 1);
        memcpy(copy, text, bytes);
        const struct dyno_json *root = NULL;
        CHECK(dyno_json_parse(copy, bytes, arena, &root, NULL) == DYNO_E_FORMAT);
        free(copy);
    }
    const struct dyno_json *root = NULL;
    CHECK(dyno_json_parse(NULL, 0, arena, &root, NULL) == DYNO_E_FORMAT);
}

static void test_out_of_memory(void)
{
    uint64_t nth = 1;
    for (;; nth++) {
        const struct dyno_json *root = NULL;
        dyno_mem_fail_at(nth);
        struct dyno_arena *own = dyno_arena_create();
        const enum dyno_status status =
            own != NULL ? dyno_json_parse("{\"a\":{\"b\":[1,2]}}", 17, own, &root, NULL)
                        : DYNO_E_NOMEM;
        dyno_mem_fail_at(0);
        dyno_arena_destroy(own);
        if (status == DYNO_OK)
            break;
        CHECK(status == DYNO_E_NOMEM && root == NULL && nth < 20);
    }
    CHECK(nth > 3);
}

/* Members in one call, and the same in two. */
static void test_members(void)
{
    static const char *const texts[] = {"y", "z"};
    struct dyno_strbuf one = {0}, two = {0};
    struct dyno_json_writer a = {.out = &one, .indent = -1}, b = {.out = &two, .indent = -1};
    dyno_json_object_begin(&a);
    dyno_json_put_str(&a, "s", "\"x\"");
    dyno_json_put_i64(&a, "i", -3);
    dyno_json_put_u64(&a, "u", UINT64_MAX);
    dyno_json_put_f64(&a, "f", 0.1);
    dyno_json_put_bool(&a, "b", true);
    dyno_json_put_str_or_null(&a, "n", NULL);
    dyno_json_put_str_or_null(&a, "t", "x");
    dyno_json_put_object_begin(&a, "o");
    dyno_json_put_strs(&a, "a", texts, 2);
    dyno_json_object_end(&a);
    dyno_json_put_array_begin(&a, "e");
    dyno_json_array_end(&a);
    dyno_json_object_end(&a);
    dyno_json_object_begin(&b);
    dyno_json_key(&b, "s");
    dyno_json_str(&b, "\"x\"");
    dyno_json_key(&b, "i");
    dyno_json_i64(&b, -3);
    dyno_json_key(&b, "u");
    dyno_json_u64(&b, UINT64_MAX);
    dyno_json_key(&b, "f");
    dyno_json_f64(&b, 0.1);
    dyno_json_key(&b, "b");
    dyno_json_bool(&b, true);
    dyno_json_key(&b, "n");
    dyno_json_null(&b);
    dyno_json_key(&b, "t");
    dyno_json_str(&b, "x");
    dyno_json_key(&b, "o");
    dyno_json_object_begin(&b);
    dyno_json_key(&b, "a");
    dyno_json_array_begin(&b);
    dyno_json_str(&b, "y");
    dyno_json_str(&b, "z");
    dyno_json_array_end(&b);
    dyno_json_object_end(&b);
    dyno_json_key(&b, "e");
    dyno_json_array_begin(&b);
    dyno_json_array_end(&b);
    dyno_json_object_end(&b);
    CHECK_STR(dyno_strbuf_text(&one), dyno_strbuf_text(&two));
    dyno_strbuf_fini(&one);
    dyno_strbuf_fini(&two);
}

/* What a terminal acts on is a question mark; what has no room is left out whole. */
static void test_clean(void)
{
    char out[16];
    dyno_utf8_clean("a\x1b[1m\n\x7f\xff\xc3\xa4", 9, out, sizeof(out));
    CHECK_STR(out, "a?[1m????");
    dyno_utf8_clean("a\x1b[1m\n\x7f\xff\xc3\xa4", 10, out, sizeof(out));
    CHECK_STR(out, "a?[1m???\xc3\xa4");
    dyno_utf8_clean("xy\xc3\xa4", 4, out, 4);
    CHECK_STR(out, "xy");
    dyno_utf8_clean("", 0, out, 1);
    CHECK_STR(out, "");
}

static void test_utf8(void)
{
    char text[4];
    for (uint32_t code = 0; code < 0x110000; code += code < 0x3000 ? 1 : 37) {
        if (code >= 0xd800 && code < 0xe000)
            continue;
        const size_t length = dyno_utf8_put(code, text);
        CHECK(dyno_utf8_next(text, length) == length);
        CHECK(length == 1 || dyno_utf8_next(text, length - 1) == 0);
    }
    CHECK(dyno_utf8_next("\xf4\x90\x80\x80", 4) == 0 && dyno_utf8_next("\x80", 1) == 0);
    CHECK(dyno_utf8_next("\xe0\x80\x80", 3) == 0);
}

int main(void)
{
    arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    test_write();
    test_doubles();
    test_parse();
    test_refusals();
    test_numbers();
    test_reader();
    test_floats();
    test_truncation();
    test_utf8();
    test_members();
    test_clean();
    dyno_arena_destroy(arena);
    test_out_of_memory();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
