/* pass_table.c - the passes in running order, and the driver that runs them. */
#include <stdlib.h>
#include <string.h>

#include "passes/pass.h"

#define DYNO_PASS(name, pass_group, what) dyno_pass_fn dyno_pass_##name;
#include "passes/passes.def"
#undef DYNO_PASS

const struct dyno_pass dyno_passes[] = {
#define DYNO_PASS(pass_name, pass_group, pass_what) \
    {.name = #pass_name,                            \
     .what = (pass_what),                           \
     .group = DYNO_PASS_##pass_group,               \
     .run = dyno_pass_##pass_name},
#include "passes/passes.def"
#undef DYNO_PASS
};
const size_t dyno_pass_count = DYNO_COUNT(dyno_passes);

/* Each round of the clean passes must make the graph simpler; one that still changes it after so
 * many is two passes undoing each other's work. */
#define ROUNDS_MAX 64

static bool wants_verify(void)
{
#ifdef NDEBUG
    return getenv("DYNO_VERIFY") != NULL;
#else
    return true;
#endif
}

static enum dyno_status run_one(struct dyno_graph *graph, const struct dyno_pass *pass,
                                const struct dyno_passes_options *options, bool *changed_out,
                                struct dyno_err *err)
{
    bool changed = false;
    enum dyno_status status = pass->run(graph, &changed, err);
    if (status == DYNO_OK && wants_verify())
        status = dyno_graph_verify(graph, err);
    if (status != DYNO_OK) {
        dyno_err_prefix(err, "pass %s", pass->name);
        return status;
    }
    if (changed && options->after != NULL)
        options->after(options->after_arg, pass, graph);
    *changed_out = *changed_out || changed;
    return DYNO_OK;
}

static enum dyno_status run_clean(struct dyno_graph *graph,
                                  const struct dyno_passes_options *options, struct dyno_err *err)
{
    bool changed = true;
    for (int round = 0; round < ROUNDS_MAX && changed; round++) {
        changed = false;
        for (size_t i = 0; i < dyno_pass_count; i++) {
            if (dyno_passes[i].group == DYNO_PASS_CLEAN)
                DYNO_TRY(run_one(graph, &dyno_passes[i], options, &changed, err));
        }
    }
    return DYNO_OK;
}

static enum dyno_status run_only(struct dyno_graph *graph,
                                 const struct dyno_passes_options *options, struct dyno_err *err)
{
    bool changed = false;
    for (size_t i = 0; i < dyno_pass_count; i++) {
        if (strcmp(dyno_passes[i].name, options->only) == 0)
            return run_one(graph, &dyno_passes[i], options, &changed, err);
    }
    return DYNO_FAIL(err, DYNO_E_ARG, "there is no pass called '%s'", options->only);
}

enum dyno_status dyno_passes_run(struct dyno_graph *graph,
                                 const struct dyno_passes_options *options, struct dyno_err *err)
{
    static const struct dyno_passes_options none;
    if (options == NULL)
        options = &none;
    if (options->only != NULL)
        return run_only(graph, options, err);
    DYNO_TRY(run_clean(graph, options, err));
    for (size_t i = 0; i < dyno_pass_count; i++) {
        const enum dyno_pass_group group = dyno_passes[i].group;
        bool changed = false;
        if (group == DYNO_PASS_CLEAN || (group == DYNO_PASS_GPU && !options->gpu) ||
            (group == DYNO_PASS_VIEWS && !options->views) ||
            (options->baseline && !(options->wholes && group == DYNO_PASS_WHOLE)))
            continue;
        DYNO_TRY(run_one(graph, &dyno_passes[i], options, &changed, err));
        if (changed)
            DYNO_TRY(run_clean(graph, options, err));
    }
    return dyno_graph_verify(graph, err);
}
