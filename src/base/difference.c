/* difference.c - how far two lists of numbers are apart. */
#include "base/difference.h"

#include <math.h>

struct dyno_difference dyno_difference_of(const double *want, int64_t want_count, const double *got,
                                          int64_t got_count)
{
    struct dyno_difference diff = {.counts = {want_count, got_count},
                                   .counts_differ = want_count != got_count};
    double low = INFINITY;
    double high = -INFINITY;
    for (int64_t i = 0; !diff.counts_differ && i < want_count; i++) {
        if (isnan(want[i]) && isnan(got[i]))
            continue;
        const double abs = want[i] == got[i] ? 0.0 : fabs(want[i] - got[i]);
        if (!(abs <= diff.max_abs))
            diff.max_abs = isnan(abs) ? INFINITY : abs;
        low = fmin(low, want[i]);
        high = fmax(high, want[i]);
    }
    diff.range = high > low ? high - low : (fabs(high) > 0.0 && isfinite(high) ? fabs(high) : 1.0);
    diff.relative = diff.counts_differ ? INFINITY : diff.max_abs / diff.range;
    return diff;
}
