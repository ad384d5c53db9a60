/* whole.c - the whole graph, run while it is built. */
#include "build/whole.h"

enum dyno_status dyno_builder_engine(struct dyno_builder *builder)
{
    struct dyno_plan *plan = builder->plan;
    if (builder->engine != NULL)
        return DYNO_OK;
    const int ordinal = builder->cuda != NULL ? builder->cuda->ordinal : 0;
    builder->plan = NULL; /* taken, whatever happens */
    return dyno_engine_from_plan_on(plan, ordinal, &builder->engine, builder->err);
}

struct dyno_plan *dyno_builder_plan(const struct dyno_builder *builder)
{
    return builder->engine != NULL ? builder->engine->plan : builder->plan;
}

/* Both ways of running the graph, from the cache or timed. */
static enum dyno_status time_whole(struct dyno_builder *builder)
{
    struct dyno_whole_times *times = &builder->report->whole;
    struct dyno_whole_keys keys;
    DYNO_TRY(
        dyno_whole_keys_make(dyno_builder_plan(builder), &builder->target, &keys, builder->err));
    if (dyno_whole_find(builder->cache, &keys, times))
        return DYNO_OK;
    DYNO_TRY(dyno_builder_engine(builder));
    DYNO_TRY(dyno_whole_time(builder->engine, times, builder->err));
    if (!dyno_whole_put(builder->cache, &keys, times))
        return DYNO_NOMEM(builder->err);
    return dyno_builder_save_cache(builder);
}

enum dyno_status dyno_builder_branch(struct dyno_builder *builder)
{
    const struct dyno_build_options *options = builder->options;
    struct dyno_plan *plan = dyno_builder_plan(builder);
    if (plan->gpu.compute == 0 || options->baseline || options->branches == DYNO_BRANCHES_OFF)
        return DYNO_OK;
    bool wanted = options->branches == DYNO_BRANCHES_ON;
    if (!wanted && options->level > 0) {
        DYNO_TRY(time_whole(builder));
        wanted = dyno_whole_prefers_branches(&builder->report->whole);
    }
    plan->flags &= ~(uint32_t)DYNO_PLAN_BRANCHES;
    plan->flags |= wanted ? DYNO_PLAN_BRANCHES : 0;
    return DYNO_OK;
}

/* --- two engines --- */

static enum dyno_status time_round(struct dyno_whole_run *chosen, struct dyno_whole_run *other,
                                   struct dyno_retime_round *round, struct dyno_err *err)
{
    static const struct dyno_whole_effort effort = {
        .runs_before = 1, .runs_min = 3, .runs_max = 25, .us = 4e3};
    DYNO_TRY(dyno_whole_run_time(chosen, &effort, &round->chosen_us[0], err));
    DYNO_TRY(dyno_whole_run_time(other, &effort, &round->other_us[0], err));
    DYNO_TRY(dyno_whole_run_time(other, &effort, &round->other_us[1], err));
    return dyno_whole_run_time(chosen, &effort, &round->chosen_us[1], err);
}

enum dyno_status dyno_builder_compare(const struct dyno_builder *builder,
                                      struct dyno_whole_run *chosen, struct dyno_whole_run *other,
                                      struct dyno_tune_clock *clock, bool *is_taken_out,
                                      double *saves_us_out)
{
    struct dyno_retime_round rounds[DYNO_RETIME_ROUNDS];
    enum dyno_retime_verdict verdict = DYNO_RETIME_AGAIN;
    *is_taken_out = false;
    for (int i = 0; i < DYNO_RETIME_ROUNDS && verdict == DYNO_RETIME_AGAIN; i++) {
        DYNO_TRY(time_round(chosen, other, &rounds[i], builder->err));
        if (dyno_tune_clock_fell(clock, builder->cuda, false)) {
            DYNO_TRY(time_round(chosen, other, &rounds[i], builder->err));
            (void)dyno_tune_clock_fell(clock, builder->cuda, true);
        }
        verdict = dyno_retime_judge(rounds, i + 1, saves_us_out);
    }
    *is_taken_out = verdict == DYNO_RETIME_TAKE;
    return DYNO_OK;
}
