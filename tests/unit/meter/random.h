/* random.h - numbers by chance, the same in each run (splitmix64, Steele et al. 2014). */
#ifndef DYNO_TESTS_METER_RANDOM_H
#define DYNO_TESTS_METER_RANDOM_H

#include <stdint.h>

static uint64_t random_state = 1;

static inline uint64_t random_u64(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* Below `bound`; 0 when that is 0. */
static inline uint64_t random_below(uint64_t bound)
{
    return bound == 0 ? 0 : random_u64() % bound;
}

/* Of any magnitude, up to `bits` bits. */
static inline uint64_t random_bits(int bits)
{
    const int width = (int)random_below((uint64_t)bits + 1);
    return width == 0 ? 0 : random_u64() >> (64 - width);
}

#endif /* DYNO_TESTS_METER_RANDOM_H */
