/* utf8.h - one code point at a time. */
#ifndef DYNO_BASE_UTF8_H
#define DYNO_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length (1..4) of the well-formed code point at text[0..bytes) (RFC 3629: no overlong forms, no
 * surrogates), 0 when there is none. */
size_t dyno_utf8_next(const char *text, size_t bytes);

/* text[bytes] to out[room] without what a terminal or a log would act on, as far as there is room:
 * `?` for control characters and for what is no UTF-8; ends with a NUL. */
void dyno_utf8_clean(const char *text, size_t bytes, char *out, size_t room);

/* Write `code` (below 0x110000, no surrogate) to out[4]; returns its length. */
size_t dyno_utf8_put(uint32_t code, char *out);

#endif /* DYNO_BASE_UTF8_H */
