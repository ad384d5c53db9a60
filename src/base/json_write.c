/* json_write.c - JSON out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

static void new_line(struct dyno_json_writer *json)
{
    if (json->indent <= 0)
        return;
    dyno_strbuf_puts(json->out, "\n");
    for (int i = 0; i < json->depth * json->indent; i++)
        dyno_strbuf_puts(json->out, " ");
}

/* What must stand before the next key or value. */
static void separate(struct dyno_json_writer *json)
{
    if (json->after_key) {
        json->after_key = false;
        return;
    }
    if (json->has_items[json->depth])
        dyno_strbuf_puts(json->out, json->indent != 0 ? "," : ", ");
    json->has_items[json->depth] = true;
    if (json->depth != 0)
        new_line(json);
}

static void open_level(struct dyno_json_writer *json, const char *bracket)
{
    separate(json);
    DYNO_ASSERT(json->depth < DYNO_JSON_DEPTH_MAX);
    dyno_strbuf_puts(json->out, bracket);
    json->has_items[++json->depth] = false;
}

static void close_level(struct dyno_json_writer *json, const char *bracket)
{
    DYNO_ASSERT(json->depth > 0 && !json->after_key);
    const bool had_items = json->has_items[json->depth--];
    if (had_items)
        new_line(json);
    dyno_strbuf_puts(json->out, bracket);
}

void dyno_json_object_begin(struct dyno_json_writer *json)
{
    open_level(json, "{");
}

void dyno_json_object_end(struct dyno_json_writer *json)
{
    close_level(json, "}");
}

void dyno_json_array_begin(struct dyno_json_writer *json)
{
    open_level(json, "[");
}

void dyno_json_array_end(struct dyno_json_writer *json)
{
    close_level(json, "]");
}

/* Bytes at the start of a text that stand for themselves. */
static size_t plain_bytes(const char *text, size_t bytes)
{
    size_t i = 0;
    while (i < bytes && text[i] >= 0x20 && text[i] < 0x7f && text[i] != '"' && text[i] != '\\')
        i++;
    return i;
}

static void quote(struct dyno_strbuf *out, const char *text, size_t bytes)
{
    dyno_strbuf_puts(out, "\"");
    for (size_t i = 0; i < bytes;) {
        const size_t plain = plain_bytes(text + i, bytes - i);
        dyno_strbuf_add(out, text + i, plain);
        i += plain;
        if (i == bytes)
            break;
        const size_t length = dyno_utf8_next(text + i, bytes - i);
        const char c = text[i];
        if (length == 0)
            dyno_strbuf_puts(out, "\xef\xbf\xbd");
        else if (c == '"' || c == '\\')
            dyno_strbuf_printf(out, "\\%c", c);
        else if (c == '\n')
            dyno_strbuf_puts(out, "\\n");
        else if (c == '\t')
            dyno_strbuf_puts(out, "\\t");
        else if ((unsigned char)c < 0x20)
            dyno_strbuf_printf(out, "\\u%04x", (unsigned)c);
        else
            dyno_strbuf_add(out, text + i, length);
        i += length != 0 ? length : 1;
    }
    dyno_strbuf_puts(out, "\"");
}

void dyno_json_key(struct dyno_json_writer *json, const char *key)
{
    DYNO_ASSERT(json->depth > 0 && !json->after_key);
    separate(json);
    quote(json->out, key, strlen(key));
    dyno_strbuf_puts(json->out, json->indent < 0 ? ":" : ": ");
    json->after_key = true;
}

void dyno_json_strn(struct dyno_json_writer *json, const char *text, size_t bytes)
{
    separate(json);
    quote(json->out, text, bytes);
}

void dyno_json_str(struct dyno_json_writer *json, const char *text)
{
    dyno_json_strn(json, text, strlen(text));
}

void dyno_json_i64(struct dyno_json_writer *json, int64_t value)
{
    separate(json);
    dyno_strbuf_i64(json->out, value);
}

void dyno_json_u64(struct dyno_json_writer *json, uint64_t value)
{
    separate(json);
    dyno_strbuf_u64(json->out, value);
}

void dyno_json_f64(struct dyno_json_writer *json, double value)
{
    separate(json);
    if (!isfinite(value)) {
        dyno_strbuf_puts(json->out, "null");
        return;
    }
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    /* The host's locale may have another decimal point. */
    for (char *at = text; *at != 0; at++)
        if (strchr("0123456789+-e", *at) == NULL)
            *at = '.';
    dyno_strbuf_puts(json->out, text);
}

/* m * 10^exponent, m of 1 to 9 digits. */
static void put_decimal(struct dyno_strbuf *out, bool is_negative, int64_t m, int exponent)
{
    while (m % 10 == 0) {
        m /= 10;
        exponent++;
    }
    char digits[24];
    const int count = snprintf(digits, sizeof(digits), "%lld", (long long)m);
    const int point = count + exponent; /* digits before the point */
    if (is_negative)
        dyno_strbuf_puts(out, "-");
    if (exponent >= 0 && point <= 16)
        dyno_strbuf_printf(out, "%s%.*s.0", digits, exponent, "0000000000000000");
    else if (point > 0 && point <= 16)
        dyno_strbuf_printf(out, "%.*s.%s", point, digits, digits + point);
    else if (point <= 0 && point > -5)
        dyno_strbuf_printf(out, "0.%.*s%s", -point, "0000", digits);
    else
        dyno_strbuf_printf(out, "%c.%se%d", digits[0], count > 1 ? digits + 1 : "0", point - 1);
}

/* Nine digits always read back as the same float; fewer are taken when they lie well inside the
 * float's rounding interval, so that the error of the double arithmetic here (1e-15) cannot matter.
 */
void dyno_json_f32(struct dyno_json_writer *json, float value)
{
    const double wide = fabs((double)value);
    separate(json);
    if (!isfinite(value)) {
        dyno_strbuf_puts(json->out, "null");
        return;
    }
    if (value == 0.0F) {
        dyno_strbuf_puts(json->out, signbit(value) ? "-0.0" : "0.0");
        return;
    }
    int binary = 0;
    const double near = frexp(wide, &binary) == 0.5 ? 0.24 : 0.49;
    /* Half the distance to the nearer neighbour: below a power of two they are closer. */
    const double half = ldexp(near, (binary > -125 ? binary : -125) - 24);
    int exponent = (int)floor(log10(wide)) - 8;
    int64_t m = llround(wide * pow(10.0, -exponent));
    for (int64_t by = 1000; by > 1; by /= 10) {
        const int64_t fewer = (m + by / 2) / by;
        if (fabs((double)(fewer * by) * pow(10.0, exponent) - wide) < half) {
            m = fewer * by;
            break;
        }
    }
    put_decimal(json->out, value < 0.0F, m, exponent);
}

void dyno_json_bool(struct dyno_json_writer *json, bool value)
{
    separate(json);
    dyno_strbuf_puts(json->out, value ? "true" : "false");
}

void dyno_json_null(struct dyno_json_writer *json)
{
    separate(json);
    dyno_strbuf_puts(json->out, "null");
}

void dyno_json_put_str(struct dyno_json_writer *json, const char *key, const char *text)
{
    dyno_json_key(json, key);
    dyno_json_str(json, text);
}

void dyno_json_put_i64(struct dyno_json_writer *json, const char *key, int64_t value)
{
    dyno_json_key(json, key);
    dyno_json_i64(json, value);
}

void dyno_json_put_u64(struct dyno_json_writer *json, const char *key, uint64_t value)
{
    dyno_json_key(json, key);
    dyno_json_u64(json, value);
}

void dyno_json_put_f64(struct dyno_json_writer *json, const char *key, double value)
{
    dyno_json_key(json, key);
    dyno_json_f64(json, value);
}

void dyno_json_put_bool(struct dyno_json_writer *json, const char *key, bool value)
{
    dyno_json_key(json, key);
    dyno_json_bool(json, value);
}

void dyno_json_put_str_or_null(struct dyno_json_writer *json, const char *key, const char *text)
{
    dyno_json_key(json, key);
    if (text != NULL)
        dyno_json_str(json, text);
    else
        dyno_json_null(json);
}

void dyno_json_put_object_begin(struct dyno_json_writer *json, const char *key)
{
    dyno_json_key(json, key);
    dyno_json_object_begin(json);
}

void dyno_json_put_array_begin(struct dyno_json_writer *json, const char *key)
{
    dyno_json_key(json, key);
    dyno_json_array_begin(json);
}

void dyno_json_put_strs(struct dyno_json_writer *json, const char *key, const char *const *texts,
                        size_t count)
{
    dyno_json_put_array_begin(json, key);
    for (size_t i = 0; i < count; i++)
        dyno_json_str(json, texts[i]);
    dyno_json_array_end(json);
}
