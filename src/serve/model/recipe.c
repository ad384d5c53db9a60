/* recipe.c - wishes as flags of the builder. */
#include "serve/model/recipe.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *dyno_make_wish_of_gpu(const struct dyno_make_wish *wish)
{
    const struct {
        bool is_wished;
        const char *name;
    } rows[] = {{wish->fp16, "fp16"},
                {wish->bf16, "bf16"},
                {wish->tf32, "tf32"},
                {wish->lean, "lean"},
                {wish->accuracy_budget > 0.0, "accuracy_budget"},
                {wish->layer_precisions != NULL, "layer_precisions"}};
    for (size_t i = 0; i < DYNO_COUNT(rows); i++)
        if (rows[i].is_wished)
            return rows[i].name;
    return NULL;
}

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

/* What the wish may say of a GPU alone; the unoptimised execution is f32. */
static void add_of_gpu(struct flags *flags, enum dyno_made_stage stage,
                       const struct dyno_make_wish *wish)
{
    const struct {
        bool is_wished;
        const char *flag;
    } rows[] = {{wish->fp16, "--fp16"}, {wish->bf16, "--bf16"}, {wish->tf32, "--tf32"}};
    if (wish->lean)
        add(flags, "--lean");
    if (stage == DYNO_MADE_BASELINE)
        return;
    for (size_t i = 0; i < DYNO_COUNT(rows); i++)
        if (rows[i].is_wished)
            add(flags, "%s", rows[i].flag);
    if (wish->layer_precisions != NULL)
        add(flags, "--layerPrecisions=%s", wish->layer_precisions);
    if (wish->accuracy_budget > 0.0)
        add(flags, "--accuracyBudget=%.9g", wish->accuracy_budget);
}

static bool make_flags(struct dyno_arena *arena, struct dyno_recipe_way *way,
                       enum dyno_made_stage stage, const struct dyno_make_wish *wish,
                       int thread_count)
{
    const struct {
        const char *name, *shapes;
    } corners[] = {{"minShapes", wish->min_shapes},
                   {"optShapes", wish->opt_shapes},
                   {"maxShapes", wish->max_shapes}};
    struct flags flags = {.arena = arena};
    flags.args = dyno_arena_alloc(arena, DYNO_RECIPE_ARGS_MAX, sizeof(*flags.args));
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
    if (way->device != NULL)
        add_of_gpu(&flags, stage, wish);
    way->args[stage] = flags.args;
    return !flags.failed;
}

/* device: NULL: the CPU. */
static bool make_way(struct dyno_recipe *recipe, const char *device,
                     const struct dyno_make_wish *wish, int thread_count)
{
    struct dyno_arena *arena = recipe->arena;
    struct dyno_recipe_way *way = &recipe->ways[recipe->way_count++];
    const char *of_gpu = device == NULL ? dyno_make_wish_of_gpu(wish) : NULL;
    char refusal[256];
    if (device != NULL)
        way->device = dyno_arena_strdup(arena, device);
    if (wish->refusal != NULL) {
        way->refusal = dyno_arena_strdup(arena, wish->refusal);
    } else if (of_gpu != NULL) {
        (void)snprintf(refusal, sizeof(refusal),
                       "its configuration has build.%s, which goes with a GPU, and it is built for "
                       "the CPU",
                       of_gpu);
        way->refusal = dyno_arena_strdup(arena, refusal);
    }
    return (device == NULL || way->device != NULL) &&
           ((wish->refusal == NULL && of_gpu == NULL) || way->refusal != NULL) &&
           make_flags(arena, way, DYNO_MADE_BASELINE, wish, thread_count) &&
           make_flags(arena, way, DYNO_MADE_TUNED, wish, thread_count);
}

enum dyno_status dyno_recipe_create(const char *folder, const struct dyno_make_wish *wish,
                                    int thread_count, struct dyno_recipe **recipe_out,
                                    struct dyno_err *err)
{
    struct dyno_arena *arena = dyno_arena_create();
    const bool is_for_cpu = wish->device == NULL || strcmp(wish->device, "cpu") == 0;
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
        !make_way(recipe, is_for_cpu ? NULL : wish->device, wish, thread_count) ||
        (!is_for_cpu && wish->is_device_assumed && !make_way(recipe, NULL, wish, thread_count))) {
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

static bool is_same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool is_same_way(const struct dyno_recipe_way *a, const struct dyno_recipe_way *b)
{
    const char *const *x = a->args[DYNO_MADE_TUNED];
    const char *const *y = b->args[DYNO_MADE_TUNED];
    for (; *x != NULL && *y != NULL && strcmp(*x, *y) == 0; x++)
        y++;
    return *x == NULL && *y == NULL && is_same_text(a->device, b->device) &&
           is_same_text(a->refusal, b->refusal);
}

bool dyno_recipe_is_same(const struct dyno_recipe *a, const struct dyno_recipe *b)
{
    if (strcmp(a->folder, b->folder) != 0 || a->has_baseline != b->has_baseline ||
        a->way_count != b->way_count)
        return false;
    for (int i = 0; i < a->way_count; i++)
        if (!is_same_way(&a->ways[i], &b->ways[i]))
            return false;
    return true;
}
