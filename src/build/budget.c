/* budget.c - which steps go to TF32 or stay in f32, so that the error keeps its budget. */
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

enum level { FREE, IN_TF32, IN_F32 }; /* what a step may be at best */

struct search {
    struct dyno_builder *builder;
    uint32_t step_count;
    uint32_t *lossy; /* steps that are not in f32 alone, in order */
    uint32_t lossy_count;
    uint8_t *levels; /* by step: enum level */
    uint8_t *before; /* levels that another try may come back to */
    uint32_t *masks;
    bool has_tf32; /* a step out of 16 bits may round to TF32 */
    float base_us;
    float us; /* of what kept the budget last */
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
    const uint32_t by_level[] = {[FREE] = search->builder->options->precisions,
                                 [IN_TF32] = DYNO_PRECISION_TF32,
                                 [IN_F32] = 0};
    for (uint32_t s = 0; s < search->step_count; s++)
        search->masks[s] = search->builder->precisions[s] & by_level[search->levels[s]];
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
    if (status == DYNO_OK && is_met(search, *error_out)) {
        builder->report->accuracy.error = *error_out;
        search->us = *us_out;
    }
    return status;
}

static bool is_over(const struct search *search)
{
    return search->builder->report->accuracy.trials >= DYNO_BUDGET_TRIALS;
}

static void set_all(struct search *search, const struct stretch *stretch, enum level level)
{
    for (uint32_t i = 0; i < stretch->count; i++)
        search->levels[search->lossy[stretch->first + i]] = (uint8_t)level;
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
        set_all(search, &stretches[i], IN_F32);
        DYNO_TRY(try_now(search, false, &stretches[i].error, &stretches[i].cost_us));
        stretches[i].cost_us -= search->base_us;
        if (is_met(search, stretches[i].error))
            *found_out = i;
        else
            set_all(search, &stretches[i], FREE);
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
        set_all(search, &stretches[i], IN_F32);
        for (uint32_t s = 0; i == count - 1 && s < search->step_count; s++)
            search->levels[s] = IN_F32; /* also what would be in 16 bits only beside those in f32 */
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
static enum dyno_status shrink(struct search *search, struct stretch *stretch, enum level level)
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
            set_all(search, &halves[1 - i], FREE);
            DYNO_TRY(try_now(search, false, &error, &us));
            smaller = is_met(search, error);
            if (smaller)
                *stretch = halves[i];
            else
                set_all(search, &halves[1 - i], level);
        }
    }
    return DYNO_OK;
}

/* What of a stretch in f32 does with TF32: all of it, else of each half. */
static enum dyno_status relax(struct search *search, const struct stretch *stretch, bool *all_out)
{
    double error = 0.0;
    float us = 0.0F;
    bool first = false;
    bool second = false;
    *all_out = false;
    if (is_over(search))
        return DYNO_OK;
    set_all(search, stretch, IN_TF32);
    DYNO_TRY(try_now(search, false, &error, &us));
    *all_out = is_met(search, error);
    if (*all_out)
        return DYNO_OK;
    set_all(search, stretch, IN_F32);
    const uint32_t half = stretch->count / 2;
    if (half == 0)
        return DYNO_OK;
    DYNO_TRY(relax(search, &(struct stretch){.first = stretch->first, .count = half}, &first));
    return relax(search,
                 &(struct stretch){.first = stretch->first + half, .count = stretch->count - half},
                 &second);
}

/* More steps in TF32 may be enough, too, and cost less than `small`, fewer of which some are in
 * f32.
 */
static enum dyno_status widen(struct search *search, const struct stretch *small,
                              struct stretch wide)
{
    struct dyno_accuracy_report *report = &search->builder->report->accuracy;
    const double kept_error = report->error;
    const float kept_us = search->us;
    double error = 0.0;
    float us = 0.0F;
    if (wide.count == small->count || is_over(search))
        return DYNO_OK;
    memcpy(search->before, search->levels, search->step_count);
    set_all(search, &wide, IN_TF32);
    DYNO_TRY(try_now(search, false, &error, &us));
    if (is_met(search, error))
        DYNO_TRY(shrink(search, &wide, IN_TF32));
    if (is_met(search, error) && search->us < kept_us)
        return DYNO_OK;
    memcpy(search->levels, search->before, search->step_count);
    report->error = kept_error;
    search->us = kept_us;
    return DYNO_OK;
}

/* Less of a stretch that is in f32 and with which the budget is kept. */
static enum dyno_status refine(struct search *search, const struct stretch *stretch)
{
    struct stretch small = *stretch;
    bool all = false;
    DYNO_TRY(shrink(search, &small, IN_F32));
    if (!search->has_tf32)
        return DYNO_OK;
    DYNO_TRY(relax(search, &small, &all));
    return all ? DYNO_OK : widen(search, &small, *stretch);
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
        DYNO_TRY(refine(search, &stretches[i]));
    return DYNO_OK;
}

/* --- the result --- */

static enum dyno_status keep_result(struct search *search)
{
    struct dyno_builder *builder = search->builder;
    struct dyno_arena *arena = dyno_onnx_model_graph(builder->model)->arena;
    struct dyno_raised *raised = dyno_arena_alloc(arena, search->step_count + 1U, sizeof(*raised));
    struct dyno_accuracy_report *report = &builder->report->accuracy;
    if (raised == NULL)
        return DYNO_NOMEM(builder->err);
    set_masks(search);
    for (uint32_t s = 0; s < search->step_count; s++) {
        builder->precisions[s] = search->masks[s];
        if (search->levels[s] != FREE)
            raised[report->raised_count++] =
                (struct dyno_raised){.name = builder->tuned_plan->steps[s].name, .step = s};
    }
    report->raised = raised;
    return DYNO_OK;
}

void dyno_budget_note(void *builder_arg, const struct dyno_plan *plan)
{
    struct dyno_builder *builder = builder_arg;
    struct dyno_accuracy_report *report = &builder->report->accuracy;
    for (uint32_t i = 0; i < report->raised_count; i++) {
        const struct dyno_step *step = &plan->steps[report->raised[i].step];
        report->raised[i].is_tf32 = (step->tactic.flags & DYNO_TACTIC_TF32) != 0;
    }
}

static bool may_round(const struct dyno_builder *builder)
{
    return (builder->options->precisions & (DYNO_PRECISION_F16 | DYNO_PRECISION_BF16)) != 0 &&
           (builder->target.precisions & DYNO_PRECISION_TF32) != 0;
}

enum dyno_status dyno_meet_budget(struct dyno_builder *builder)
{
    const uint64_t start_ns = dyno_clock_ns();
    struct search search = {.builder = builder,
                            .step_count = builder->tuned_plan->step_count,
                            .has_tf32 = may_round(builder)};
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(builder->err);
    search.lossy = dyno_arena_alloc(arena, search.step_count + 1U, sizeof(*search.lossy));
    search.levels = dyno_arena_alloc(arena, search.step_count + 1U, sizeof(*search.levels));
    search.before = dyno_arena_alloc(arena, search.step_count + 1U, sizeof(*search.before));
    search.masks = dyno_arena_alloc(arena, search.step_count + 1U, sizeof(*search.masks));
    const bool has_memory = search.lossy != NULL && search.levels != NULL &&
                            search.before != NULL && search.masks != NULL;
    enum dyno_status status = has_memory ? search_steps(&search) : DYNO_NOMEM(builder->err);
    if (status == DYNO_OK)
        status = keep_result(&search);
    dyno_arena_destroy(arena);
    const uint64_t now_ns = dyno_clock_ns();
    builder->report->accuracy.ns += now_ns - start_ns;
    builder->stage_start_ns = now_ns;
    return status;
}
