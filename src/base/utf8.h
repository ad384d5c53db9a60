/* utf8.h - one code point at a time. */
#ifndef DYNO_BASE_UTF8_H
#define DYNO_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length (1..4) of the well-formed code point at text[0..bytes) (RFC 3629: no overlong forms, no
 * surrogates), 0 when there is none. */
size_t dyno_utf8_next(const char *text, size_t bytes);

/* Write `code` (below 0x110000, no surrogate) to out[4]; returns its length. */
size_t dyno_utf8_put(uint32_t code, char *out);

#endif /* DYNO_BASE_UTF8_H */
