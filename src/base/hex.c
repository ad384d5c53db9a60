/* hex.c - bytes as hexadecimal digits. */
#include "base/hex.h"

static const char digits_of[] = "0123456789abcdef";

const char *dyno_hex_text(const void *data, size_t bytes, char *text_out)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < bytes; i++) {
        text_out[2 * i] = digits_of[at[i] >> 4];
        text_out[2 * i + 1] = digits_of[at[i] & 15];
    }
    text_out[2 * bytes] = 0;
    return text_out;
}

void dyno_hex_print(const void *data, size_t bytes, struct dyno_strbuf *out)
{
    if (!dyno_strbuf_reserve(out, 2 * bytes))
        return;
    (void)dyno_hex_text(data, bytes, out->text + out->bytes);
    out->bytes += 2 * bytes;
}

static int value_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool dyno_hex_parse(const char *digits, size_t count, void *data_out)
{
    uint8_t *out = data_out;
    if (count % 2 != 0)
        return false;
    for (size_t i = 0; i < count; i += 2) {
        const int high = value_of(digits[i]);
        const int low = value_of(digits[i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i / 2] = (uint8_t)(16 * high + low);
    }
    return true;
}
