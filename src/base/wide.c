/* wide.c - numbers of 128 bits as text. */
#include "base/wide.h"

#include <string.h>

const char *dyno_u128_text(dyno_u128 value, char *out)
{
    char digits[DYNO_U128_TEXT_ROOM];
    size_t at = sizeof(digits);
    digits[--at] = 0;
    do {
        digits[--at] = (char)('0' + (int)(value % 10));
        value /= 10;
    } while (value != 0);
    memcpy(out, digits + at, sizeof(digits) - at);
    return out;
}

const char *dyno_i128_text(dyno_i128 value, char *out)
{
    const dyno_u128 magnitude = value < 0 ? -(dyno_u128)value : (dyno_u128)value;
    out[0] = '-';
    (void)dyno_u128_text(magnitude, value < 0 ? out + 1 : out);
    return out;
}

bool dyno_u128_parse(const char *text, size_t bytes, dyno_u128 *value_out)
{
    dyno_u128 value = 0;
    *value_out = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        const unsigned digit = (unsigned)(text[i] - '0');
        if (value > (~(dyno_u128)0 - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *value_out = value;
    return bytes > 0;
}
