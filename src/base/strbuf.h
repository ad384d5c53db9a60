/* strbuf.h - a growing, NUL-terminated string.
 *
 * Running out of memory is remembered, not returned: append freely, then ask dyno_strbuf_ok once.
 * Zero-initialised is empty.  One thread at a time.
 */
#ifndef DYNO_BASE_STRBUF_H
#define DYNO_BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

struct dyno_strbuf {
    char *text; /* NULL while empty */
    size_t bytes;
    size_t capacity_bytes;
    bool failed;
};

void dyno_strbuf_fini(struct dyno_strbuf *buf);
/* Empty again, and nothing is remembered; the memory stays. */
void dyno_strbuf_clear(struct dyno_strbuf *buf);
/* Room for `more` bytes and the NUL; false when memory runs out. */
bool dyno_strbuf_reserve(struct dyno_strbuf *buf, size_t more);
/* Inline: writers of JSON and of heads live on short constant texts. */
static inline void dyno_strbuf_add(struct dyno_strbuf *buf, const char *text, size_t bytes)
{
    const bool has_room = !buf->failed && buf->capacity_bytes - buf->bytes > bytes;
    if (bytes == 0 || (!has_room && !dyno_strbuf_reserve(buf, bytes)))
        return;
    memcpy(buf->text + buf->bytes, text, bytes);
    buf->bytes += bytes;
    buf->text[buf->bytes] = 0;
}
static inline void dyno_strbuf_puts(struct dyno_strbuf *buf, const char *text)
{
    dyno_strbuf_add(buf, text, strlen(text));
}
void dyno_strbuf_u64(struct dyno_strbuf *buf, uint64_t value); /* in decimal */
void dyno_strbuf_i64(struct dyno_strbuf *buf, int64_t value);
void dyno_strbuf_printf(struct dyno_strbuf *buf, const char *fmt, ...) DYNO_PRINTF(2, 3);
static inline bool dyno_strbuf_ok(const struct dyno_strbuf *buf)
{
    return !buf->failed;
}
/* The text; "" while empty. */
const char *dyno_strbuf_text(const struct dyno_strbuf *buf);

#endif /* DYNO_BASE_STRBUF_H */
