/* whole.h - what a whole graph takes on its GPU: its steps as a chain, and in branches.
 *
 * Which is faster no step's time tells: launches that overlap share the card, and an edge between
 * branches costs more than one in a chain.  So both are timed.
 */
#ifndef DYNO_TUNE_WHOLE_H
#define DYNO_TUNE_WHOLE_H

#include "engine/engine.h"
#include "tune/cache.h"

struct dyno_whole_times {
    float chain_us, branches_us; /* branches_us 0: the graph has none */
    bool is_cached;
};

/* Worth it only where it is more than the noise of timings. */
static inline bool dyno_whole_prefers_branches(const struct dyno_whole_times *times)
{
    return times->branches_us > 0.0F && times->branches_us < times->chain_us * 0.98F;
}

/* Keys in a timing cache: everything that a step's key covers, of all steps, and who reads whose
 * results. */
struct dyno_whole_keys {
    struct dyno_tune_key chain, branches;
};
DYNO_NODISCARD enum dyno_status dyno_whole_keys_make(const struct dyno_plan *plan,
                                                     const struct dyno_target *target,
                                                     struct dyno_whole_keys *keys_out,
                                                     struct dyno_err *err);
bool dyno_whole_find(const struct dyno_tune_cache *cache, const struct dyno_whole_keys *keys,
                     struct dyno_whole_times *times_out);
/* False when out of memory. */
bool dyno_whole_put(struct dyno_tune_cache *cache, const struct dyno_whole_keys *keys,
                    const struct dyno_whole_times *times);

/* An engine in a context of its own, to be run again and again at the profile's optimum, on zeros;
 * inputs and outputs stay on the GPU.  One thread.  The engine outlives it, and nobody else makes
 * contexts of it meanwhile. */
struct dyno_whole_run;
/* E_LIMIT: it has too many inputs or outputs for that.  in_branches: whatever the flag of its plan
 * says, which is left as it was. */
DYNO_NODISCARD enum dyno_status dyno_whole_run_open(struct dyno_engine *engine, bool in_branches,
                                                    struct dyno_whole_run **run_out,
                                                    struct dyno_err *err);
void dyno_whole_run_close(struct dyno_whole_run *run); /* accepts NULL */

/* Do steps of it overlap at these shapes? */
bool dyno_whole_run_has_branches(const struct dyno_whole_run *run);

struct dyno_whole_effort {
    int runs_before;        /* that do not count */
    int runs_min, runs_max; /* of 1..DYNO_WHOLE_RUNS_MAX */
    double us;              /* no more runs than runs_min after that long on the GPU */
};
#define DYNO_WHOLE_RUNS_MAX 100

/* The median time of so many runs on the GPU, microseconds.  The first time a few come before them:
 * in those the graph is captured. */
DYNO_NODISCARD enum dyno_status dyno_whole_run_time(struct dyno_whole_run *run,
                                                    const struct dyno_whole_effort *effort,
                                                    double *us_out, struct dyno_err *err);

/* Both ways of an engine that nobody else has yet.  Leaves the flag of its plan as it was. */
DYNO_NODISCARD enum dyno_status dyno_whole_time(struct dyno_engine *engine,
                                                struct dyno_whole_times *times_out,
                                                struct dyno_err *err);

#endif /* DYNO_TUNE_WHOLE_H */
