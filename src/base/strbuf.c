/* strbuf.c - doubling growth. */
#include "base/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void dyno_strbuf_fini(struct dyno_strbuf *buf)
{
    dyno_free(buf->text);
    *buf = (struct dyno_strbuf){0};
}

void dyno_strbuf_clear(struct dyno_strbuf *buf)
{
    buf->bytes = 0;
    buf->failed = false;
    if (buf->text != NULL)
        buf->text[0] = 0;
}

const char *dyno_strbuf_text(const struct dyno_strbuf *buf)
{
    return buf->text != NULL ? buf->text : "";
}

/* After a failure nothing is added any more: what was lost would be missing in the middle. */
bool dyno_strbuf_reserve(struct dyno_strbuf *buf, size_t more)
{
    const size_t want = buf->bytes + more + 1;
    if (buf->failed)
        return false;
    if (want <= buf->capacity_bytes)
        return true;
    const size_t grown = want * 2 > 64 ? want * 2 : 64;
    char *moved = dyno_realloc(buf->text, buf->text != NULL ? buf->bytes + 1 : 0, grown, 1);
    if (moved == NULL) {
        buf->failed = true;
        return false;
    }
    buf->text = moved;
    buf->capacity_bytes = grown;
    return true;
}

void dyno_strbuf_u64(struct dyno_strbuf *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    dyno_strbuf_add(buf, digits + at, sizeof(digits) - at);
}

void dyno_strbuf_i64(struct dyno_strbuf *buf, int64_t value)
{
    if (value < 0)
        dyno_strbuf_puts(buf, "-");
    dyno_strbuf_u64(buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void dyno_strbuf_printf(struct dyno_strbuf *buf, const char *fmt, ...)
{
    va_list args;
    va_list again;
    va_start(args, fmt);
    va_copy(again, args);
    const int bytes = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (bytes > 0 && dyno_strbuf_reserve(buf, (size_t)bytes)) {
        (void)vsnprintf(buf->text + buf->bytes, (size_t)bytes + 1, fmt, again);
        buf->bytes += (size_t)bytes;
    }
    va_end(again);
}
