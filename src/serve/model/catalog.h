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
    bool is_fallen;               /* with its GPU: it is loaded again by itself */
    uint64_t used_tick;           /* when a request came for it last, by the catalog's count */
    uint64_t bytes, gpu_bytes;    /* that it took when it was ready last; 0: it never was */
    uint64_t plan_tick;           /* when an order found it in the repository last */
    /* Requests that wait for it, and the load that they are waiting for. */
    struct dyno_wait *waits;
    uint32_t wait_count;
    uint32_t fall_count; /* loads of it that a GPU's child fell in, one after the other */
    uint64_t wait_ns;    /* since when */
    bool is_ordered;     /* by them: a load is under way */
    uint64_t retry_ns;   /* FAILED: it is not tried again before */
    uint64_t spare_ns;   /* it is not ordered again, without anybody who waits, before */
    uint64_t hit_count, miss_count; /* requests that would rather have it: it was ready, or not */
    struct dyno_stamp stamp;        /* of the file that was loaded, or failed to be */
};

/* A model. */
struct dyno_shelf {
    char name[DYNO_MODEL_NAME_BYTES_MAX + 1];
    struct dyno_slot *slots;
    char *reason;   /* why nothing could be read of it; NULL: it could */
    bool is_polled; /* what has changed of it is being carried out */
};

struct dyno_catalog {
    pthread_mutex_t lock;
    struct dyno_shelf **shelves; /* by name */
    size_t count, room;
    uint64_t tick, plan_tick;
    bool on_demand;    /* what is known is loaded when it is asked for */
    uint32_t wait_max; /* requests that wait for one slot */
    /* Order a load of the slot; false: out of memory.  is_spare: nobody waits for it, and nothing
     * is to go for it.  Under the lock. */
    bool (*want)(void *arg, struct dyno_slot *slot, bool is_spare);
    void *want_arg;
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
    bool comes;                   /* not ready, and a request may wait for it */
};

/* A request that waits for a slot.  Zeroed it does not. */
struct dyno_wait {
    struct dyno_wait *next, *prev;
    struct dyno_slot *slot; /* NULL: it does not wait */
    void (*done)(struct dyno_wait *wait);
    bool is_again; /* it has waited before */
    /* When it is done: E_BUSY with a sentence in `err` when the load came to nothing, and when to
     * try again, from now (0: not known). */
    enum dyno_status status;
    struct dyno_err *err;
    uint64_t retry_ns;
    /* What came, referenced so that it does not go before the request has chosen it: to be let go
     * after that.  NULL: choose all the same. */
    struct dyno_variant *variant;
};

/* Which of the variants of a (model, version) that are known shall answer: *wanted_out is the one
 * that would if all were ready, *chosen_out one of those that are; -1: none.  Under the lock. */
typedef void dyno_choose_fn(void *arg, const struct dyno_known *known, size_t count,
                            int *wanted_out, int *chosen_out);

/* The variant that `choose` takes, referenced.  version "": the newest that has a ready variant, or
 * one that comes on demand.  Fails as dyno_catalog_find does.
 *
 * With a `wait` (done set), and when what is wanted comes and nothing that is ready will do: it is
 * ordered, *variant_out is NULL, and `done` is called once, on a thread of the manager, perhaps
 * before this returns.  Then choose again. */
enum dyno_status dyno_catalog_choose(struct dyno_catalog *catalog, const char *model,
                                     const char *version, dyno_choose_fn *choose, void *arg,
                                     struct dyno_wait *wait, struct dyno_variant **variant_out,
                                     struct dyno_err *err);
/* It waits no more, and `done` is not called; false: it is called anyway. */
bool dyno_catalog_unwait(struct dyno_catalog *catalog, struct dyno_wait *wait);
/* A dyno_choose_fn: the first that is ready, by name. */
dyno_choose_fn dyno_choose_first;
/* The first slot of the version that comes on demand and may be tried now, into *version_out and
 * name_out[DYNO_MODEL_NAME_BYTES_MAX + 1]; false: there is none. */
bool dyno_catalog_coming(struct dyno_catalog *catalog, const char *model, const char *version,
                         uint64_t *version_out, char *name_out);
/* Is a request answered, now or when what it wants has come? */
bool dyno_catalog_answers(struct dyno_catalog *catalog, const char *model, const char *version);

/* The ready variants of a model (NULL: of all), each referenced, ordered by model, version, name;
 * in `arena`. */
enum dyno_status dyno_catalog_ready(struct dyno_catalog *catalog, const char *model,
                                    struct dyno_arena *arena, struct dyno_variant ***variants_out,
                                    size_t *count_out, struct dyno_err *err);

/* What is counted of one slot. */
struct dyno_slot_figures {
    const char *model, *version, *name;
    enum dyno_slot_state state;
    uint64_t hit_count, miss_count;
};
/* Of all slots, by model, version, name; in `arena`.  E_NOMEM. */
enum dyno_status dyno_catalog_figures(struct dyno_catalog *catalog, struct dyno_arena *arena,
                                      struct dyno_slot_figures **rows_out, size_t *count_out,
                                      struct dyno_err *err);
/* "unloaded", "loading", "warming", "ready", "draining", "failed". */
#define DYNO_SLOT_STATES 6
const char *dyno_slot_state_text(enum dyno_slot_state state);

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

/* Its waits, linked, which are done with that status; to be woken outside the lock. */
struct dyno_wait *dyno_slot_take_waits(struct dyno_slot *slot, enum dyno_status status,
                                       const char *reason, uint64_t retry_ns);
void dyno_waits_wake(struct dyno_wait *waits);
/* One more, behind the others.  E_BUSY: there are enough, or its load has just failed; E_NOMEM. */
enum dyno_status dyno_slot_wait(struct dyno_catalog *catalog, struct dyno_slot *slot,
                                struct dyno_wait *wait, struct dyno_err *err);
/* Does it come to be ready when a request wants it? */
bool dyno_slot_comes(const struct dyno_catalog *catalog, const struct dyno_slot *slot);

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
