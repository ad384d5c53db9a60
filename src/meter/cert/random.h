/* random.h - a seeded generator: the same numbers on every machine.
 *
 * What is derived from a certificate's samples by chance (resamples, arrivals) can be derived again
 * by anybody.  Not for secrets.  One thread at a time.
 */
#ifndef DYNO_METER_CERT_RANDOM_H
#define DYNO_METER_CERT_RANDOM_H

#include <stdint.h>

/* xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021). */
struct dyno_rng {
    uint64_t state[4];
};

/* The state is filled by splitmix64, so every seed is as good as another. */
void dyno_rng_seed(struct dyno_rng *rng, uint64_t seed);
uint64_t dyno_rng_u64(struct dyno_rng *rng);
/* Each of 0 .. limit-1 equally likely; limit > 0. */
uint64_t dyno_rng_below(struct dyno_rng *rng, uint64_t limit);
/* In (0, 1], a multiple of 2^-53. */
double dyno_rng_unit(struct dyno_rng *rng);
/* The time to the next arrival of a Poisson process with this mean time between arrivals. */
double dyno_rng_exponential(struct dyno_rng *rng, double mean);

#endif /* DYNO_METER_CERT_RANDOM_H */
