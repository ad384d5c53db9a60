/* crc32c.c - CRC-32C by carry-less multiplication, by the processor's instruction, or by tables. */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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
/* Polynomials over GF(2) modulo CRC-32C's, the coefficient of x^31 in bit 0: x^0 is 1 << 31. */
static uint32_t times_x(uint32_t a)
{
    return (a >> 1) ^ (a & 1U ? CRC_POLY : 0U);
}

static uint32_t product(uint32_t a, uint32_t b)
{
    uint32_t sum = 0;
    for (uint32_t bit = 1U << 31; bit != 0; bit >>= 1, b = times_x(b))
        sum ^= a & bit ? b : 0U;
    return sum;
}

/* x^n */
static uint32_t x_to(unsigned n)
{
    uint32_t power = 1U << 31;
    for (uint32_t square = 1U << 30; n != 0; n >>= 1, square = product(square, square))
        power = n & 1U ? product(power, square) : power;
    return power;
}

/* Three streams keep the instruction busy, whose result comes three cycles late.  Long ones,
 * because each must be found by the prefetcher anew; three take a chunk of an engine file but 64
 * bytes. */
#define STREAM_BYTES 21824U
/* What folding takes at a time: four registers of four lanes. */
#define FOLD_BYTES   256U

static struct {
    uint32_t one_stream, two_streams;
    uint64_t fold_low, fold_high;
} crc_powers;
static pthread_once_t crc_powers_once = PTHREAD_ONCE_INIT;

/* The instruction multiplies what it is given by x^32; a product of two reflected numbers lacks one
 * place, that is, a factor x. */
static void crc_powers_fill(void)
{
    crc_powers.one_stream = x_to(8 * STREAM_BYTES - 33);
    crc_powers.two_streams = x_to(16 * STREAM_BYTES - 33);
    crc_powers.fold_low = (uint64_t)x_to(8 * FOLD_BYTES + 64 - 1) << 32;
    crc_powers.fold_high = (uint64_t)x_to(8 * FOLD_BYTES - 1) << 32;
}

__attribute__((target("sse4.2"))) static uint64_t crc_add_word(uint64_t raw, const uint8_t *at)
{
    unsigned long long word;
    memcpy(&word, at, sizeof(word));
    return __builtin_ia32_crc32di(raw, word);
}

__attribute__((target("sse4.2"))) static uint32_t crc_add(uint32_t raw, const uint8_t *at,
                                                          size_t bytes)
{
    uint64_t wide = raw;
    for (; bytes >= 8; bytes -= 8, at += 8)
        wide = crc_add_word(wide, at);
    uint32_t narrow = (uint32_t)wide;
    for (; bytes != 0; bytes--)
        narrow = __builtin_ia32_crc32qi(narrow, *at++);
    return narrow;
}

/* Gopal et al., "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction", Intel 2011:
 * three streams next to one another, the earlier two moved on by the bytes after them. */
__attribute__((target("sse4.2,pclmul"))) static uint32_t crc32c_streams(uint32_t crc,
                                                                        const void *data,
                                                                        size_t bytes)
{
    (void)pthread_once(&crc_powers_once, crc_powers_fill);
    const __m128i powers = _mm_set_epi64x(crc_powers.one_stream, crc_powers.two_streams);
    const uint8_t *at = data;
    uint64_t a = (uint32_t)~crc;
    while (bytes >= (size_t)3 * STREAM_BYTES) {
        uint64_t b = 0;
        uint64_t c = 0;
        for (size_t i = 0; i < STREAM_BYTES; i += 8) {
            a = crc_add_word(a, at + i);
            b = crc_add_word(b, at + i + STREAM_BYTES);
            c = crc_add_word(c, at + i + (size_t)2 * STREAM_BYTES);
        }
        const __m128i moved_a = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)a), powers, 0x00);
        const __m128i moved_b = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)b), powers, 0x10);
        const long long both = _mm_cvtsi128_si64(_mm_xor_si128(moved_a, moved_b));
        a = __builtin_ia32_crc32di(0, (unsigned long long)both) ^ c;
        at += (size_t)3 * STREAM_BYTES;
        bytes -= (size_t)3 * STREAM_BYTES;
    }
    return ~crc_add((uint32_t)a, at, bytes);
}

/* x moved on by FOLD_BYTES, and what is there. */
__attribute__((target("avx512f,vpclmulqdq"))) static __m512i fold(__m512i x, __m512i powers,
                                                                  const uint8_t *at)
{
    const __m512i low = _mm512_clmulepi64_epi128(x, powers, 0x00);
    const __m512i high = _mm512_clmulepi64_epi128(x, powers, 0x11);
    return _mm512_ternarylogic_epi64(low, high, _mm512_loadu_si512(at), 0x96);
}

/* Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel
 * 2009: each register is multiplied by the power of x that its distance stands for and added to the
 * bytes there.  What is left has the remainder of the whole and is short. */
__attribute__((target("avx512f,vpclmulqdq,sse4.2"))) static uint32_t crc32c_fold(uint32_t crc,
                                                                                 const void *data,
                                                                                 size_t bytes)
{
    const uint8_t *at = data;
    uint32_t raw = ~crc;
    if (bytes >= (size_t)2 * FOLD_BYTES) {
        (void)pthread_once(&crc_powers_once, crc_powers_fill);
        const __m512i powers = _mm512_broadcast_i32x4(
            _mm_set_epi64x((long long)crc_powers.fold_high, (long long)crc_powers.fold_low));
        __m512i x[4];
        uint8_t left[FOLD_BYTES];
        for (int i = 0; i < 4; i++)
            x[i] = _mm512_loadu_si512(at + (size_t)64 * (size_t)i);
        x[0] = _mm512_xor_si512(x[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)raw)));
        for (at += FOLD_BYTES, bytes -= FOLD_BYTES; bytes >= FOLD_BYTES;
             at += FOLD_BYTES, bytes -= FOLD_BYTES)
            for (int i = 0; i < 4; i++)
                x[i] = fold(x[i], powers, at + (size_t)64 * (size_t)i);
        for (int i = 0; i < 4; i++)
            _mm512_storeu_si512(left + (size_t)64 * (size_t)i, x[i]);
        raw = crc_add(0, left, FOLD_BYTES);
    }
    return ~crc_add(raw, at, bytes);
}

static bool has_fold(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq") &&
           __builtin_cpu_supports("sse4.2");
}

static bool has_streams(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}
#endif

static bool always(void)
{
    return true;
}

/* The fastest first. */
static const struct {
    dyno_crc32c_fn *fn;
    bool (*is_here)(void);
} crc_ways[] = {
#if defined(__x86_64__)
    {crc32c_fold, has_fold},
    {crc32c_streams, has_streams},
#endif
    {dyno_crc32c_portable, always},
};

dyno_crc32c_fn *dyno_crc32c_way(int nth)
{
    for (size_t i = 0; i < sizeof(crc_ways) / sizeof(crc_ways[0]); i++) {
        if (crc_ways[i].is_here() && nth-- == 0)
            return crc_ways[i].fn;
    }
    return NULL;
}

uint32_t dyno_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    return dyno_crc32c_way(0)(crc, data, bytes);
}
