/* hex.h - bytes as hexadecimal digits.  Any thread. */
#ifndef DYNO_BASE_HEX_H
#define DYNO_BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

/* Lower-case digits, two a byte. */
void dyno_hex_print(const void *data, size_t bytes, struct dyno_strbuf *out);
/* The same into text_out[2 * bytes + 1]; returns it. */
const char *dyno_hex_text(const void *data, size_t bytes, char *text_out);
/* digits[count] into data_out[count / 2]; false when count is odd or something is no digit. */
bool dyno_hex_parse(const char *digits, size_t count, void *data_out);

#endif /* DYNO_BASE_HEX_H */
