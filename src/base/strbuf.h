/* strbuf.h - a growing, NUL-terminated string.
 *
 * Running out of memory is remembered, not returned: append freely, then ask dyno_strbuf_ok once.
 * Zero-initialised is empty.  One thread at a time.
 */
#ifndef DYNO_BASE_STRBUF_H
#define DYNO_BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

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
void dyno_strbuf_add(struct dyno_strbuf *buf, const char *text, size_t bytes);
void dyno_strbuf_puts(struct dyno_strbuf *buf, const char *text);
void dyno_strbuf_printf(struct dyno_strbuf *buf, const char *fmt, ...) DYNO_PRINTF(2, 3);
static inline bool dyno_strbuf_ok(const struct dyno_strbuf *buf)
{
    return !buf->failed;
}
/* The text; "" while empty. */
const char *dyno_strbuf_text(const struct dyno_strbuf *buf);

#endif /* DYNO_BASE_STRBUF_H */
