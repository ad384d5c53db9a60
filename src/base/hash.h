/* hash.h - checksums and hashes.  All are pure functions of bytes, the same on every machine. */
#ifndef DYNO_BASE_HASH_H
#define DYNO_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli), as iSCSI and ext4 have it.  Start with crc 0; feed the result back in to
 * continue: crc32c(crc32c(0, a), b) is crc32c(0, ab). */
uint32_t dyno_crc32c(uint32_t crc, const void *data, size_t bytes);

/* The portable twin of the above. */
uint32_t dyno_crc32c_portable(uint32_t crc, const void *data, size_t bytes);

/* The n-th way of computing it that this machine has, the fastest (and used) first; NULL: no more.
 */
typedef uint32_t dyno_crc32c_fn(uint32_t crc, const void *data, size_t bytes);
dyno_crc32c_fn *dyno_crc32c_way(int nth);

/* SHA-256 (FIPS 180-4). */
struct dyno_sha256 {
    uint32_t state[8];
    uint64_t total_bytes;
    uint8_t block[64];
};
void dyno_sha256_init(struct dyno_sha256 *sha);
void dyno_sha256_update(struct dyno_sha256 *sha, const void *data, size_t bytes);
void dyno_sha256_final(struct dyno_sha256 *sha, uint8_t digest_out[32]);

/* Of two messages of the same length, at most DYNO_SHA256_PAIR_MAX: what one waits for, the other
 * computes. */
#define DYNO_SHA256_PAIR_MAX 183
void dyno_sha256_pair(const void *a, const void *b, size_t bytes, uint8_t a_out[32],
                      uint8_t b_out[32]);

/* The n-th way of adding `count` blocks of 64 bytes to a state that this machine has, the fastest
 * (and used) first; NULL: no more. */
typedef void dyno_sha256_fn(uint32_t state[8], const uint8_t *blocks, size_t count);
dyno_sha256_fn *dyno_sha256_way(int nth);
/* The same of two states at once. */
typedef void dyno_sha256_pair_fn(uint32_t states[2][8], const uint8_t *const blocks[2],
                                 size_t count);
dyno_sha256_pair_fn *dyno_sha256_pair_way(int nth);

/* FNV-1a, 32 bits: stable identifiers made from names. */
uint32_t dyno_fnv1a32(const void *data, size_t bytes);

/* A quick 64-bit hash for tables and for content addressing inside one process or cache; not
 * against an adversary. */
uint64_t dyno_hash64(uint64_t seed, const void *data, size_t bytes);

#endif /* DYNO_BASE_HASH_H */
