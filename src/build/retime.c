/* retime.c - alternatives in the whole graph: two engines at a time, run in turns. */
#include "build/retime.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "build/whole.h"
#include "tune/rivals.h"

struct search {
    struct dyno_builder *builder;
    struct dyno_retime_report *report;
    struct dyno_retime_bounds bounds;
    struct dyno_rival *rivals;
    int count;
    bool is_taken[DYNO_RETIME_TRIALS_MAX];
    bool is_stale;                     /* the builder's plan lacks something that was taken */
    struct dyno_tune_key start, state; /* of what is kept in the cache */
    struct dyno_tune_key states[DYNO_RETIME_TRIALS_MAX]; /* at each trial that is not there yet */
    bool is_new[DYNO_RETIME_TRIALS_MAX];
    bool is_dropped; /* all of it: nothing is remembered but that it stops at once */
    bool in_branches;
    struct dyno_whole_run *run; /* of builder->engine; NULL: not yet */
    double run_us;              /* of the whole graph */
    uint64_t start_ns;
    double preparing_s; /* the longest of a trial so far */
    struct dyno_tune_clock clock;
};

/* --- plans and engines --- */

/* builder->plan with what is taken. */
static enum dyno_status make_plan(struct search *search)
{
    struct dyno_builder *builder = search->builder;
    DYNO_TRY(dyno_builder_finish(builder, builder->precisions, NULL, NULL));
    builder->plan->flags |= search->in_branches ? DYNO_PLAN_BRANCHES : 0;
    return DYNO_OK;
}

static void drop_engine(struct search *search)
{
    struct dyno_builder *builder = search->builder;
    dyno_whole_run_close(search->run);
    search->run = NULL;
    dyno_engine_close(builder->engine);
    builder->engine = NULL;
    dyno_plan_destroy(builder->plan);
    builder->plan = NULL;
}

/* The plan that the choices so far make, and nothing older. */
static enum dyno_status renew_plan(struct search *search)
{
    if (!search->is_stale)
        return DYNO_OK;
    drop_engine(search);
    search->is_stale = false;
    return make_plan(search);
}

/* An engine of it, run once for the time that it takes. */
static enum dyno_status open_current(struct search *search)
{
    static const struct dyno_whole_effort effort = {.runs_min = 3, .runs_max = 5};
    struct dyno_builder *builder = search->builder;
    if (search->run != NULL && !search->is_stale)
        return DYNO_OK;
    DYNO_TRY(renew_plan(search));
    search->is_stale = builder->engine == NULL; /* its plan is lost, if that fails */
    DYNO_TRY(dyno_builder_engine(builder));
    search->is_stale = false;
    DYNO_TRY(dyno_whole_run_open(builder->engine, search->in_branches, &search->run, builder->err));
    return dyno_whole_run_time(search->run, &effort, &search->run_us, builder->err);
}

/* --- a trial --- */

/* An engine with the rival beside builder->engine, which it becomes where it is faster. */
static enum dyno_status compare_engines(struct search *search, bool *is_taken_out,
                                        double *saves_us_out)
{
    struct dyno_builder *builder = search->builder;
    struct dyno_engine *current = builder->engine;
    struct dyno_whole_run *other = NULL;
    const uint64_t start_ns = dyno_clock_ns();
    *is_taken_out = false;
    builder->engine = NULL;
    enum dyno_status status = make_plan(search);
    if (status == DYNO_OK)
        status = dyno_builder_engine(builder);
    if (status == DYNO_OK)
        status = dyno_whole_run_open(builder->engine, search->in_branches, &other, builder->err);
    const double took_s = (double)(dyno_clock_ns() - start_ns) * 1e-9;
    search->preparing_s = took_s > search->preparing_s ? took_s : search->preparing_s;
    if (status == DYNO_OK)
        status = dyno_builder_compare(builder, search->run, other, &search->clock, is_taken_out,
                                      saves_us_out);
    if (*is_taken_out) {
        dyno_whole_run_close(search->run);
        dyno_engine_close(current);
        search->run = other;
        search->run_us -= *saves_us_out;
        return DYNO_OK;
    }
    dyno_whole_run_close(other);
    dyno_engine_close(builder->engine);
    dyno_plan_destroy(builder->plan);
    builder->plan = NULL;
    builder->engine = current;
    return status;
}

/* What the steps of the group are done by without rival `idx`: one that was taken before it, or
 * what was chosen. */
static const struct dyno_rival *before(const struct search *search, int idx)
{
    const struct dyno_rival *found = NULL;
    for (int i = 0; i < idx; i++) {
        if (search->is_taken[i] && search->rivals[i].group == search->rivals[idx].group)
            found = &search->rivals[i];
    }
    return found;
}

static struct dyno_retime_trial *note(struct search *search, int idx)
{
    const struct dyno_rival *rival = &search->rivals[idx];
    const struct dyno_rival *old = before(search, idx);
    struct dyno_retime_trial *trial = &search->report->trials[search->report->trial_count++];
    *trial = (struct dyno_retime_trial){.step_name =
                                            search->builder->tuned_plan->steps[rival->group].name,
                                        .step_count = rival->step_count,
                                        .chosen = old != NULL ? old->tactic : rival->chosen,
                                        .other = rival->tactic,
                                        .chosen_us = old != NULL ? old->us : rival->chosen_us,
                                        .other_us = rival->us};
    return trial;
}

static void take(struct search *search, int idx)
{
    const struct dyno_rival *rival = &search->rivals[idx];
    dyno_tuned_take(search->builder->tuned, rival, rival);
    search->is_taken[idx] = true;
    search->state = dyno_retime_taken(search->state, rival);
    search->report->taken_count++;
}

static enum dyno_status try_rival(struct search *search, int idx)
{
    struct dyno_builder *builder = search->builder;
    const struct dyno_rival *rival = &search->rivals[idx];
    const struct dyno_build_report report = *builder->report; /* figures of the plan */
    double saves_us = 0.0;
    bool is_taken = false;
    dyno_tuned_take(builder->tuned, rival, rival);
    const enum dyno_status status = compare_engines(search, &is_taken, &saves_us);
    if (!is_taken) {
        *builder->report = report;
        dyno_tuned_take(builder->tuned, rival, before(search, idx));
    }
    if (status != DYNO_OK)
        return status;
    struct dyno_retime_trial *trial = note(search, idx);
    trial->is_taken = is_taken;
    trial->saves_us = (float)saves_us;
    search->states[idx] = search->state;
    search->is_new[idx] = true;
    if (is_taken)
        take(search, idx);
    return DYNO_OK;
}

/* --- the search --- */

/* As a build with this cache decided before. */
static void repeat(struct search *search, int idx, float saves_us)
{
    struct dyno_retime_trial *trial = note(search, idx);
    trial->is_cached = true;
    trial->saves_us = saves_us;
    trial->is_taken = saves_us > 0.0F;
    search->report->cached_count++;
    if (!trial->is_taken)
        return;
    take(search, idx);
    search->is_stale = true;
}

/* Back to what was chosen. */
static void drop_all(struct search *search)
{
    for (int i = 0; i < search->count; i++) {
        search->is_stale = search->is_stale || search->is_taken[i];
        search->is_taken[i] = search->is_new[i] = false;
        dyno_tuned_take(search->builder->tuned, &search->rivals[i], NULL);
    }
    for (uint32_t i = 0; i < search->report->trial_count; i++)
        search->report->trials[i].is_taken = false;
    search->report->taken_count = 0;
    search->state = search->start;
    search->is_dropped = true;
}

/* A trial failed: where what was taken so far still runs, that stays. */
static void fail(struct search *search, int idx, const struct dyno_err *why)
{
    const uint32_t step = search->rivals[idx].group;
    static const struct dyno_whole_effort effort = {.runs_min = 1, .runs_max = 1};
    struct dyno_err ignored = {0};
    double us = 0.0;
    search->report->failure = *why;
    dyno_err_prefix(&search->report->failure, "a trial in step '%s'",
                    search->builder->tuned_plan->steps[step].name);
    const enum dyno_status status = search->run != NULL && !search->is_stale
                                        ? dyno_whole_run_time(search->run, &effort, &us, &ignored)
                                        : DYNO_E_IO;
    if (status != DYNO_OK)
        drop_all(search);
}

/* False: there is no time for it. */
static bool has_time(const struct search *search)
{
    const double spent_s = (double)(dyno_clock_ns() - search->start_ns) * 1e-9;
    return dyno_retime_has_time(&search->bounds, spent_s, search->preparing_s, search->run_us);
}

/* *stop_out: the rival before which the search ended. */
static void try_all(struct search *search, int *stop_out)
{
    struct dyno_builder *builder = search->builder;
    struct dyno_err *err = builder->err;
    struct dyno_err why = {0};
    int idx = 0;
    builder->err = &why; /* a trial's failure is not the build's */
    for (; idx < search->count; idx++) {
        const struct dyno_rival *rival = &search->rivals[idx];
        const char *name = builder->tuned_plan->steps[rival->group].name;
        float saves_us = 0.0F;
        if (dyno_retime_stops(builder->cache, search->state, rival, &search->bounds))
            break;
        if (dyno_retime_find(builder->cache, search->state, rival, &saves_us)) {
            repeat(search, idx, saves_us);
            continue;
        }
        dyno_builder_tell(builder, DYNO_STAGE_TUNE, (uint32_t)idx, (uint32_t)search->count, name);
        enum dyno_status status = open_current(search);
        if (search->report->graph_us <= 0.0F)
            search->report->graph_us = (float)search->run_us;
        if (status == DYNO_OK && !has_time(search))
            break;
        if (status == DYNO_OK)
            status = try_rival(search, idx);
        if (status != DYNO_OK) {
            fail(search, idx, &why);
            break;
        }
    }
    builder->err = err;
    const uint32_t count = (uint32_t)search->count;
    dyno_builder_tell(builder, DYNO_STAGE_TUNE, count, count, "");
    *stop_out = idx;
}

static enum dyno_status remember(struct search *search, int stop)
{
    struct dyno_builder *builder = search->builder;
    bool ok = true;
    for (int i = 0; i < search->count; i++) {
        const float saves_us = search->is_taken[i] ? search->report->trials[i].saves_us : 0.0F;
        if (search->is_new[i])
            ok = ok &&
                 dyno_retime_put(builder->cache, search->states[i], &search->rivals[i], saves_us);
    }
    search->report->is_cut = stop < search->count;
    if (stop < search->count) {
        const struct dyno_rival *rival = &search->rivals[search->is_dropped ? 0 : stop];
        ok = ok && dyno_retime_put_stop(builder->cache, search->state, rival, &search->bounds);
    }
    return ok ? dyno_builder_save_cache(builder) : DYNO_NOMEM(builder->err);
}

/* The accuracy budget was kept by the plan that was chosen; what replaces it must, too. */
static enum dyno_status judge(struct search *search)
{
    struct dyno_builder *builder = search->builder;
    struct dyno_accuracy_report *accuracy = &builder->report->accuracy;
    double error = 0.0;
    if (builder->judge == NULL || search->report->taken_count == 0)
        return DYNO_OK;
    DYNO_TRY(dyno_builder_engine(builder));
    DYNO_TRY(dyno_judge_error(builder->judge, builder->engine, &error, builder->err));
    accuracy->trials++;
    if (error <= builder->options->accuracy_budget) {
        accuracy->error = error;
        builder->engine->plan->accuracy_error = (float)error;
        return DYNO_OK;
    }
    (void)dyno_err_set(&search->report->failure, DYNO_E_MISMATCH, __FILE__, __LINE__,
                       "the error is %.3g with them, more than the accuracy budget", error);
    drop_all(search);
    return renew_plan(search);
}

static enum dyno_status search_all(struct search *search)
{
    struct dyno_builder *builder = search->builder;
    struct dyno_whole_keys keys;
    int stop = 0;
    struct dyno_plan *plan = dyno_builder_plan(builder);
    search->in_branches = (plan->flags & DYNO_PLAN_BRANCHES) != 0;
    search->clock = builder->report->tune.clock;
    DYNO_TRY(dyno_whole_keys_make(plan, &builder->target, &keys, builder->err));
    search->start = search->state = dyno_retime_start(keys.chain, search->in_branches);
    try_all(search, &stop);
    dyno_whole_run_close(search->run);
    search->run = NULL;
    DYNO_TRY(renew_plan(search));
    DYNO_TRY(remember(search, stop));
    return judge(search);
}

enum dyno_status dyno_builder_retime(struct dyno_builder *builder, bool *changed_out)
{
    struct search search = {
        .builder = builder,
        .report = &builder->report->retime,
        .bounds = dyno_retime_bounds(builder->options->level, builder->options->retime_seconds),
        .start_ns = dyno_clock_ns()};
    *changed_out = false;
    DYNO_TRY(dyno_tuned_rivals(builder->tuned, &search.rivals, &search.count, builder->err));
    if (search.count == 0)
        return DYNO_OK;
    DYNO_ASSERT(search.count <= DYNO_RETIME_TRIALS_MAX);
    uint64_t stage_ns[DYNO_STAGE_COUNT];
    memcpy(stage_ns, builder->report->stage_ns, sizeof(stage_ns));
    const enum dyno_status status = search_all(&search);
    dyno_whole_run_close(search.run);
    const uint64_t now_ns = dyno_clock_ns();
    memcpy(builder->report->stage_ns, stage_ns, sizeof(stage_ns));
    builder->report->stage_ns[DYNO_STAGE_TUNE] += now_ns - search.start_ns;
    builder->stage_start_ns = now_ns;
    builder->report->tune.clock = search.clock;
    builder->report->retime.ns = now_ns - search.start_ns;
    *changed_out = builder->report->retime.taken_count > 0;
    return status;
}
