/* hash.c - FNV-1a, a table hash. */
#include "base/hash.h"

#include <string.h>

uint32_t dyno_fnv1a32(const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint32_t hash = 0x811c9dc5U;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ at[i]) * 0x01000193U;
    return hash;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ const unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t dyno_hash64(uint64_t seed, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint64_t hash = mix(seed ^ 0x9e3779b97f4a7c15ULL, bytes ^ 0xe7037ed1a0b428dbULL);
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        hash = mix(hash ^ word, 0xa0761d6478bd642fULL) + word;
    }
    uint64_t tail = 0;
    if (bytes != 0)
        memcpy(&tail, at, bytes);
    return mix(hash ^ tail ^ 0x8ebc6af09c88c6e3ULL, 0x589965cc75374cc3ULL ^ (hash >> 32));
}
