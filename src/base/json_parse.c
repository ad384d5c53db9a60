/* json_parse.c - JSON in: strict, depth-limited, into an arena. */
#include <ctype.h>
#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "base/utf8.h"

struct parser {
    const char *start;
    const char *at;
    const char *end;
    struct dyno_arena *arena;
    struct dyno_err *err;
    int depth;
};

static enum dyno_status parse_value(struct parser *parser, struct dyno_json *value);

static enum dyno_status refuse(const struct parser *parser, const char *what)
{
    size_t line = 1;
    size_t column = 1;
    for (const char *at = parser->start; at < parser->at; at++) {
        column = *at == '\n' ? 1 : column + 1;
        line += *at == '\n';
    }
    return DYNO_FAIL(parser->err, DYNO_E_FORMAT, "JSON line %zu column %zu: %s", line, column,
                     what);
}

static void skip_blanks(struct parser *parser)
{
    while (parser->at < parser->end && strchr(" \t\r\n", *parser->at) != NULL && *parser->at != 0)
        parser->at++;
}

static bool accept(struct parser *parser, char c)
{
    skip_blanks(parser);
    if (parser->at == parser->end || *parser->at != c)
        return false;
    parser->at++;
    return true;
}

/* --- strings --- */

static bool hex4(struct parser *parser, uint32_t *code_out)
{
    uint32_t code = 0;
    if (parser->end - parser->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        const unsigned char c = (unsigned char)*parser->at++;
        if (!isxdigit(c))
            return false;
        code = code * 16 + (uint32_t)(isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    *code_out = code;
    return true;
}

/* After the backslash; writes 1..4 bytes to *out. */
static enum dyno_status parse_escape(struct parser *parser, char **out)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char c = parser->at < parser->end ? *parser->at++ : 0;
    const char *found = c != 0 ? strchr(from, c) : NULL;
    if (found != NULL) {
        *(*out)++ = to[found - from];
        return DYNO_OK;
    }
    uint32_t code = 0;
    if (c != 'u' || !hex4(parser, &code))
        return refuse(parser, "unknown escape in a string");
    if (code >= 0xd800 && code < 0xdc00) {
        uint32_t low = 0;
        if (parser->end - parser->at < 6 || memcmp(parser->at, "\\u", 2) != 0)
            return refuse(parser, "half a surrogate pair");
        parser->at += 2;
        if (!hex4(parser, &low) || low < 0xdc00 || low > 0xdfff)
            return refuse(parser, "half a surrogate pair");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
        return refuse(parser, "half a surrogate pair");
    }
    *out += dyno_utf8_put(code, *out);
    return DYNO_OK;
}

/* After the opening quote. */
static enum dyno_status parse_string(struct parser *parser, const char **text_out,
                                     size_t *bytes_out)
{
    const char *close = parser->at;
    while (close < parser->end && *close != '"')
        close += *close == '\\' ? 2 : 1;
    if (close >= parser->end)
        return refuse(parser, "string without end");
    /* An escape is never longer than what it is written as. */
    char *text = dyno_arena_alloc(parser->arena, (size_t)(close - parser->at) + 1, 1);
    if (text == NULL)
        return DYNO_NOMEM(parser->err);
    char *out = text;
    while (parser->at < close) {
        if (*parser->at == '\\') {
            parser->at++;
            DYNO_TRY(parse_escape(parser, &out));
            continue;
        }
        const size_t length = dyno_utf8_next(parser->at, (size_t)(close - parser->at));
        if (length == 0)
            return refuse(parser, "string is not UTF-8");
        if ((unsigned char)*parser->at < 0x20)
            return refuse(parser, "control character in a string");
        memcpy(out, parser->at, length);
        out += length;
        parser->at += length;
    }
    parser->at = close + 1;
    *text_out = text;
    *bytes_out = (size_t)(out - text);
    return DYNO_OK;
}

/* --- numbers --- */

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void c_locale_make(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static size_t skip_digits(struct parser *parser)
{
    const char *start = parser->at;
    while (parser->at < parser->end && isdigit((unsigned char)*parser->at))
        parser->at++;
    return (size_t)(parser->at - start);
}

static bool next_is(const struct parser *parser, const char *set)
{
    return parser->at < parser->end && *parser->at != 0 && strchr(set, *parser->at) != NULL;
}

static bool read_int(const char *text, size_t bytes, int64_t *value_out)
{
    const bool is_negative = text[0] == '-';
    int64_t value = 0;
    for (size_t i = is_negative; i < bytes; i++) {
        const int digit = text[i] - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, is_negative ? -digit : digit, &value))
            return false;
    }
    *value_out = value;
    return true;
}

static enum dyno_status parse_number(struct parser *parser, struct dyno_json *value)
{
    const char *start = parser->at;
    if (next_is(parser, "-"))
        parser->at++;
    const bool leading_zero = next_is(parser, "0");
    const size_t digits = skip_digits(parser);
    if (digits == 0 || (leading_zero && digits > 1))
        return refuse(parser, "malformed number");
    bool is_int = true;
    if (next_is(parser, ".")) {
        parser->at++;
        is_int = false;
        if (skip_digits(parser) == 0)
            return refuse(parser, "malformed number");
    }
    if (next_is(parser, "eE")) {
        parser->at++;
        is_int = false;
        if (next_is(parser, "+-"))
            parser->at++;
        if (skip_digits(parser) == 0)
            return refuse(parser, "malformed number");
    }
    char text[512];
    const size_t bytes = (size_t)(parser->at - start);
    if (bytes >= sizeof(text))
        return refuse(parser, "number of more than 511 characters");
    memcpy(text, start, bytes);
    text[bytes] = 0;
    (void)pthread_once(&c_locale_once, c_locale_make);
    value->kind = DYNO_JSON_NUMBER;
    value->number = c_locale != (locale_t)0 ? strtod_l(text, NULL, c_locale) : strtod(text, NULL);
    value->is_int = is_int && read_int(start, bytes, &value->integer);
    return DYNO_OK;
}

/* --- containers --- */

static enum dyno_status parse_key(struct parser *parser, struct dyno_map *keys,
                                  struct dyno_json *member)
{
    if (!accept(parser, '"'))
        return refuse(parser, "a key in double quotes expected");
    DYNO_TRY(parse_string(parser, &member->key, &member->key_bytes));
    if (dyno_map_find(keys, member->key, member->key_bytes, NULL))
        return refuse(parser, "key appears twice in one object");
    if (!dyno_map_put(keys, member->key, member->key_bytes, 0))
        return DYNO_NOMEM(parser->err);
    if (!accept(parser, ':'))
        return refuse(parser, "':' expected");
    return DYNO_OK;
}

/* After the opening bracket; `keys` is NULL for an array. */
static enum dyno_status parse_items(struct parser *parser, struct dyno_json *container,
                                    struct dyno_map *keys)
{
    const char close = keys != NULL ? '}' : ']';
    const struct dyno_json **link = &container->first;
    if (accept(parser, close))
        return DYNO_OK;
    do {
        struct dyno_json *item = dyno_arena_alloc(parser->arena, 1, sizeof(*item));
        if (item == NULL)
            return DYNO_NOMEM(parser->err);
        if (keys != NULL)
            DYNO_TRY(parse_key(parser, keys, item));
        DYNO_TRY(parse_value(parser, item));
        *link = item;
        link = &item->next;
        container->count++;
    } while (accept(parser, ','));
    return accept(parser, close) ? DYNO_OK : refuse(parser, "',' or a closing bracket expected");
}

static enum dyno_status parse_container(struct parser *parser, struct dyno_json *value, bool is_map)
{
    if (parser->depth == DYNO_JSON_DEPTH_MAX)
        return DYNO_FAIL(parser->err, DYNO_E_LIMIT, "JSON is nested deeper than %d levels",
                         DYNO_JSON_DEPTH_MAX);
    struct dyno_map keys = {0};
    value->kind = is_map ? DYNO_JSON_OBJECT : DYNO_JSON_ARRAY;
    parser->depth++;
    const enum dyno_status status = parse_items(parser, value, is_map ? &keys : NULL);
    parser->depth--;
    dyno_map_fini(&keys);
    return status;
}

static bool accept_word(struct parser *parser, const char *word)
{
    const size_t bytes = strlen(word);
    if ((size_t)(parser->end - parser->at) < bytes || memcmp(parser->at, word, bytes) != 0)
        return false;
    parser->at += bytes;
    return true;
}

static enum dyno_status parse_value(struct parser *parser, struct dyno_json *value)
{
    if (accept(parser, '{'))
        return parse_container(parser, value, true);
    if (accept(parser, '['))
        return parse_container(parser, value, false);
    if (accept(parser, '"')) {
        value->kind = DYNO_JSON_STRING;
        return parse_string(parser, &value->text, &value->text_bytes);
    }
    if (next_is(parser, "-0123456789"))
        return parse_number(parser, value);
    value->boolean = accept_word(parser, "true");
    if (value->boolean || accept_word(parser, "false"))
        value->kind = DYNO_JSON_BOOL;
    else if (!accept_word(parser, "null"))
        return refuse(parser, "a value expected");
    return DYNO_OK;
}

enum dyno_status dyno_json_parse(const char *text, size_t bytes, struct dyno_arena *arena,
                                 const struct dyno_json **root_out, struct dyno_err *err)
{
    struct parser parser = {
        .start = text, .at = text, .end = text + bytes, .arena = arena, .err = err};
    *root_out = NULL;
    struct dyno_json *root = dyno_arena_alloc(arena, 1, sizeof(*root));
    if (root == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(parse_value(&parser, root));
    skip_blanks(&parser);
    if (parser.at != parser.end)
        return refuse(&parser, "text after the value");
    *root_out = root;
    return DYNO_OK;
}

const struct dyno_json *dyno_json_find(const struct dyno_json *object, const char *key)
{
    if (object == NULL || object->kind != DYNO_JSON_OBJECT)
        return NULL;
    const size_t bytes = strlen(key);
    for (const struct dyno_json *member = object->first; member != NULL; member = member->next)
        if (member->key_bytes == bytes && memcmp(member->key, key, bytes) == 0)
            return member;
    return NULL;
}
