/* retime.c - alternatives for a whole graph. */
#include "tune/retime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* How much longer alone a candidate may take and still be tried: a timing repeats within two per
 * cent, so most of this is for what a timing alone does not see.  A launch begins and ends in a
 * microsecond or two, of which a neighbour may hide some.  Assumed, not measured. */
#define NEAR_SHARE 0.15F
#define NEAR_US    1.0F
#define A_GROUP    3 /* rivals of a group that are tried */

/* What an event of the GPU tells time by (CUDA's documentation: about half a microsecond), and the
 * least share that counts.  Two engines of one plan lie at other addresses; what that alone makes
 * of a time no repetition shows.  Assumed, not measured. */
#define LEAST_US    0.5
#define LEAST_SHARE 0.005

#define RUNS_A_ROUND 16 /* about, where a run is long */

#define LEFT_US    1e-3F /* what the cache makes of no time at all */
#define SAVES_TEXT "retime_saves"
#define STOPS_TEXT "retime_stops"

struct dyno_retime_bounds dyno_retime_bounds(int level, double seconds)
{
    static const struct dyno_retime_bounds bounds[] = {{.trials = 0},
                                                       {.trials = 12},
                                                       {.trials = 12},
                                                       {.trials = 12},
                                                       {.trials = 12, .seconds = 8.0},
                                                       {.trials = 32, .seconds = 30.0}};
    const int last = (int)DYNO_COUNT(bounds) - 1;
    struct dyno_retime_bounds found = bounds[level < 0 ? 0 : level < last ? level : last];
    if (seconds != 0.0)
        found.seconds = seconds;
    return found.seconds > 0.0 ? found : bounds[0];
}

bool dyno_retime_has_time(const struct dyno_retime_bounds *bounds, double spent_s,
                          double preparing_s, double run_us)
{
    const double running_s = run_us * 1e-6 * RUNS_A_ROUND * DYNO_RETIME_ROUNDS;
    return spent_s + preparing_s + running_s <= bounds->seconds;
}

/* --- which --- */

static float reach_us(float chosen_us)
{
    return fmaxf(chosen_us * NEAR_SHARE, NEAR_US);
}

/* What it could save at most, were all the reach of its favour. */
static float promise_us(const struct dyno_rival *rival)
{
    return (rival->chosen_us + reach_us(rival->chosen_us) - rival->us) * (float)rival->step_count;
}

static int by_promise(const void *a, const void *b)
{
    const struct dyno_rival *x = a;
    const struct dyno_rival *y = b;
    const float x_us = promise_us(x);
    const float y_us = promise_us(y);
    if (x_us != y_us)
        return x_us > y_us ? -1 : 1;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (x->key.hi != y->key.hi)
        return x->key.hi < y->key.hi ? -1 : 1;
    return x->key.lo < y->key.lo ? -1 : x->key.lo > y->key.lo;
}

bool dyno_retime_is_near(float us, float chosen_us)
{
    return us <= chosen_us + reach_us(chosen_us);
}

int dyno_retime_order(struct dyno_rival *rivals, int count, const struct dyno_retime_bounds *bounds)
{
    int kept = 0;
    qsort(rivals, (size_t)count, sizeof(*rivals), by_promise);
    for (int i = 0; i < count && kept < bounds->trials; i++) {
        const struct dyno_rival rival = rivals[i];
        int before = 0;
        for (int k = 0; k < kept; k++)
            before += rivals[k].group == rival.group;
        if (dyno_retime_is_near(rival.us, rival.chosen_us) && before < A_GROUP)
            rivals[kept++] = rival;
    }
    return kept;
}

/* --- what counts --- */

enum dyno_retime_verdict dyno_retime_judge(const struct dyno_retime_round *rounds, int count,
                                           double *saves_us_out)
{
    /* Student's t, 0.99, by degrees of freedom. */
    static const double t[DYNO_RETIME_ROUNDS] = {0.0, 31.821, 6.965, 4.541, 3.747, 3.365};
    double chosen_us = 0.0, mean = 0.0, squares = 0.0;
    *saves_us_out = 0.0;
    if (count < 2)
        return DYNO_RETIME_AGAIN;
    for (int i = 0; i < count; i++) {
        const struct dyno_retime_round *round = &rounds[i];
        const double chosen = (round->chosen_us[0] + round->chosen_us[1]) / 2.0;
        const double saves = chosen - (round->other_us[0] + round->other_us[1]) / 2.0;
        const double off = saves - mean;
        mean += off / (i + 1);
        squares += off * (saves - mean);
        chosen_us += chosen / count;
    }
    const double noise_us = t[count - 1] * sqrt(squares / (count - 1) / count);
    const double least_us = fmax(LEAST_US, chosen_us * LEAST_SHARE);
    *saves_us_out = mean;
    if (!(mean + noise_us >= least_us))
        return DYNO_RETIME_LEAVE;
    if (count < DYNO_RETIME_ROUNDS)
        return DYNO_RETIME_AGAIN;
    return mean - noise_us > 0.0 && mean >= least_us ? DYNO_RETIME_TAKE : DYNO_RETIME_LEAVE;
}

/* --- what was decided before --- */

/* `state`, and what comes to it. */
static struct dyno_tune_key add(struct dyno_tune_key state, const char *what, uint64_t number,
                                struct dyno_tune_key key)
{
    const uint64_t parts[] = {
        dyno_hash64(1, what, strlen(what)), state.hi, state.lo, number, key.hi, key.lo};
    return (struct dyno_tune_key){.hi = dyno_hash64(1, parts, sizeof(parts)),
                                  .lo = dyno_hash64(2, parts, sizeof(parts))};
}

struct dyno_tune_key dyno_retime_start(struct dyno_tune_key plan, bool in_branches)
{
    return add(plan, "retime 1", in_branches, (struct dyno_tune_key){0});
}

struct dyno_tune_key dyno_retime_taken(struct dyno_tune_key state, const struct dyno_rival *rival)
{
    return add(state, "taken", 0, rival->key);
}

static struct dyno_tune_key trial_of(struct dyno_tune_key state, const struct dyno_rival *rival)
{
    return add(state, "tried", 0, rival->key);
}

static struct dyno_tune_key stop_of(struct dyno_tune_key state, const struct dyno_rival *rival,
                                    const struct dyno_retime_bounds *bounds)
{
    uint64_t seconds = 0;
    memcpy(&seconds, &bounds->seconds, sizeof(seconds));
    return add(state, "stopped", seconds + (uint64_t)bounds->trials, rival->key);
}

static bool find_saves(const struct dyno_tune_cache *cache, struct dyno_tune_key key,
                       float *saves_us_out)
{
    const bool found = dyno_tune_cache_find(cache, key, saves_us_out);
    if (*saves_us_out <= LEFT_US)
        *saves_us_out = 0.0F;
    return found;
}

static bool put_saves(struct dyno_tune_cache *cache, struct dyno_tune_key key, float saves_us)
{
    return dyno_tune_cache_put(cache, key, saves_us > LEFT_US ? saves_us : LEFT_US, SAVES_TEXT);
}

bool dyno_retime_find(const struct dyno_tune_cache *cache, struct dyno_tune_key state,
                      const struct dyno_rival *rival, float *saves_us_out)
{
    return find_saves(cache, trial_of(state, rival), saves_us_out);
}

bool dyno_retime_stops(const struct dyno_tune_cache *cache, struct dyno_tune_key state,
                       const struct dyno_rival *rival, const struct dyno_retime_bounds *bounds)
{
    float ignored = 0.0F;
    return dyno_tune_cache_find(cache, stop_of(state, rival, bounds), &ignored);
}

bool dyno_retime_put(struct dyno_tune_cache *cache, struct dyno_tune_key state,
                     const struct dyno_rival *rival, float saves_us)
{
    return put_saves(cache, trial_of(state, rival), saves_us);
}

bool dyno_retime_put_stop(struct dyno_tune_cache *cache, struct dyno_tune_key state,
                          const struct dyno_rival *rival, const struct dyno_retime_bounds *bounds)
{
    return dyno_tune_cache_put(cache, stop_of(state, rival, bounds), LEFT_US, STOPS_TEXT);
}

static struct dyno_tune_key pair_of(struct dyno_tune_key chosen, struct dyno_tune_key other)
{
    return add(chosen, "pair", 0, other);
}

bool dyno_retime_find_pair(const struct dyno_tune_cache *cache, struct dyno_tune_key chosen,
                           struct dyno_tune_key other, float *saves_us_out)
{
    return find_saves(cache, pair_of(chosen, other), saves_us_out);
}

bool dyno_retime_put_pair(struct dyno_tune_cache *cache, struct dyno_tune_key chosen,
                          struct dyno_tune_key other, float saves_us)
{
    return put_saves(cache, pair_of(chosen, other), saves_us);
}
