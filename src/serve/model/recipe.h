/* recipe.h - what is asked of the builder for the engines of a version.  Any thread. */
#ifndef DYNO_SERVE_MODEL_RECIPE_H
#define DYNO_SERVE_MODEL_RECIPE_H

#include "base/arena.h"
#include "serve/model/maker.h"

#define DYNO_RECIPE_ARGS_MAX 20 /* of one stage, with the NULL that ends them */

/* For one device. */
struct dyno_recipe_way {
    const char *device;         /* "cuda:N"; NULL: the CPU */
    const char *refusal;        /* why nothing can be built so; NULL: it can be tried */
    const char *const *args[2]; /* flags of the builder by stage, but for the device; NULL ends */
};

/* What was asked for; not changed after it was made. */
struct dyno_recipe {
    struct dyno_arena *arena; /* with this struct in it */
    const char *folder;
    struct dyno_recipe_way ways[2]; /* the second where the first turns out not to be here */
    int way_count;
    bool has_baseline;
};
DYNO_NODISCARD enum dyno_status dyno_recipe_create(const char *folder,
                                                   const struct dyno_make_wish *wish,
                                                   int thread_count,
                                                   struct dyno_recipe **recipe_out,
                                                   struct dyno_err *err);
void dyno_recipe_destroy(struct dyno_recipe *recipe); /* accepts NULL */
bool dyno_recipe_is_same(const struct dyno_recipe *a, const struct dyno_recipe *b);

#endif /* DYNO_SERVE_MODEL_RECIPE_H */
