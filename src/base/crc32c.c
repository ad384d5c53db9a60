/* crc32c.c - CRC-32C with the processor's instruction or by tables. */
#include <pthread.h>
#include <string.h>

#include "base/hash.h"

#define CRC_POLY 0x82f63b78U

/* Row k holds the effect of a byte followed by k zero bytes ("slicing by eight": Kounavis and
 * Berry, "A Systematic Approach to Building High Performance Software-based CRC Generators", 2005,
 * section 3). */
static uint32_t crc_rows[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void crc_rows_fill(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1U ? CRC_POLY : 0U);
        crc_rows[0][byte] = crc;
    }
    for (uint32_t byte = 0; byte < 256; byte++) {
        for (int k = 1; k < 8; k++) {
            const uint32_t before = crc_rows[k - 1][byte];
            crc_rows[k][byte] = (before >> 8) ^ crc_rows[0][before & 0xffU];
        }
    }
}

uint32_t dyno_crc32c_portable(uint32_t crc, const void *data, size_t bytes)
{
    (void)pthread_once(&crc_once, crc_rows_fill);
    const uint8_t *at = data;
    crc = ~crc;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        word ^= crc;
        crc = 0;
        for (int k = 0; k < 8; k++)
            crc ^= crc_rows[7 - k][(word >> (8 * k)) & 0xffU];
    }
    for (; bytes != 0; bytes--)
        crc = (crc >> 8) ^ crc_rows[0][(crc ^ *at++) & 0xffU];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *at,
                                                               size_t bytes)
{
    uint64_t wide = ~crc;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        unsigned long long word;
        memcpy(&word, at, sizeof(word));
        wide = __builtin_ia32_crc32di(wide, word);
    }
    uint32_t narrow = (uint32_t)wide;
    for (; bytes != 0; bytes--)
        narrow = __builtin_ia32_crc32qi(narrow, *at++);
    return ~narrow;
}
#endif

uint32_t dyno_crc32c(uint32_t crc, const void *data, size_t bytes)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(crc, data, bytes);
#endif
    return dyno_crc32c_portable(crc, data, bytes);
}
