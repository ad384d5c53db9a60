/* recipe.h - what is asked of the builder for the engines of a version.  Any thread. */
#ifndef DYNO_SERVE_MODEL_RECIPE_H
#define DYNO_SERVE_MODEL_RECIPE_H

#include "base/arena.h"
#include "serve/model/maker.h"

#define DYNO_RECIPE_ARGS_MAX 16 /* of one stage, with the NULL that ends them */

/* What was asked for; not changed after it was made. */
struct dyno_recipe {
    struct dyno_arena *arena; /* with this struct in it */
    const char *folder;
    const char *const *args[2]; /* flags of the builder by stage, NULL ends them */
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
