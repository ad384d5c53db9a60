/* json_read.c - JSON in, token by token: strict, depth-limited, without memory of its own. */
#include <string.h>

#include "base/json.h"
#include "base/json_number.h"
#include "base/utf8.h"

/* The bits of `objects` must hold every depth. */
_Static_assert(DYNO_JSON_DEPTH_MAX <= 64, "one bit a depth");

void dyno_json_reader_init(struct dyno_json_reader *reader, const char *text, size_t bytes)
{
    const char *start = text != NULL ? text : "";
    *reader = (struct dyno_json_reader){.start = start, .at = start, .end = start + bytes};
}

enum dyno_status dyno_json_refuse(const struct dyno_json_reader *reader, struct dyno_err *err,
                                  const char *what)
{
    size_t line = 1;
    size_t column = 1;
    for (const char *at = reader->start; at < reader->at; at++) {
        column = *at == '\n' ? 1 : column + 1;
        line += *at == '\n';
    }
    return DYNO_FAIL(err, DYNO_E_FORMAT, "JSON line %zu column %zu: %s", line, column, what);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool accept(struct dyno_json_reader *reader, char c)
{
    while (reader->at < reader->end && is_blank(*reader->at))
        reader->at++;
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    return true;
}

/* --- strings --- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Four hex digits at `at`; -1 when they are not. */
static int32_t hex4(const char *at, const char *end)
{
    int32_t code = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const int digit = hex_digit(at[i]);
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

static const char escapes_from[] = "\"\\/bfnrt";
static const char escapes_to[] = "\"\\/\b\f\n\r\t";

/* The escape after the backslash at `at`: its length (0: malformed) and its code point. */
static size_t read_escape(const char *at, const char *end, uint32_t *code_out, const char **why)
{
    const char *found = at < end && *at != 0 ? strchr(escapes_from, *at) : NULL;
    if (found != NULL) {
        *code_out = (unsigned char)escapes_to[found - escapes_from];
        return 1;
    }
    const int32_t code = at < end && *at == 'u' ? hex4(at + 1, end) : -1;
    *why = "unknown escape in a string";
    if (code < 0)
        return 0;
    *why = "half a surrogate pair";
    *code_out = (uint32_t)code;
    if (code < 0xd800 || code > 0xdfff)
        return 5;
    if (code >= 0xdc00 || end - at < 11 || at[5] != '\\' || at[6] != 'u')
        return 0;
    const int32_t low = hex4(at + 7, end);
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    *code_out = 0x10000 + (((uint32_t)code - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    return 11;
}

/* After the opening quote. */
static enum dyno_status read_string(struct dyno_json_reader *reader, struct dyno_json_raw *raw,
                                    struct dyno_err *err)
{
    *raw = (struct dyno_json_raw){.text = reader->at};
    while (reader->at < reader->end) {
        const unsigned char c = (unsigned char)*reader->at;
        if (c == '"') {
            raw->bytes = (size_t)(reader->at - raw->text);
            reader->at++;
            return DYNO_OK;
        }
        if (c == '\\') {
            uint32_t code = 0;
            const char *why = NULL;
            const size_t length = read_escape(reader->at + 1, reader->end, &code, &why);
            if (length == 0)
                return dyno_json_refuse(reader, err, why);
            raw->has_escapes = true;
            reader->at += 1 + length;
        } else if (c < 0x20) {
            return dyno_json_refuse(reader, err, "control character in a string");
        } else if (c < 0x80) {
            reader->at++;
        } else {
            const size_t length = dyno_utf8_next(reader->at, (size_t)(reader->end - reader->at));
            if (length == 0)
                return dyno_json_refuse(reader, err, "string is not UTF-8");
            reader->at += length;
        }
    }
    return dyno_json_refuse(reader, err, "string without end");
}

size_t dyno_json_unescape(const struct dyno_json_raw *raw, char *out)
{
    const char *const end = raw->text + raw->bytes;
    char *to = out;
    if (!raw->has_escapes) {
        memcpy(out, raw->text, raw->bytes);
        return raw->bytes;
    }
    for (const char *at = raw->text; at < end;) {
        const char *stop = memchr(at, '\\', (size_t)(end - at));
        const size_t plain = (size_t)((stop != NULL ? stop : end) - at);
        memcpy(to, at, plain);
        to += plain;
        at += plain;
        if (stop != NULL) {
            uint32_t code = 0;
            const char *why = NULL;
            at += 1 + read_escape(at + 1, end, &code, &why);
            to += dyno_utf8_put(code, to);
        }
    }
    return (size_t)(to - out);
}

bool dyno_json_raw_is(const struct dyno_json_raw *raw, const char *text)
{
    const size_t bytes = strlen(text);
    if (!raw->has_escapes)
        return raw->bytes == bytes && memcmp(raw->text, text, bytes) == 0;
    /* An escape is at most six times as long as what it means. */
    char meaning[512];
    if (raw->bytes > sizeof(meaning))
        return false;
    return dyno_json_unescape(raw, meaning) == bytes && memcmp(meaning, text, bytes) == 0;
}

/* --- values --- */

static bool accept_word(struct dyno_json_reader *reader, const char *word)
{
    const size_t bytes = strlen(word);
    if ((size_t)(reader->end - reader->at) < bytes || memcmp(reader->at, word, bytes) != 0)
        return false;
    reader->at += bytes;
    return true;
}

static enum dyno_status open_container(struct dyno_json_reader *reader,
                                       struct dyno_json_token *token, bool is_object,
                                       struct dyno_err *err)
{
    if (reader->depth == DYNO_JSON_DEPTH_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "JSON is nested deeper than %d levels",
                         DYNO_JSON_DEPTH_MAX);
    token->kind = is_object ? DYNO_JSON_TOKEN_OBJECT : DYNO_JSON_TOKEN_ARRAY;
    const uint64_t bit = UINT64_C(1) << reader->depth;
    reader->objects = is_object ? reader->objects | bit : reader->objects & ~bit;
    reader->depth++;
    reader->wants_comma = false;
    return DYNO_OK;
}

static enum dyno_status read_value(struct dyno_json_reader *reader, struct dyno_json_token *token,
                                   struct dyno_err *err)
{
    if (accept(reader, '{'))
        return open_container(reader, token, true, err);
    const char c = reader->at < reader->end ? *reader->at : 0;
    if (c == '[') {
        reader->at++;
        return open_container(reader, token, false, err);
    }
    reader->wants_comma = true;
    if (c == '"') {
        reader->at++;
        token->kind = DYNO_JSON_TOKEN_STRING;
        return read_string(reader, &token->raw, err);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        const char *why = NULL;
        token->kind = DYNO_JSON_TOKEN_NUMBER;
        token->raw.text = reader->at;
        reader->at = dyno_json_number(reader->at, reader->end, token, &why);
        token->raw.bytes = (size_t)(reader->at - token->raw.text);
        return why == NULL ? DYNO_OK : dyno_json_refuse(reader, err, why);
    }
    token->kind = DYNO_JSON_TOKEN_BOOL;
    token->boolean = accept_word(reader, "true");
    if (token->boolean || accept_word(reader, "false"))
        return DYNO_OK;
    token->kind = DYNO_JSON_TOKEN_NULL;
    return accept_word(reader, "null") ? DYNO_OK
                                       : dyno_json_refuse(reader, err, "a value expected");
}

/* In an object, before a value. */
static enum dyno_status read_key(struct dyno_json_reader *reader, struct dyno_json_token *token,
                                 struct dyno_err *err)
{
    if (!accept(reader, '"'))
        return dyno_json_refuse(reader, err, "a key in double quotes expected");
    DYNO_TRY(read_string(reader, &token->key, err));
    token->has_key = true;
    return accept(reader, ':') ? DYNO_OK : dyno_json_refuse(reader, err, "':' expected");
}

static enum dyno_status read_in_container(struct dyno_json_reader *reader,
                                          struct dyno_json_token *token, struct dyno_err *err)
{
    const bool in_object = (reader->objects >> (reader->depth - 1) & 1U) != 0;
    if (accept(reader, in_object ? '}' : ']')) {
        token->kind = DYNO_JSON_TOKEN_CLOSE;
        reader->depth--;
        reader->wants_comma = true;
        reader->done = reader->depth == 0;
        return DYNO_OK;
    }
    if (reader->wants_comma && !accept(reader, ','))
        return dyno_json_refuse(reader, err, "',' or a closing bracket expected");
    if (in_object)
        DYNO_TRY(read_key(reader, token, err));
    return read_value(reader, token, err);
}

enum dyno_status dyno_json_read(struct dyno_json_reader *reader, struct dyno_json_token *token_out,
                                struct dyno_err *err)
{
    *token_out = (struct dyno_json_token){0};
    if (reader->depth > 0)
        return read_in_container(reader, token_out, err);
    if (!reader->done) {
        const enum dyno_status status = read_value(reader, token_out, err);
        reader->done = reader->depth == 0;
        return status;
    }
    while (reader->at < reader->end && is_blank(*reader->at))
        reader->at++;
    token_out->kind = DYNO_JSON_TOKEN_END;
    return reader->at == reader->end ? DYNO_OK
                                     : dyno_json_refuse(reader, err, "text after the value");
}

enum dyno_status dyno_json_skip(struct dyno_json_reader *reader, struct dyno_err *err)
{
    const int outside = reader->depth - 1;
    while (reader->depth > outside) {
        struct dyno_json_token token;
        DYNO_TRY(dyno_json_read(reader, &token, err));
    }
    return DYNO_OK;
}
