/* trace.c - reading and making of traceparent. */
#include "serve/watch/trace.h"

#include <string.h>
#include <sys/random.h>

#define PARENT_AT    36
#define PARENT_BYTES 16
#define FLAGS_AT     53

static const char form[] = "00-................................-................-00";

bool dyno_trace_source_init(struct dyno_trace_source *source)
{
    return getrandom(source->state, sizeof(source->state), 0) == (ssize_t)sizeof(source->state);
}

/* --- reading --- */

static bool is_hex(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f'))
            return false;
    return true;
}

static bool is_zero(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (text[i] != '0')
            return false;
    return true;
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

bool dyno_trace_parse(const char *text, char *out)
{
    const size_t bytes = strlen(text);
    if (bytes < DYNO_TRACE_BYTES)
        return false;
    for (size_t i = 0; i < DYNO_TRACE_BYTES; i++)
        if (form[i] == '-' && text[i] != '-')
            return false;
    if (!is_hex(text, 2) || memcmp(text, "ff", 2) == 0 ||
        !is_hex(text + DYNO_TRACE_ID_AT, DYNO_TRACE_ID_BYTES) ||
        !is_hex(text + PARENT_AT, PARENT_BYTES) || !is_hex(text + FLAGS_AT, 2) ||
        is_zero(text + DYNO_TRACE_ID_AT, DYNO_TRACE_ID_BYTES) ||
        is_zero(text + PARENT_AT, PARENT_BYTES))
        return false;
    const bool is_known = memcmp(text, "00", 2) == 0;
    if (is_known ? bytes != DYNO_TRACE_BYTES : bytes > DYNO_TRACE_BYTES && text[55] != '-')
        return false;
    memcpy(out, text, DYNO_TRACE_BYTES);
    if (!is_known) { /* of a later version we know the same parts, and one flag */
        out[0] = out[1] = out[FLAGS_AT] = '0';
        out[FLAGS_AT + 1] = (char)('0' + (digit(text[FLAGS_AT + 1]) & 1));
    }
    return true;
}

/* --- making --- */

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators), its output
 * function. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void put_hex(uint64_t value, char *out)
{
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++)
        out[i] = hex[value >> (60 - 4 * i) & 15U];
}

void dyno_trace_make(struct dyno_trace_source *source, char *out)
{
    uint64_t parts[3];
    for (int i = 0; i < 3; i++) {
        source->state[i] += UINT64_C(0x9e3779b97f4a7c15);
        parts[i] = mix(source->state[i]);
    }
    parts[0] |= parts[0] == 0; /* zero is not allowed */
    parts[2] |= parts[2] == 0;
    for (int i = 0; i < DYNO_TRACE_BYTES; i++)
        out[i] = form[i];
    put_hex(parts[0], out + DYNO_TRACE_ID_AT);
    put_hex(parts[1], out + DYNO_TRACE_ID_AT + 16);
    put_hex(parts[2], out + PARENT_AT);
}
