/* catalog.h - what is known of every (model, version, variant), and the look-up of a request.
 *
 * A slot is what is known of one of them: its state, why it is in it, and the variant that answers.
 * It may be known without being loaded, and a reload puts another variant into it:
 *
 *     unloaded -> loading -> warming -> ready -> draining -> unloaded
 *                    |          |         ^
 *                    +----------+-----> failed      (with its reason)
 *
 * A slot whose variant is ready stays so while a successor is loaded; the two change places in one
 * step, and when the successor fails the old one stays, with the reason beside it.
 *
 * Everything is under one lock, held for the time of a look-up, never while a file is read.
 */
#ifndef DYNO_SERVE_MODEL_CATALOG_H
#define DYNO_SERVE_MODEL_CATALOG_H

#include "serve/model/repository.h"
#include "serve/model/variant.h"

enum dyno_slot_state {
    DYNO_SLOT_UNLOADED,
    DYNO_SLOT_LOADING,
    DYNO_SLOT_WARMING,
    DYNO_SLOT_READY,
    DYNO_SLOT_DRAINING,
    DYNO_SLOT_FAILED,
};

struct dyno_shelf;

struct dyno_slot {
    struct dyno_slot *next;   /* of its model: the newest version first, by name */
    struct dyno_shelf *shelf; /* the model */
    uint64_t number;
    char version[24], name[DYNO_MODEL_NAME_BYTES_MAX + 1];
    char *path; /* of the engine; NULL: not known yet */
    enum dyno_slot_state state;
    char *reason;                 /* of the state, or why a successor failed; NULL: none */
    struct dyno_variant *variant; /* that answers, with a reference; NULL: none */
    uint32_t drain_count;         /* variants that were here and are still held by somebody */
    bool is_gone;                 /* goes with the last of those */
    bool is_foreign;              /* not of the repository: a reload of the model leaves it */
    double accuracy;              /* 0..1, of the model itself */
    bool is_pinned;               /* it is not evicted */
    bool is_evicted;              /* unloaded to make room, not by request */
    uint64_t used_tick;           /* when a request came for it last, by the catalog's count */
    uint64_t bytes;               /* that it took when it was ready last; 0: it never was */
    struct dyno_stamp stamp;      /* of the file that was loaded, or failed to be */
};

/* A model. */
struct dyno_shelf {
    char name[DYNO_MODEL_NAME_BYTES_MAX + 1];
    struct dyno_slot *slots;
    char *reason; /* why nothing could be read of it; NULL: it could */
};

struct dyno_catalog {
    pthread_mutex_t lock;
    struct dyno_shelf **shelves; /* by name */
    size_t count, room;
    uint64_t tick;
};

void dyno_catalog_init(struct dyno_catalog *catalog);
void dyno_catalog_fini(struct dyno_catalog *catalog); /* nothing answers or drains */

/* --- requests, any thread --- */

/* A ready variant, referenced.  version "" or NULL: of the newest version that has one.
 * E_NOT_FOUND, or E_BUSY when it is known and not ready, with Triton's sentence and why. */
enum dyno_status dyno_catalog_find(struct dyno_catalog *catalog, const char *model,
                                   const char *version, struct dyno_variant **variant_out,
                                   struct dyno_err *err);

/* What is judged of one slot. */
struct dyno_known {
    const char *name;
    double accuracy;
    struct dyno_variant *variant; /* NULL: not ready */
};

/* Which of the variants of a (model, version) that are known shall answer: *wanted_out is the one
 * that would if all were ready, *chosen_out one of those that are; -1: none.  Under the lock. */
typedef void dyno_choose_fn(void *arg, const struct dyno_known *known, size_t count,
                            int *wanted_out, int *chosen_out);

/* The variant that `choose` takes, referenced.  version "": the newest that has a ready variant.
 * Fails as dyno_catalog_find does. */
enum dyno_status dyno_catalog_choose(struct dyno_catalog *catalog, const char *model,
                                     const char *version, dyno_choose_fn *choose, void *arg,
                                     struct dyno_variant **variant_out, struct dyno_err *err);

/* The ready variants of a model (NULL: of all), each referenced, ordered by model, version, name;
 * in `arena`. */
enum dyno_status dyno_catalog_ready(struct dyno_catalog *catalog, const char *model,
                                    struct dyno_arena *arena, struct dyno_variant ***variants_out,
                                    size_t *count_out, struct dyno_err *err);

/* One (model, version) of an index: the best state among its variants, and what is to be told of
 * any of them. */
struct dyno_index_row {
    struct dyno_index_row *next;
    const char *model, *version; /* version NULL: of none is anything known; state "" then, too */
    const char *state, *reason;
};
/* Rows of all that is known, and of `models`, which are sorted by name, too; in `arena`. */
enum dyno_status dyno_catalog_index(struct dyno_catalog *catalog,
                                    const struct dyno_repo_model *models, struct dyno_arena *arena,
                                    struct dyno_index_row **rows_out, struct dyno_err *err);

/* Show a variant that has no engine yet as LOADING or FAILED, and why: it is being made.  It stays
 * until an order loads it, or unloads it.  One that is ready is left as it is.  E_NOMEM. */
enum dyno_status dyno_catalog_announce(struct dyno_catalog *catalog, const char *model,
                                       uint64_t version, const char *variant,
                                       enum dyno_slot_state state, const char *reason,
                                       struct dyno_err *err);

/* --- the manager, under the lock --- */

struct dyno_shelf *dyno_catalog_shelf(struct dyno_catalog *catalog, const char *model);
/* Found or made; NULL: out of memory. */
struct dyno_shelf *dyno_catalog_take_shelf(struct dyno_catalog *catalog, const char *model);
struct dyno_slot *dyno_shelf_slot(struct dyno_shelf *shelf, uint64_t version, const char *name);
struct dyno_slot *dyno_shelf_take_slot(struct dyno_shelf *shelf, uint64_t version,
                                       const char *name);

/* Why nothing can be read of the model; NULL: it can. */
void dyno_shelf_tell(struct dyno_shelf *shelf, const char *reason);

/* Is it of this version (0: of any) and has it this name ("": any)? */
bool dyno_slot_is_in(const struct dyno_slot *slot, uint64_t version, const char *name);
/* A new state and why, NULL: nothing is to be told. */
void dyno_slot_set(struct dyno_slot *slot, enum dyno_slot_state state, const char *reason);
/* The variant answers from now on; the one before it drains and is returned, to be let go outside
 * the lock. */
struct dyno_variant *dyno_slot_put(struct dyno_slot *slot, struct dyno_variant *variant);
/* Nothing answers any more; what did drains, and is returned as above. */
struct dyno_variant *dyno_slot_empty(struct dyno_slot *slot, const char *reason);
/* The slot goes, with the last variant that drains. */
void dyno_catalog_drop(struct dyno_catalog *catalog, struct dyno_slot *slot);
/* A model without slots of which nothing is to be told goes, too. */
void dyno_catalog_tidy(struct dyno_catalog *catalog, struct dyno_shelf *shelf);
/* One of its variants was destroyed. */
void dyno_catalog_drained(struct dyno_catalog *catalog, struct dyno_slot *slot);

#endif /* DYNO_SERVE_MODEL_CATALOG_H */
