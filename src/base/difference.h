/* difference.h - how far two lists of numbers are apart, as a share of the range of the first. */
#ifndef DYNO_BASE_DIFFERENCE_H
#define DYNO_BASE_DIFFERENCE_H

#include <stdbool.h>
#include <stdint.h>

struct dyno_difference {
    double max_abs; /* infinite where a number meets none */
    double range;   /* greatest less least of the first list; its only value, or 1 */
    double relative;
    int64_t counts[2];
    bool counts_differ; /* then relative is infinite */
};

/* want[want_count] is what the range is of; NaN equals NaN. */
struct dyno_difference dyno_difference_of(const double *want, int64_t want_count, const double *got,
                                          int64_t got_count);

#endif /* DYNO_BASE_DIFFERENCE_H */
