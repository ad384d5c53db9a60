/* providers.c - one choice with the libraries, one without: which of them the build goes on with.
 */
#include "build/providers.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "build/budget.h"
#include "build/whole.h"

/* A choice of its own, finished, while the builder has another one. */
struct way {
    struct dyno_tuned *tuned;
    struct dyno_plan *plan;
    struct dyno_engine *engine; /* has taken the plan; NULL: not yet */
    struct dyno_build_report report;
    double error; /* with an accuracy budget */
};

struct search {
    struct dyno_builder *builder;
    struct way with, own;
    struct dyno_providers_report report;
    struct dyno_tune_clock clock;
    uint32_t *free; /* by step: what is allowed where no budget has to be kept; NULL: all */
};

/* --- ways --- */

/* The builder goes on with it.  What all of them took counts. */
static void enter(struct dyno_builder *builder, struct way *way)
{
    const uint32_t trials = builder->report->accuracy.trials;
    const uint64_t ns = builder->report->accuracy.ns;
    builder->tuned = way->tuned;
    builder->plan = way->plan;
    builder->engine = way->engine;
    *builder->report = way->report;
    builder->report->accuracy.trials = trials;
    builder->report->accuracy.ns = ns;
    *way = (struct way){.error = way->error};
}

/* The builder lays it aside. */
static void leave(struct dyno_builder *builder, struct way *way)
{
    way->tuned = builder->tuned;
    way->plan = builder->plan;
    way->engine = builder->engine;
    way->report = *builder->report;
    builder->tuned = NULL;
    builder->plan = NULL;
    builder->engine = NULL;
}

static void drop(struct way *way)
{
    dyno_engine_close(way->engine);
    dyno_plan_destroy(way->plan);
    dyno_tuned_destroy(way->tuned);
    way->engine = NULL;
    way->plan = NULL;
    way->tuned = NULL;
}

static const struct dyno_plan *plan_of(const struct way *way)
{
    return way->engine != NULL ? way->engine->plan : way->plan;
}

static bool is_met(const struct search *search, const struct way *way)
{
    const struct dyno_builder *builder = search->builder;
    return builder->judge == NULL || way->error <= builder->options->accuracy_budget;
}

static bool has_library(const struct dyno_plan *plan)
{
    for (uint32_t s = 0; s < plan->step_count; s++) {
        if (dyno_kernel_find(plan->steps[s].tactic.kernel)->library != DYNO_LIBRARY_NONE)
            return true;
    }
    return false;
}

/* --- with a budget and without, of builder->tuned --- */

static enum dyno_status choose_one(struct dyno_builder *builder)
{
    const bool is_judged = builder->judge != NULL;
    if (is_judged)
        DYNO_TRY(dyno_meet_budget(builder));
    DYNO_TRY(dyno_builder_finish(builder, builder->precisions, is_judged ? dyno_budget_note : NULL,
                                 builder));
    return dyno_builder_branch(builder);
}

/* What is fastest, be it within the budget or not. */
static enum dyno_status choose_freely(const struct search *search, double *error_out)
{
    struct dyno_builder *builder = search->builder;
    *error_out = 0.0;
    DYNO_TRY(dyno_builder_finish(builder, search->free, NULL, NULL));
    DYNO_TRY(dyno_builder_branch(builder));
    if (builder->judge == NULL)
        return DYNO_OK;
    const uint64_t start_ns = dyno_clock_ns();
    DYNO_TRY(dyno_builder_engine(builder));
    DYNO_TRY(dyno_judge_error(builder->judge, builder->engine, error_out, builder->err));
    builder->report->accuracy.ns += dyno_clock_ns() - start_ns;
    builder->report->accuracy.trials++;
    builder->report->accuracy.free_error = builder->report->accuracy.error = *error_out;
    builder->engine->plan->accuracy_error = (float)*error_out;
    return DYNO_OK;
}

static enum dyno_status choose_anew(struct dyno_builder *builder)
{
    dyno_engine_close(builder->engine);
    dyno_plan_destroy(builder->plan);
    builder->engine = NULL;
    builder->plan = NULL;
    return choose_one(builder);
}

/* --- one beside the other --- */

static enum dyno_status state_of(const struct search *search, const struct way *way,
                                 struct dyno_tune_key *state_out)
{
    const struct dyno_builder *builder = search->builder;
    const struct dyno_plan *plan = plan_of(way);
    struct dyno_whole_keys keys;
    DYNO_TRY(dyno_whole_keys_make(plan, &builder->target, &keys, builder->err));
    *state_out = dyno_retime_start(keys.chain, (plan->flags & DYNO_PLAN_BRANCHES) != 0);
    return DYNO_OK;
}

static enum dyno_status open_run(struct search *search, struct way *way,
                                 struct dyno_whole_run **run_out)
{
    struct dyno_builder *builder = search->builder;
    enter(builder, way);
    enum dyno_status status = dyno_builder_engine(builder);
    leave(builder, way);
    if (status == DYNO_OK)
        status = dyno_whole_run_open(way->engine, (plan_of(way)->flags & DYNO_PLAN_BRANCHES) != 0,
                                     run_out, builder->err);
    return status;
}

static enum dyno_status run_both(struct search *search, struct way *chosen, struct way *other,
                                 float *saves_us_out)
{
    struct dyno_whole_run *runs[2] = {NULL, NULL};
    bool is_taken = false;
    double saves_us = 0.0;
    enum dyno_status status = open_run(search, chosen, &runs[0]);
    if (status == DYNO_OK)
        status = open_run(search, other, &runs[1]);
    if (status == DYNO_OK)
        status = dyno_builder_compare(search->builder, runs[0], runs[1], &search->clock, &is_taken,
                                      &saves_us);
    dyno_whole_run_close(runs[0]);
    dyno_whole_run_close(runs[1]);
    search->report.saves_us = (float)(other == &search->with ? saves_us : -saves_us);
    *saves_us_out = is_taken ? (float)saves_us : 0.0F;
    return status;
}

/* Is the other one faster?  As a build with this cache decided before, or by runs. */
static enum dyno_status compare(struct search *search, struct way *chosen, struct way *other,
                                bool *is_faster_out)
{
    struct dyno_builder *builder = search->builder;
    struct dyno_tune_key states[2];
    float saves_us = 0.0F;
    DYNO_TRY(state_of(search, chosen, &states[0]));
    DYNO_TRY(state_of(search, other, &states[1]));
    if (dyno_retime_find_pair(builder->cache, states[0], states[1], &saves_us)) {
        search->report.saves_us = other == &search->with ? saves_us : -saves_us;
    } else {
        DYNO_TRY(run_both(search, chosen, other, &saves_us));
        if (!dyno_retime_put_pair(builder->cache, states[0], states[1], saves_us))
            return DYNO_NOMEM(builder->err);
        DYNO_TRY(dyno_builder_save_cache(builder));
    }
    *is_faster_out = saves_us > 0.0F;
    return DYNO_OK;
}

/* --- the choice --- */

/* Our own alone, where the sum of their times says that they could do.  *found_out: they are in
 * search->own. */
static enum dyno_status try_own(struct search *search, bool *found_out)
{
    struct dyno_builder *builder = search->builder;
    const float with_us = search->with.report.tune.total_us;
    float own_us = 0.0F;
    builder->own_target = builder->target;
    builder->own_target.libraries = NULL;
    DYNO_TRY(dyno_builder_tune(builder, &builder->own_target, &search->own.tuned));
    DYNO_TRY(dyno_tuned_total(search->own.tuned, search->free, &own_us, builder->err));
    *found_out = dyno_retime_is_near(own_us, with_us);
    if (!*found_out)
        return DYNO_OK;
    search->own.report = *builder->report;
    enter(builder, &search->own);
    const enum dyno_status status = choose_freely(search, &search->own.error);
    leave(builder, &search->own);
    return status;
}

/* What fails here is no failure of the build: it goes on with the libraries. */
static bool has_own(struct search *search)
{
    struct dyno_builder *builder = search->builder;
    struct dyno_err *err = builder->err;
    bool found = false;
    builder->err = &search->report.failure;
    const enum dyno_status status = try_own(search, &found);
    builder->err = err;
    if (status == DYNO_OK && found)
        return true;
    drop(&search->own);
    return false;
}

/* No step is taken out of what was fastest. */
static void keep_free(const struct search *search)
{
    if (search->free != NULL)
        memcpy(search->builder->precisions, search->free,
               search->builder->tuned_plan->step_count * sizeof(*search->free));
}

/* The budget is kept by what is faster, or else by what was within it anyway, if that is as fast as
 * what had to be changed. */
static enum dyno_status meet_budget(struct search *search, struct way *fast, struct way *slow)
{
    struct dyno_builder *builder = search->builder;
    bool is_faster = true;
    enter(builder, fast);
    enum dyno_status status = choose_anew(builder);
    leave(builder, fast);
    if (slow->tuned == NULL || !is_met(search, slow))
        return status;
    if (status == DYNO_OK)
        status = compare(search, slow, fast, &is_faster);
    if (status == DYNO_OK && is_faster)
        return DYNO_OK;
    drop(fast);
    keep_free(search);
    return status == DYNO_E_MISMATCH ? DYNO_OK : status;
}

/* Leaves one of the two. */
static enum dyno_status settle(struct search *search)
{
    struct dyno_builder *builder = search->builder;
    struct dyno_err *err = builder->err;
    struct way *fast = &search->with;
    struct way *slow = &search->own;
    bool with_is_faster = true;
    if (slow->tuned != NULL) {
        builder->err = &search->report.failure;
        search->report.was_tried = compare(search, slow, fast, &with_is_faster) == DYNO_OK;
        builder->err = err;
    }
    if (!with_is_faster) {
        fast = &search->own;
        slow = &search->with;
    }
    if (is_met(search, fast))
        keep_free(search);
    else
        DYNO_TRY(meet_budget(search, fast, slow));
    if (fast->tuned != NULL)
        drop(slow);
    return DYNO_OK;
}

/* What an accuracy budget may come to is nobody's who did not ask for it. */
static enum dyno_status set_free(struct search *search, struct dyno_arena *arena)
{
    const struct dyno_builder *builder = search->builder;
    const uint32_t count = builder->tuned_plan->step_count;
    if (builder->precisions == NULL)
        return DYNO_OK;
    search->free = dyno_arena_alloc(arena, count + 1U, sizeof(*search->free));
    if (search->free == NULL)
        return DYNO_NOMEM(builder->err);
    for (uint32_t s = 0; s < count; s++)
        search->free[s] = builder->precisions[s] & builder->options->precisions;
    return DYNO_OK;
}

/* builder->plan, or the engine, has kernels of libraries. */
static enum dyno_status choose_provider(struct search *search)
{
    struct dyno_builder *builder = search->builder;
    uint64_t stage_ns[DYNO_STAGE_COUNT];
    const uint64_t start_ns = dyno_clock_ns();
    memcpy(stage_ns, builder->report->stage_ns, sizeof(stage_ns));
    search->clock = builder->report->tune.clock;
    leave(builder, &search->with);
    const uint32_t measured = search->with.report.tune.measured_count +
                              (has_own(search) ? search->own.report.tune.measured_count : 0);
    search->report.with_error = search->with.error;
    search->report.own_error = search->own.error;
    const enum dyno_status status = settle(search);
    if (status == DYNO_OK) {
        search->report.own_alone = search->with.tuned == NULL;
        enter(builder, search->report.own_alone ? &search->own : &search->with);
    }
    drop(&search->own);
    drop(&search->with);
    const uint64_t now_ns = dyno_clock_ns();
    memcpy(builder->report->stage_ns, stage_ns, sizeof(stage_ns));
    builder->report->stage_ns[DYNO_STAGE_TUNE] += now_ns - start_ns;
    builder->stage_start_ns = now_ns;
    builder->report->tune.clock = search->clock;
    builder->report->tune.measured_count = measured;
    builder->report->providers = search->report;
    return status;
}

static enum dyno_status choose(struct search *search)
{
    struct dyno_builder *builder = search->builder;
    DYNO_TRY(choose_freely(search, &search->with.error));
    if (has_library(dyno_builder_plan(builder)))
        return choose_provider(search);
    if (!is_met(search, &search->with))
        return choose_anew(builder);
    keep_free(search);
    return DYNO_OK;
}

enum dyno_status dyno_builder_choose(struct dyno_builder *builder)
{
    const struct dyno_build_options *options = builder->options;
    struct search search = {.builder = builder};
    if (builder->libraries == NULL || options->baseline || options->level == 0)
        return choose_one(builder);
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(builder->err);
    enum dyno_status status = set_free(&search, arena);
    if (status == DYNO_OK)
        status = choose(&search);
    dyno_arena_destroy(arena);
    return status;
}
