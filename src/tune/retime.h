/* retime.h - candidates that were nearly as fast as the chosen one are tried in runs of the whole
 * graph: which, in which order, for how long, and what counts as faster.
 *
 * A step is timed alone, launched back to back.  In a network its neighbours are other launches:
 * what they leave in the cache, how the end of one and the start of the next overlap, what becomes
 * of a view beside it, no timing alone tells.  A run of the whole graph tells all of it.
 *
 * Pure functions: the runs are `build`'s, so the same timings give the same decision.
 */
#ifndef DYNO_TUNE_RETIME_H
#define DYNO_TUNE_RETIME_H

#include "plan/plan.h"
#include "tune/cache.h"

#define DYNO_RETIME_TRIALS_MAX 32

struct dyno_retime_bounds {
    int trials;     /* at most so many alternatives; 0: none */
    double seconds; /* for all of them; what a trial will take is guessed from those before */
};
/* seconds: what the user gives for it; 0: what the level does, nothing below 4; below 0: nothing.
 */
struct dyno_retime_bounds dyno_retime_bounds(int level, double seconds);

/* Is there time for another trial: with so much spent, the longest preparation of a trial so far,
 * and a run of the whole graph that takes run_us? */
bool dyno_retime_has_time(const struct dyno_retime_bounds *bounds, double spent_s,
                          double preparing_s, double run_us);

/* --- which --- */

/* A candidate in the place of the chosen one, in all steps that are the same. */
struct dyno_rival {
    const uint32_t *steps; /* that change together, of the plan that was tuned */
    uint32_t step_count;
    uint32_t group;           /* the first of them */
    struct dyno_tune_key key; /* what it is: its timing's, with that of the chosen one */
    struct dyno_tactic tactic;
    struct dyno_tactic chosen; /* by the timings alone */
    float us, chosen_us;       /* alone */
};

/* By their times alone. */
bool dyno_retime_is_near(float us, float chosen_us);

/* Those that are near enough to be tried, the most promising first: where most time is at stake,
 * and the least separates them; a few of each group, bounds->trials in all.  Into the first of
 * `rivals`, whose order may be any; their number. */
int dyno_retime_order(struct dyno_rival *rivals, int count,
                      const struct dyno_retime_bounds *bounds);

/* --- what counts --- */

/* A run with what is chosen, two with the other, one with what is chosen: a clock that drifts
 * slows both alike.  Microseconds. */
struct dyno_retime_round {
    double chosen_us[2], other_us[2];
};
#define DYNO_RETIME_ROUNDS 6

enum dyno_retime_verdict { DYNO_RETIME_AGAIN, DYNO_RETIME_TAKE, DYNO_RETIME_LEAVE };

/* After so many rounds: another one, or what is decided.  The other is taken after all rounds, if
 * what it saves is beyond their noise (one-sided, 99 %) and beyond what events can tell; it is left
 * as soon as that is out of reach.  *saves_us_out: on average. */
enum dyno_retime_verdict dyno_retime_judge(const struct dyno_retime_round *rounds, int count,
                                           double *saves_us_out);

/* --- what was decided before --- */

/* Which plan a search has come to: the finished plan that it began with, and what was taken since.
 */
struct dyno_tune_key dyno_retime_start(struct dyno_tune_key plan, bool in_branches);
struct dyno_tune_key dyno_retime_taken(struct dyno_tune_key state, const struct dyno_rival *rival);

/* A trial in the timing cache: the microseconds that it saves a run, 0 where it is left.  A search
 * that stopped before this rival for want of time, with these bounds, stops there again. */
bool dyno_retime_find(const struct dyno_tune_cache *cache, struct dyno_tune_key state,
                      const struct dyno_rival *rival, float *saves_us_out);
bool dyno_retime_stops(const struct dyno_tune_cache *cache, struct dyno_tune_key state,
                       const struct dyno_rival *rival, const struct dyno_retime_bounds *bounds);
/* False when out of memory. */
bool dyno_retime_put(struct dyno_tune_cache *cache, struct dyno_tune_key state,
                     const struct dyno_rival *rival, float saves_us);
bool dyno_retime_put_stop(struct dyno_tune_cache *cache, struct dyno_tune_key state,
                          const struct dyno_rival *rival, const struct dyno_retime_bounds *bounds);

/* Of two finished plans of one graph, states as dyno_retime_start has them: what a run of the other
 * saves, 0 where it is left. */
bool dyno_retime_find_pair(const struct dyno_tune_cache *cache, struct dyno_tune_key chosen,
                           struct dyno_tune_key other, float *saves_us_out);
/* False when out of memory. */
bool dyno_retime_put_pair(struct dyno_tune_cache *cache, struct dyno_tune_key chosen,
                          struct dyno_tune_key other, float saves_us);

#endif /* DYNO_TUNE_RETIME_H */
