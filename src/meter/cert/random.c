/* random.c - a seeded generator. */
#include "meter/cert/random.h"

#include <math.h>

#include "base/err.h"

static uint64_t rotate_left(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

void dyno_rng_seed(struct dyno_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += 0x9E3779B97F4A7C15U;
        uint64_t z = seed;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
        z = (z ^ z >> 27) * 0x94D049BB133111EBU;
        rng->state[i] = z ^ z >> 31;
    }
}

uint64_t dyno_rng_u64(struct dyno_rng *rng)
{
    uint64_t *s = rng->state;
    const uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    const uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t dyno_rng_below(struct dyno_rng *rng, uint64_t limit)
{
    DYNO_ASSERT(limit > 0);
    /* Numbers under 2^64 mod limit would make the first remainders likelier. */
    const uint64_t refused = (0 - limit) % limit;
    uint64_t value = dyno_rng_u64(rng);
    while (value < refused)
        value = dyno_rng_u64(rng);
    return value % limit;
}

double dyno_rng_unit(struct dyno_rng *rng)
{
    return (double)((dyno_rng_u64(rng) >> 11) + 1) * 0x1p-53;
}

double dyno_rng_exponential(struct dyno_rng *rng, double mean)
{
    return -mean * log(dyno_rng_unit(rng));
}
