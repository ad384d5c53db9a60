/* budget.c - which steps stay in f32, so that the error keeps its budget. */
#include "build/budget.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define STRETCHES_MAX 34 /* their lengths double */

/* Neighbours among the steps that are not in f32 alone, from the end of the network on. */
struct stretch {
    uint32_t first, count; /* of `lossy` */
    double error;          /* with these in f32 */
    float cost_us;         /* what that costs a run */
};

struct search {
    struct dyno_builder *builder;
    uint32_t step_count;
    uint32_t *lossy; /* steps that are not in f32 alone, in order */
    uint32_t lossy_count;
    bool *raised; /* by step: it goes to f32 */
    uint32_t *masks;
    float base_us;
};

/* --- a trial --- */

static void note_lossy(void *arg, const struct dyno_plan *plan)
{
    struct search *search = arg;
    search->lossy_count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        if (dyno_tune_uses(&plan->steps[s].tactic, plan->steps[s].in_count) != 0)
            search->lossy[search->lossy_count++] = s;
    }
}

static void set_masks(struct search *search)
{
    for (uint32_t s = 0; s < search->step_count; s++)
        search->masks[s] = search->raised[s] ? 0 : search->builder->precisions[s];
}

static bool is_met(const struct search *search, double error)
{
    return error <= search->builder->options->accuracy_budget;
}

/* An engine of the choice so far, run on the inputs.  is_first: of what is chosen freely. */
static enum dyno_status try_now(struct search *search, bool is_first, double *error_out,
                                float *us_out)
{
    struct dyno_builder *builder = search->builder;
    struct dyno_engine *engine = NULL;
    set_masks(search);
    DYNO_TRY(dyno_builder_finish(builder, search->masks, is_first ? note_lossy : NULL, search));
    struct dyno_plan *plan = builder->plan;
    builder->plan = NULL; /* taken, whatever happens */
    *us_out = builder->report->tune.total_us;
    DYNO_TRY(dyno_engine_from_plan_on(plan, builder->cuda->ordinal, &engine, builder->err));
    const enum dyno_status status =
        dyno_judge_error(builder->judge, engine, error_out, builder->err);
    dyno_engine_close(engine);
    builder->report->accuracy.trials++;
    /* What does not keep the budget is given up again. */
    if (status == DYNO_OK && is_met(search, *error_out))
        builder->report->accuracy.error = *error_out;
    return status;
}

static bool is_over(const struct search *search)
{
    return search->builder->report->accuracy.trials >= DYNO_BUDGET_TRIALS;
}

static void raise_all(struct search *search, const struct stretch *stretch, bool on)
{
    for (uint32_t i = 0; i < stretch->count; i++)
        search->raised[search->lossy[stretch->first + i]] = on;
}

/* --- the search --- */

/* The last step, the one before, two, four and so on before those: what spoils an answer is mostly
 * near it. */
static int cut(const struct search *search, struct stretch *stretches)
{
    uint32_t left = search->lossy_count;
    uint32_t length = 1;
    int count = 0;
    while (left > 0 && count < STRETCHES_MAX) {
        const uint32_t part = length < left ? length : left;
        left -= part;
        stretches[count] = (struct stretch){.first = left, .count = part};
        count++;
        length = count < 2 ? 1 : length * 2;
    }
    return count;
}

/* Each alone.  *found_out: the first that is enough, -1: none. */
static enum dyno_status try_each(struct search *search, struct stretch *stretches, int count,
                                 int *found_out)
{
    *found_out = -1;
    for (int i = 0; i < count && *found_out < 0; i++) {
        raise_all(search, &stretches[i], true);
        DYNO_TRY(try_now(search, false, &stretches[i].error, &stretches[i].cost_us));
        stretches[i].cost_us -= search->base_us;
        if (is_met(search, stretches[i].error))
            *found_out = i;
        else
            raise_all(search, &stretches[i], false);
    }
    return DYNO_OK;
}

/* Errors add up by their squares, more or less: what a microsecond takes off. */
static double gain(const struct stretch *stretch, double whole)
{
    const double most = 1e9;
    const double before = fmin(whole, most);
    const double after = fmin(stretch->error, most);
    return (before * before - after * after) / fmax((double)stretch->cost_us, 0.01);
}

static void sort_by_gain(struct stretch *stretches, int count, double whole)
{
    for (int i = 1; i < count; i++) {
        for (int k = i; k > 0 && gain(&stretches[k], whole) > gain(&stretches[k - 1], whole); k--) {
            const struct stretch other = stretches[k];
            stretches[k] = stretches[k - 1];
            stretches[k - 1] = other;
        }
    }
}

/* One after the other, until it is enough; the number of those. */
static enum dyno_status add_up(struct search *search, struct stretch *stretches, int count,
                               int *used_out, double *error_out)
{
    for (int i = 0; i < count; i++) {
        float us = 0.0F;
        raise_all(search, &stretches[i], true);
        for (uint32_t s = 0; i == count - 1 && s < search->step_count; s++)
            search->raised[s] = true; /* also what would be in 16 bits only beside those in f32 */
        *used_out = i + 1;
        if (i == 0 && count > 1)
            continue; /* that one alone is not enough, as was seen */
        DYNO_TRY(try_now(search, false, error_out, &us));
        if (is_met(search, *error_out))
            break;
    }
    return DYNO_OK;
}

/* Half of it may be enough, and half of that. */
static enum dyno_status shrink(struct search *search, struct stretch *stretch)
{
    bool smaller = true;
    while (smaller && stretch->count > 1 && !is_over(search)) {
        const uint32_t half = stretch->count / 2;
        const struct stretch halves[2] = {
            {.first = stretch->first + half, .count = stretch->count - half},
            {.first = stretch->first, .count = half}};
        smaller = false;
        for (int i = 0; i < 2 && !smaller && !is_over(search); i++) {
            double error = 0.0;
            float us = 0.0F;
            raise_all(search, &halves[1 - i], false);
            DYNO_TRY(try_now(search, false, &error, &us));
            smaller = is_met(search, error);
            if (smaller)
                *stretch = halves[i];
            else
                raise_all(search, &halves[1 - i], true);
        }
    }
    return DYNO_OK;
}

static enum dyno_status search_steps(struct search *search)
{
    const double budget = search->builder->options->accuracy_budget;
    struct stretch stretches[STRETCHES_MAX] = {{.count = 0}};
    double whole = 0.0;
    int used = 1;
    int found = 0;
    DYNO_TRY(try_now(search, true, &whole, &search->base_us));
    search->builder->report->accuracy.free_error = whole;
    if (is_met(search, whole))
        return DYNO_OK;
    const int count = cut(search, stretches);
    DYNO_TRY(try_each(search, stretches, count, &found));
    if (found >= 0) {
        stretches[0] = stretches[found];
    } else {
        double error = whole;
        sort_by_gain(stretches, count, whole);
        DYNO_TRY(add_up(search, stretches, count, &used, &error));
        if (!is_met(search, error))
            return DYNO_FAIL(search->builder->err, DYNO_E_MISMATCH,
                             "the accuracy budget of %g cannot be kept: the error is %.3g where "
                             "every layer that can be is in f32, and %.3g without that",
                             budget, error, whole);
    }
    for (int i = 0; i < used; i++)
        DYNO_TRY(shrink(search, &stretches[i]));
    return DYNO_OK;
}

/* --- the result --- */

static enum dyno_status note_raised(const struct search *search)
{
    struct dyno_builder *builder = search->builder;
    struct dyno_arena *arena = dyno_onnx_model_graph(builder->model)->arena;
    const char **names = dyno_arena_alloc(arena, search->step_count + 1U, sizeof(*names));
    struct dyno_accuracy_report *report = &builder->report->accuracy;
    if (names == NULL)
        return DYNO_NOMEM(builder->err);
    for (uint32_t s = 0; s < search->step_count; s++) {
        if (!search->raised[s])
            continue;
        builder->precisions[s] = 0;
        names[report->raised_count++] = builder->tuned_plan->steps[s].name;
    }
    report->raised = names;
    return DYNO_OK;
}

enum dyno_status dyno_meet_budget(struct dyno_builder *builder)
{
    const uint64_t start_ns = dyno_clock_ns();
    struct search search = {.builder = builder, .step_count = builder->tuned_plan->step_count};
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(builder->err);
    search.lossy = dyno_arena_alloc(arena, search.step_count + 1U, sizeof(*search.lossy));
    search.raised = dyno_arena_alloc(arena, search.step_count + 1U, sizeof(*search.raised));
    search.masks = dyno_arena_alloc(arena, search.step_count + 1U, sizeof(*search.masks));
    const bool has_memory = search.lossy != NULL && search.raised != NULL && search.masks != NULL;
    enum dyno_status status = has_memory ? search_steps(&search) : DYNO_NOMEM(builder->err);
    if (status == DYNO_OK)
        status = note_raised(&search);
    dyno_arena_destroy(arena);
    const uint64_t now_ns = dyno_clock_ns();
    builder->report->accuracy.ns += now_ns - start_ns;
    builder->stage_start_ns = now_ns;
    return status;
}
