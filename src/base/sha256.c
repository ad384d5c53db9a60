/* sha256.c - SHA-256. */
#include <string.h>

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
            sha_block(sha->state, at);
            sha->total_bytes += 64;
            at += 64;
            bytes -= 64;
            continue;
        }
        const size_t share = bytes < 64 - used ? bytes : 64 - used;
        memcpy(sha->block + used, at, share);
        sha->total_bytes += share;
        at += share;
        bytes -= share;
        if (used + share == 64)
            sha_block(sha->state, sha->block);
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
