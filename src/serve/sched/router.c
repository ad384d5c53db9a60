/* router.c - candidates judged by accuracy, cost and predicted end. */
#include "serve/sched/router.h"

#include <string.h>

#include "serve/model/repository.h"
#include "serve/sched/form.h"

struct candidate {
    const struct dyno_known *known;
    int idx;
    uint64_t run_ns; /* 0: not known yet */
    uint64_t end_ns; /* predicted */
};

struct candidates {
    struct candidate rows[DYNO_REPO_VARIANTS_MAX];
    size_t count;
};

/* Known and fit to serve this request.  What is not loaded has no inputs to judge by. */
static bool suits(const struct dyno_route_ask *ask, const struct dyno_known *known,
                  struct candidate *candidate)
{
    struct dyno_cost_key key;
    struct dyno_variant *variant = known->variant;
    if (ask->variant != NULL && strcmp(known->name, ask->variant) != 0)
        return false;
    if (known->accuracy < ask->row->accuracy)
        return false;
    if (variant == NULL)
        return true;
    if (dyno_variant_arrange(variant, ask->infer, ask->arrays, NULL) != DYNO_OK)
        return false;
    const int64_t rows = dyno_variant_rows(variant, ask->arrays, &key);
    candidate->run_ns = dyno_variant_predict(variant, &key, rows);
    if (ask->deadline_ns != 0)
        candidate->end_ns =
            dyno_sched_predict_end(ask->sched, ask->class_idx, ask->tenant, variant, &key, rows);
    return true;
}

static void collect(const struct dyno_route_ask *ask, const struct dyno_known *known, size_t count,
                    struct candidates *candidates)
{
    candidates->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct candidate *row = &candidates->rows[candidates->count];
        *row = (struct candidate){.known = &known[i], .idx = (int)i};
        candidates->count += suits(ask, &known[i], row);
    }
}

/* Is `a` what the class would rather have, time left aside?  One whose cost is not known yet counts
 * as cheap: it was made to be. */
static bool is_better(const struct dyno_class *row, const struct candidate *a,
                      const struct candidate *b)
{
    const double more = a->known->accuracy - b->known->accuracy;
    if (row->wants_accurate && (more > 0.0 || more < 0.0))
        return more > 0.0;
    if (a->run_ns != b->run_ns)
        return a->run_ns < b->run_ns;
    return more > 0.0;
}

static bool is_late(const struct dyno_route_ask *ask, const struct candidate *candidate)
{
    return ask->deadline_ns != 0 && candidate->end_ns > ask->deadline_ns;
}

/* The best of those that are ready, and in time when `in_time`. */
static const struct candidate *best_of(const struct dyno_route_ask *ask,
                                       const struct candidates *candidates, bool only_ready,
                                       bool in_time)
{
    const struct candidate *best = NULL;
    for (size_t i = 0; i < candidates->count; i++) {
        const struct candidate *at = &candidates->rows[i];
        if ((only_ready && at->known->variant == NULL) || (in_time && is_late(ask, at)))
            continue;
        if (best == NULL || is_better(ask->row, at, best))
            best = at;
    }
    return best;
}

static const struct candidate *quickest_of(const struct candidates *candidates)
{
    const struct candidate *best = NULL;
    for (size_t i = 0; i < candidates->count; i++) {
        const struct candidate *at = &candidates->rows[i];
        if (at->known->variant != NULL && (best == NULL || at->end_ns < best->end_ns))
            best = at;
    }
    return best;
}

/* None of them takes the request.  One that would but for its inputs is taken, so that the sentence
 * says what is wrong with those; else the ask says which rule left none. */
static int first_refusing(struct dyno_route_ask *ask, const struct dyno_known *known, size_t count)
{
    ask->is_unnamed = true;
    for (size_t i = 0; i < count; i++) {
        if (ask->variant != NULL && strcmp(known[i].name, ask->variant) != 0)
            continue;
        ask->is_unnamed = false;
        if (known[i].variant != NULL && known[i].accuracy >= ask->row->accuracy)
            return (int)i;
        ask->is_too_coarse = ask->is_too_coarse || known[i].accuracy < ask->row->accuracy;
    }
    return -1;
}

void dyno_router_choose(void *arg, const struct dyno_known *known, size_t count, int *wanted_out,
                        int *chosen_out)
{
    struct dyno_route_ask *ask = arg;
    struct candidates candidates;
    if (count == 1 && known[0].variant != NULL && ask->variant == NULL &&
        known[0].accuracy >= ask->row->accuracy) {
        *wanted_out = *chosen_out = 0; /* nothing to choose, so nothing to judge */
        return;
    }
    collect(ask, known, count, &candidates);
    const struct candidate *wanted = best_of(ask, &candidates, false, false);
    const struct candidate *chosen = best_of(ask, &candidates, true, false);
    if (chosen == NULL && wanted != NULL && wanted->known->comes) {
        *wanted_out = wanted->idx; /* worth waiting for */
        return;
    }
    if (chosen != NULL && is_late(ask, chosen) && ask->row->may_degrade) {
        const struct candidate *in_time = best_of(ask, &candidates, true, true);
        chosen = in_time != NULL ? in_time : quickest_of(&candidates);
    }
    *wanted_out = wanted != NULL ? wanted->idx : -1;
    *chosen_out = chosen != NULL ? chosen->idx : first_refusing(ask, known, count);
}
