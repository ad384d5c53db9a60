/* utf8.c - well-formed code points (RFC 3629, section 4). */
#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

size_t dyno_utf8_next(const char *text, size_t bytes)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (bytes == 0)
        return 0;
    const uint8_t first = (uint8_t)text[0];
    if (first < 0x80)
        return 1;
    const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || length > bytes)
        return 0;
    uint32_t code = first & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if (((uint8_t)text[i] & 0xc0U) != 0x80)
            return 0;
        code = (code << 6) | ((uint8_t)text[i] & 0x3fU);
    }
    const int is_surrogate = code >= 0xd800 && code < 0xe000;
    return code < least[length] || code > 0x10ffff || is_surrogate ? 0 : length;
}

void dyno_utf8_clean(const char *text, size_t bytes, char *out, size_t room)
{
    size_t made = 0;
    for (size_t at = 0; at < bytes;) {
        const size_t length = dyno_utf8_next(text + at, bytes - at);
        const bool is_plain =
            length > 1 || (length == 1 && (unsigned char)text[at] >= ' ' && text[at] != 0x7f);
        const size_t step = is_plain ? length : 1;
        if (made + step >= room)
            break;
        memcpy(out + made, is_plain ? text + at : "?", step);
        made += step;
        at += step;
    }
    out[made] = 0;
}

size_t dyno_utf8_put(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    const size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80U | (code & 0x3fU));
        code >>= 6;
    }
    out[0] = (char)((0xf00U >> length) | code);
    return length;
}
