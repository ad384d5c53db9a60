/* wide.h - whole numbers of 128 bits: sums of nanoseconds, products of times and sizes, money. */
#ifndef DYNO_BASE_WIDE_H
#define DYNO_BASE_WIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

__extension__ typedef unsigned __int128 dyno_u128;
__extension__ typedef __int128 dyno_i128;

#define DYNO_U128_TEXT_ROOM 41 /* 39 digits, a sign, NUL */

/* In decimal, into out[DYNO_U128_TEXT_ROOM]; returns out. */
const char *dyno_u128_text(dyno_u128 value, char *out);
const char *dyno_i128_text(dyno_i128 value, char *out);

/* The number that text[bytes] is: decimal digits and nothing else, at least one; false when it is
 * none or too large. */
bool dyno_u128_parse(const char *text, size_t bytes, dyno_u128 *value_out);

#endif /* DYNO_BASE_WIDE_H */
