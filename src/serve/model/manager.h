/* manager.h - which models are loaded: the catalog, and the thread that changes it.
 *
 * Finding takes a lock for the time of a look-up.  Loading, unloading and listing happen on the
 * manager's thread, at low priority, one command after the other; a command's `done` is called
 * there.
 */
#ifndef DYNO_SERVE_MODEL_MANAGER_H
#define DYNO_SERVE_MODEL_MANAGER_H

#include "serve/model/variant.h"

struct dyno_manager;

struct dyno_manager_options {
    const char *const *folders; /* live as long as the manager */
    size_t folder_count;
    int threads;       /* that runs share; 0: one a CPU */
    int lane_count;    /* runs at one time, each with its part of the threads */
    int context_count; /* of a variant, unless its configuration says; a lane has one at least */
    struct dyno_tally_shape tally_shape;
    bool load_at_start; /* everything; else what `start_models` names */
    const char *const *start_models;
    size_t start_model_count;
};

enum dyno_status dyno_manager_create(const struct dyno_manager_options *options,
                                     struct dyno_manager **manager_out, struct dyno_err *err);
/* Nobody holds a variant.  Accepts NULL. */
void dyno_manager_destroy(struct dyno_manager *manager);

/* Has what was asked for at start been tried? */
bool dyno_manager_is_ready(struct dyno_manager *manager);

/* A ready variant, referenced.  version "" or NULL: the highest; variant NULL: the first by name.
 * E_NOT_FOUND, or E_BUSY when it is known and not ready, with Triton's sentence. */
enum dyno_status dyno_manager_find(struct dyno_manager *manager, const char *model,
                                   const char *version, struct dyno_variant **variant_out,
                                   struct dyno_err *err);

/* Which of the variants of a (model, version) that are known shall answer: *wanted_out is the one
 * that would if all were ready, *chosen_out one of those that are; -1: none.  Under the manager's
 * lock. */
typedef void dyno_choose_fn(void *arg, struct dyno_variant *const *known, const bool *is_ready,
                            size_t count, int *wanted_out, int *chosen_out);

/* The variant that `choose` takes, referenced.  version "": the newest that has a ready variant.
 * Fails as dyno_manager_find does. */
enum dyno_status dyno_manager_choose(struct dyno_manager *manager, const char *model,
                                     const char *version, dyno_choose_fn *choose, void *arg,
                                     struct dyno_variant **variant_out, struct dyno_err *err);

/* The ready variants of a model (NULL: of all), each referenced, ordered by model, version, name;
 * in `arena`. */
enum dyno_status dyno_manager_ready(struct dyno_manager *manager, const char *model,
                                    struct dyno_arena *arena, struct dyno_variant ***variants_out,
                                    size_t *count_out, struct dyno_err *err);

/* --- commands --- */

enum dyno_command_kind {
    DYNO_COMMAND_LOAD,
    DYNO_COMMAND_UNLOAD,
    DYNO_COMMAND_INDEX,
};

/* One (model, version) of an index. */
struct dyno_index_row {
    struct dyno_index_row *next;
    const char *model, *version; /* version NULL: of none is anything known */
    const char *state, *reason;
};

struct dyno_order {
    struct dyno_order *next;
    enum dyno_command_kind kind;
    const char *model; /* lives until done */
    void (*done)(struct dyno_order *order);
    /* What came of it. */
    enum dyno_status status;
    struct dyno_err err;
    struct dyno_arena *arena; /* INDEX: the caller's, for the rows */
    struct dyno_index_row *rows;
};
void dyno_manager_order(struct dyno_manager *manager, struct dyno_order *order);

#endif /* DYNO_SERVE_MODEL_MANAGER_H */
