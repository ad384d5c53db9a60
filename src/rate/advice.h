/* advice.h - when a model wastes device time, and how much money that is.
 *
 * What device time cost is P, the list price of a device-hour, times its hours.  Of it a speed-up
 * from `now` to `could` would have saved 1 - now/could; with `now` 1, the unoptimised execution,
 * that is P * hours * (1 - 1/s).  Both are intervals.  What is claimed takes the ends that claim
 * least; the other ends make the bound above it.
 *
 * Advice is given window by window.  It stands after three in a row whose waste is worth a word,
 * and falls after three in a row that are calm; windows in between end either row and change
 * nothing else.  To count as waste a speed-up must be under 1.2, to be calm it must be 1.3, or the
 * waste under half of what is worth a word: so nothing near an edge makes it come and go.
 *
 * Pure functions; any thread.  Money is exact: an amount is cut to the nano-unit, once.
 */
#ifndef DYNO_RATE_ADVICE_H
#define DYNO_RATE_ADVICE_H

#include "rate/money.h"

#define DYNO_ADVICE_ROW      3U
#define DYNO_ADVICE_SLOW_PPM INT64_C(1200000) /* an upper bound under it is waste */
#define DYNO_ADVICE_CALM_PPM INT64_C(1300000) /* one of at least this is none */

/* Over the unoptimised execution, parts per million, both ends; {0, 0}: nobody knows. */
struct dyno_speed {
    int64_t low_ppm, high_ppm;
};
#define DYNO_SPEED_UNOPTIMISED ((struct dyno_speed){DYNO_PPM, DYNO_PPM})

static inline bool dyno_speed_is_known(const struct dyno_speed *speed)
{
    return speed->high_ppm > 0;
}

/* Is its upper bound under the limit?  One that nobody knows is. */
bool dyno_speed_is_under(const struct dyno_speed *speed, int64_t limit_ppm);

/* Time of devices that cost the same. */
struct dyno_advice_time {
    dyno_u128 ns;
    uint64_t cores;      /* ns of a ns of a device: its cores where time is told by core, else 1 */
    int64_t device_hour; /* P, nano-units */
};

struct dyno_waste {
    dyno_i128 cost_nano; /* of all the time */
    dyno_i128 nano;      /* claimed; where `now` is not known as if it were unoptimised */
    dyno_i128 low_nano, high_nano;
};

/* Add what this time wasted.  Where nobody knows what it could be the waste lies between 0 and all
 * that it cost, and that is what the threshold is held against.  E_LIMIT: past all reason. */
enum dyno_status dyno_waste_add(struct dyno_waste *waste, const struct dyno_advice_time *time,
                                const struct dyno_speed *now, const struct dyno_speed *could,
                                struct dyno_err *err);

/* --- the rule --- */

/* One window of a model. */
struct dyno_advice_window {
    dyno_i128 waste_nano; /* of time at less than DYNO_ADVICE_SLOW_PPM */
    dyno_i128 doubt_nano; /* of time at less than DYNO_ADVICE_CALM_PPM, that before included */
    bool is_decided; /* a sequential test has suspended its certificate: no row is waited for */
};

struct dyno_advice {
    bool stands;
    uint32_t waste_row, calm_row; /* windows so far */
    uint32_t count;               /* windows seen */
    uint32_t since;               /* stands: number of the first window of its row, from 0 */
};

/* The next window; a zeroed advice has seen none.  `least` is what is worth a word, nano-units a
 * window, at least 0: with 0 every waste is. */
void dyno_advice_step(struct dyno_advice *advice, const struct dyno_advice_window *window,
                      int64_t least);

#endif /* DYNO_RATE_ADVICE_H */
