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
