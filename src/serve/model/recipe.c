/* recipe.c - wishes as flags of the builder. */
#include "serve/model/recipe.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct flags {
    struct dyno_arena *arena;
    const char **args;
    size_t count;
    bool failed;
};

static void add(struct flags *flags, const char *fmt, ...) DYNO_PRINTF(2, 3);
static void add(struct flags *flags, const char *fmt, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, fmt);
    const int bytes = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (bytes >= 0)
        text = dyno_arena_alloc(flags->arena, (size_t)bytes + 1, 1);
    if (text == NULL) {
        flags->failed = true;
        return;
    }
    va_start(args, fmt);
    (void)vsnprintf(text, (size_t)bytes + 1, fmt, args);
    va_end(args);
    DYNO_ASSERT(flags->count + 1 < DYNO_RECIPE_ARGS_MAX);
    flags->args[flags->count++] = text;
}

static bool make_flags(struct dyno_recipe *recipe, enum dyno_made_stage stage,
                       const struct dyno_make_wish *wish, int thread_count)
{
    const struct {
        const char *name, *shapes;
    } corners[] = {{"minShapes", wish->min_shapes},
                   {"optShapes", wish->opt_shapes},
                   {"maxShapes", wish->max_shapes}};
    struct flags flags = {.arena = recipe->arena};
    flags.args = dyno_arena_alloc(recipe->arena, DYNO_RECIPE_ARGS_MAX, sizeof(*flags.args));
    if (flags.args == NULL)
        return false;
    if (stage == DYNO_MADE_BASELINE)
        add(&flags, "--baseline");
    else
        add(&flags, "--builderOptimizationLevel=%lld",
            (long long)(wish->has_level ? wish->level : DYNO_MAKER_LEVEL));
    add(&flags, "--threads=%d", thread_count);
    if (wish->max_batch > 0)
        add(&flags, "--maxBatch=%lld", (long long)wish->max_batch);
    if (wish->opt_batch > 0)
        add(&flags, "--optBatch=%lld", (long long)wish->opt_batch);
    for (size_t i = 0; i < DYNO_COUNT(corners); i++)
        if (corners[i].shapes != NULL)
            add(&flags, "--%s=%s", corners[i].name, corners[i].shapes);
    if (wish->exact)
        add(&flags, "--exact");
    recipe->args[stage] = flags.args;
    return !flags.failed;
}

enum dyno_status dyno_recipe_create(const char *folder, const struct dyno_make_wish *wish,
                                    int thread_count, struct dyno_recipe **recipe_out,
                                    struct dyno_err *err)
{
    struct dyno_arena *arena = dyno_arena_create();
    *recipe_out = NULL;
    if (arena == NULL)
        return DYNO_NOMEM(err);
    struct dyno_recipe *recipe = dyno_arena_alloc(arena, 1, sizeof(*recipe));
    if (recipe != NULL) {
        recipe->arena = arena;
        recipe->folder = dyno_arena_strdup(arena, folder);
        recipe->has_baseline = !wish->no_baseline;
    }
    if (recipe == NULL || recipe->folder == NULL ||
        !make_flags(recipe, DYNO_MADE_BASELINE, wish, thread_count) ||
        !make_flags(recipe, DYNO_MADE_TUNED, wish, thread_count)) {
        dyno_arena_destroy(arena);
        return DYNO_NOMEM(err);
    }
    *recipe_out = recipe;
    return DYNO_OK;
}

void dyno_recipe_destroy(struct dyno_recipe *recipe)
{
    if (recipe != NULL)
        dyno_arena_destroy(recipe->arena);
}

bool dyno_recipe_is_same(const struct dyno_recipe *a, const struct dyno_recipe *b)
{
    if (strcmp(a->folder, b->folder) != 0 || a->has_baseline != b->has_baseline)
        return false;
    const char *const *x = a->args[DYNO_MADE_TUNED];
    const char *const *y = b->args[DYNO_MADE_TUNED];
    for (; *x != NULL && *y != NULL && strcmp(*x, *y) == 0; x++)
        y++;
    return *x == NULL && *y == NULL;
}
