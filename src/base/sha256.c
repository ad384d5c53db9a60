/* sha256.c - SHA-256, by the processor's instructions where it has them. */
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/err.h"
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

static void sha_pair_portable(uint32_t states[2][8], const uint8_t *const blocks[2], size_t count)
{
    for (int k = 0; k < 2; k++)
        sha_blocks_portable(states[k], blocks[k], count);
}

#if defined(__x86_64__)
#define SHA_TARGET __attribute__((target("sha,sse4.1")))

/* (a, b, e, f) and (c, d, g, h), highest lane first. */
struct sha_lanes {
    __m128i abef, cdgh;
};

SHA_TARGET static inline struct sha_lanes load_lanes(const uint32_t state[8])
{
    const __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128((const void *)state), 0xb1);
    const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const void *)(state + 4)), 0x1b);
    return (struct sha_lanes){_mm_alignr_epi8(badc, hgfe, 8), _mm_blend_epi16(hgfe, badc, 0xf0)};
}

SHA_TARGET static inline void store_lanes(struct sha_lanes lanes, uint32_t state[8])
{
    const __m128i abef = _mm_shuffle_epi32(lanes.abef, 0x1b);
    const __m128i ghcd = _mm_shuffle_epi32(lanes.cdgh, 0xb1);
    _mm_storeu_si128((void *)state, _mm_blend_epi16(abef, ghcd, 0xf0));
    _mm_storeu_si128((void *)(state + 4), _mm_alignr_epi8(ghcd, abef, 8));
}

/* Four words of the schedule, w[j], and their rounds, from `round` on; w: the last sixteen words,
 * in a ring.  Two rounds an instruction (Gulley et al., "Intel SHA Extensions", 2013).  j must be a
 * constant wherever this ends up, or the ring lives in memory. */
SHA_TARGET static inline void rounds_of(struct sha_lanes *lanes, __m128i w, int round)
{
    const __m128i words =
        _mm_add_epi32(w, _mm_loadu_si128((const void *)(sha_rounds + (size_t)round)));
    lanes->cdgh = _mm_sha256rnds2_epu32(lanes->cdgh, lanes->abef, words);
    lanes->abef = _mm_sha256rnds2_epu32(lanes->abef, lanes->cdgh, _mm_shuffle_epi32(words, 0x0e));
}

SHA_TARGET static inline void first_rounds(struct sha_lanes *lanes, __m128i w[4],
                                           const uint8_t *block, int j)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    w[j] = _mm_loadu_si128((const void *)(block + (size_t)16 * (size_t)j));
    w[j] = _mm_shuffle_epi8(w[j], big_endian);
    rounds_of(lanes, w[j], 4 * j);
}

SHA_TARGET static inline void next_rounds(struct sha_lanes *lanes, __m128i w[4], int round, int j)
{
    const __m128i last = w[(j + 3) & 3];
    const __m128i middle = _mm_alignr_epi8(last, w[(j + 2) & 3], 4);
    const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[j], w[(j + 1) & 3]), middle);
    w[j] = _mm_sha256msg2_epu32(sum, last);
    rounds_of(lanes, w[j], round + 4 * j);
}

SHA_TARGET static inline void add_lanes(struct sha_lanes *lanes, struct sha_lanes before)
{
    lanes->abef = _mm_add_epi32(lanes->abef, before.abef);
    lanes->cdgh = _mm_add_epi32(lanes->cdgh, before.cdgh);
}

SHA_TARGET static void sha_blocks_x86(uint32_t state[8], const uint8_t *blocks, size_t count)
{
    struct sha_lanes lanes = load_lanes(state);
    for (; count != 0; count--, blocks += 64) {
        const struct sha_lanes before = lanes;
        __m128i w[4];
        first_rounds(&lanes, w, blocks, 0);
        first_rounds(&lanes, w, blocks, 1);
        first_rounds(&lanes, w, blocks, 2);
        first_rounds(&lanes, w, blocks, 3);
        for (int round = 16; round < 64; round += 16) {
            next_rounds(&lanes, w, round, 0);
            next_rounds(&lanes, w, round, 1);
            next_rounds(&lanes, w, round, 2);
            next_rounds(&lanes, w, round, 3);
        }
        add_lanes(&lanes, before);
    }
    store_lanes(lanes, state);
}

SHA_TARGET static void sha_pair_x86(uint32_t states[2][8], const uint8_t *const blocks[2],
                                    size_t count)
{
    struct sha_lanes a = load_lanes(states[0]);
    struct sha_lanes b = load_lanes(states[1]);
    for (size_t at = 0; at < count * 64; at += 64) {
        const struct sha_lanes a_before = a;
        const struct sha_lanes b_before = b;
        __m128i a_words[4];
        __m128i b_words[4];
        first_rounds(&a, a_words, blocks[0] + at, 0);
        first_rounds(&b, b_words, blocks[1] + at, 0);
        first_rounds(&a, a_words, blocks[0] + at, 1);
        first_rounds(&b, b_words, blocks[1] + at, 1);
        first_rounds(&a, a_words, blocks[0] + at, 2);
        first_rounds(&b, b_words, blocks[1] + at, 2);
        first_rounds(&a, a_words, blocks[0] + at, 3);
        first_rounds(&b, b_words, blocks[1] + at, 3);
        for (int round = 16; round < 64; round += 16) {
            next_rounds(&a, a_words, round, 0);
            next_rounds(&b, b_words, round, 0);
            next_rounds(&a, a_words, round, 1);
            next_rounds(&b, b_words, round, 1);
            next_rounds(&a, a_words, round, 2);
            next_rounds(&b, b_words, round, 2);
            next_rounds(&a, a_words, round, 3);
            next_rounds(&b, b_words, round, 3);
        }
        add_lanes(&a, a_before);
        add_lanes(&b, b_before);
    }
    store_lanes(a, states[0]);
    store_lanes(b, states[1]);
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
    dyno_sha256_pair_fn *pair;
    bool (*is_here)(void);
} sha_ways[] = {
#if defined(__x86_64__)
    {sha_blocks_x86, sha_pair_x86, has_sha},
#endif
    {sha_blocks_portable, sha_pair_portable, always},
};

/* Of those that are here; -1: there are no more. */
static int nth_way(int nth)
{
    for (int i = 0; i < (int)(sizeof(sha_ways) / sizeof(sha_ways[0])); i++)
        if (sha_ways[i].is_here() && nth-- == 0)
            return i;
    return -1;
}

dyno_sha256_fn *dyno_sha256_way(int nth)
{
    const int way = nth_way(nth);
    return way < 0 ? NULL : sha_ways[way].fn;
}

dyno_sha256_pair_fn *dyno_sha256_pair_way(int nth)
{
    const int way = nth_way(nth);
    return way < 0 ? NULL : sha_ways[way].pair;
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

static const uint32_t sha_start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

void dyno_sha256_init(struct dyno_sha256 *sha)
{
    memcpy(sha->state, sha_start, sizeof(sha_start));
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

static void put_state(const uint32_t state[8], uint8_t digest_out[32])
{
    for (int i = 0; i < 8; i++) {
        const uint32_t word = __builtin_bswap32(state[i]);
        memcpy(digest_out + (size_t)i * 4, &word, 4);
    }
}

void dyno_sha256_final(struct dyno_sha256 *sha, uint8_t digest_out[32])
{
    static const uint8_t padding[64] = {0x80};
    const uint64_t bits = __builtin_bswap64(sha->total_bytes * 8);
    const size_t used = (size_t)(sha->total_bytes % 64);
    dyno_sha256_update(sha, padding, used < 56 ? 56 - used : 120 - used);
    dyno_sha256_update(sha, &bits, sizeof(bits));
    put_state(sha->state, digest_out);
}

/* The message, padded to whole blocks; returns how many. */
static size_t pad(const void *data, size_t bytes, uint8_t out[DYNO_SHA256_PAIR_MAX + 9])
{
    const size_t count = (bytes + 9 + 63) / 64;
    const uint64_t bits = __builtin_bswap64((uint64_t)bytes * 8);
    memcpy(out, data, bytes);
    out[bytes] = 0x80;
    memset(out + bytes + 1, 0, count * 64 - bytes - 9);
    memcpy(out + count * 64 - 8, &bits, 8);
    return count;
}

void dyno_sha256_pair(const void *a, const void *b, size_t bytes, uint8_t a_out[32],
                      uint8_t b_out[32])
{
    static _Atomic(dyno_sha256_pair_fn *) best;
    uint8_t padded[2][DYNO_SHA256_PAIR_MAX + 9];
    uint32_t states[2][8];
    DYNO_ASSERT(bytes <= DYNO_SHA256_PAIR_MAX);
    dyno_sha256_pair_fn *fn = atomic_load_explicit(&best, memory_order_relaxed);
    if (fn == NULL) {
        fn = dyno_sha256_pair_way(0);
        atomic_store_explicit(&best, fn, memory_order_relaxed);
    }
    memcpy(states[0], sha_start, sizeof(sha_start));
    memcpy(states[1], sha_start, sizeof(sha_start));
    (void)pad(a, bytes, padded[0]);
    const size_t count = pad(b, bytes, padded[1]);
    fn(states, (const uint8_t *const[2]){padded[0], padded[1]}, count);
    put_state(states[0], a_out);
    put_state(states[1], b_out);
}
