/* clock.h - does a GPU keep its clock while candidates are timed on it?
 *
 * A card that has been idle, is hot or is out of power runs slower for a while; what was timed
 * meanwhile would lose against what was timed before.  So its clock is looked at after each timing
 * (NVML), and a timing during which it fell is repeated once.  Where it stays down, that is its
 * clock from then on.  A card that tells none is timed without.
 */
#ifndef DYNO_TUNE_CLOCK_H
#define DYNO_TUNE_CLOCK_H

#include "backend/cuda/device.h"

struct dyno_tune_clock {
    double wanted_mhz;          /* what it could do when it was looked at last */
    double least_mhz, most_mhz; /* seen at the timings that count; 0: it tells nothing */
    uint32_t repeated;          /* timings */
};

/* At the clock that the driver calls the card's. */
void dyno_tune_clock_init(struct dyno_tune_clock *clock, const struct dyno_cuda *cuda);

/* After a timing.  True: it fell, and the timing should be repeated; not after a repetition. */
bool dyno_tune_clock_fell(struct dyno_tune_clock *clock, const struct dyno_cuda *cuda,
                          bool is_repetition);

#endif /* DYNO_TUNE_CLOCK_H */
