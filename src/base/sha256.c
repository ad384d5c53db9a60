/* sha256.c - SHA-256, by the processor's instructions where it has them. */
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/hash.h"

static const uint32_t sha_rounds[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t value, int bits)
{
    return (value >> bits) | (value << (32 - bits));
}

/* The k-th of eight rounds: what the standard calls a is v[-k mod 8], b the one after it, ... */
static inline void sha_round(uint32_t v[8], int k, uint32_t word)
{
    const uint32_t a = v[(0 - k) & 7];
    const uint32_t b = v[(1 - k) & 7];
    const uint32_t c = v[(2 - k) & 7];
    const uint32_t e = v[(4 - k) & 7];
    const uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const uint32_t choice = (e & v[(5 - k) & 7]) ^ (~e & v[(6 - k) & 7]);
    const uint32_t t1 = v[(7 - k) & 7] + s1 + choice + word;
    const uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    v[(3 - k) & 7] += t1;
    v[(7 - k) & 7] = t1 + s0 + ((a & b) ^ (a & c) ^ (b & c));
}

static void sha_block(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[64];
    for (int i = 0; i < 16; i++) {
        memcpy(&w[i], block + (size_t)i * 4, 4);
        w[i] = __builtin_bswap32(w[i]);
    }
    for (int i = 16; i < 64; i++) {
        const uint32_t x = w[i - 15];
        const uint32_t y = w[i - 2];
        const uint32_t s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >> 3);
        const uint32_t s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >> 10);
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t v[8];
    memcpy(v, state, sizeof(v));
    for (int i = 0; i < 64; i += 8)
        for (int k = 0; k < 8; k++) /* unrolled: the names turn, so nothing has to move */
            sha_round(v, k, sha_rounds[i + k] + w[i + k]);
    for (int i = 0; i < 8; i++)
        state[i] += v[i];
}

static void sha_blocks_portable(uint32_t state[8], const uint8_t *blocks, size_t count)
{
    for (; count != 0; count--, blocks += 64)
        sha_block(state, blocks);
}

#if defined(__x86_64__)
/* Two rounds an instruction, on the state as (a, b, e, f) and (c, d, g, h), highest lane first
 * (Gulley et al., "Intel SHA Extensions", 2013). */
__attribute__((target("sha,sse4.1"))) static void sha_blocks_x86(uint32_t state[8],
                                                                 const uint8_t *blocks,
                                                                 size_t count)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    const __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128((const void *)state), 0xb1);
    const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const void *)(state + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(badc, hgfe, 8);
    __m128i cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);
    for (; count != 0; count--, blocks += 64) {
        const __m128i abef_before = abef;
        const __m128i cdgh_before = cdgh;
        __m128i w[4]; /* the last sixteen words of the schedule, in a ring */
        for (int i = 0; i < 16; i++) {
            if (i < 4) {
                w[i] = _mm_loadu_si128((const void *)(blocks + (size_t)16 * (size_t)i));
                w[i] = _mm_shuffle_epi8(w[i], big_endian);
            } else {
                const __m128i last = w[(i - 1) & 3];
                const __m128i middle = _mm_alignr_epi8(last, w[(i - 2) & 3], 4);
                const __m128i sum =
                    _mm_add_epi32(_mm_sha256msg1_epu32(w[i & 3], w[(i - 3) & 3]), middle);
                w[i & 3] = _mm_sha256msg2_epu32(sum, last);
            }
            const __m128i rounds = _mm_loadu_si128((const void *)(sha_rounds + 4 * (size_t)i));
            const __m128i words = _mm_add_epi32(w[i & 3], rounds);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, words);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(words, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    const __m128i abef_turned = _mm_shuffle_epi32(abef, 0x1b);
    const __m128i ghcd = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((void *)state, _mm_blend_epi16(abef_turned, ghcd, 0xf0));
    _mm_storeu_si128((void *)(state + 4), _mm_alignr_epi8(ghcd, abef_turned, 8));
}

/* Older compilers cannot be asked about this extension by name (CPUID leaf 7, EBX bit 29). */
static bool has_sha(void)
{
    unsigned a = 7;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    if (!__builtin_cpu_supports("sse4.1") || !__builtin_cpu_supports("ssse3") ||
        !__builtin_cpu_supports("avx2"))
        return false; /* whoever has SHA has these, and leaf 7 is there */
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return (b & (1U << 29)) != 0;
}
#endif

static bool always(void)
{
    return true;
}

/* The fastest first. */
static const struct {
    dyno_sha256_fn *fn;
    bool (*is_here)(void);
} sha_ways[] = {
#if defined(__x86_64__)
    {sha_blocks_x86, has_sha},
#endif
    {sha_blocks_portable, always},
};

dyno_sha256_fn *dyno_sha256_way(int nth)
{
    for (size_t i = 0; i < sizeof(sha_ways) / sizeof(sha_ways[0]); i++) {
        if (sha_ways[i].is_here() && nth-- == 0)
            return sha_ways[i].fn;
    }
    return NULL;
}

static void sha_blocks(uint32_t state[8], const uint8_t *blocks, size_t count)
{
    static _Atomic(dyno_sha256_fn *) best; /* asking costs more than a block */
    dyno_sha256_fn *fn = atomic_load_explicit(&best, memory_order_relaxed);
    if (fn == NULL) {
        fn = dyno_sha256_way(0);
        atomic_store_explicit(&best, fn, memory_order_relaxed);
    }
    fn(state, blocks, count);
}

void dyno_sha256_init(struct dyno_sha256 *sha)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(sha->state, start, sizeof(start));
    sha->total_bytes = 0;
}

void dyno_sha256_update(struct dyno_sha256 *sha, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    while (bytes != 0) {
        const size_t used = (size_t)(sha->total_bytes % 64);
        if (used == 0 && bytes >= 64) {
            const size_t whole = bytes & ~(size_t)63;
            sha_blocks(sha->state, at, whole / 64);
            sha->total_bytes += whole;
            at += whole;
            bytes -= whole;
            continue;
        }
        const size_t share = bytes < 64 - used ? bytes : 64 - used;
        memcpy(sha->block + used, at, share);
        sha->total_bytes += share;
        at += share;
        bytes -= share;
        if (used + share == 64)
            sha_blocks(sha->state, sha->block, 1);
    }
}

void dyno_sha256_final(struct dyno_sha256 *sha, uint8_t digest_out[32])
{
    static const uint8_t padding[64] = {0x80};
    const uint64_t bits = __builtin_bswap64(sha->total_bytes * 8);
    const size_t used = (size_t)(sha->total_bytes % 64);
    dyno_sha256_update(sha, padding, used < 56 ? 56 - used : 120 - used);
    dyno_sha256_update(sha, &bits, sizeof(bits));
    for (int i = 0; i < 8; i++) {
        const uint32_t word = __builtin_bswap32(sha->state[i]);
        memcpy(digest_out + (size_t)i * 4, &word, 4);
    }
}
