/* internal.h - what the files of the manager share.
 *
 * manager.c: the queue and the threads.  own.c: orders that the manager gives itself.  load.c: an
 * order, carried out for a model.  ready.c: one slot of it, made ready.  gpus.c: where engines for
 * GPUs go, and what falls with one.
 */
#ifndef DYNO_SERVE_MODEL_INTERNAL_H
#define DYNO_SERVE_MODEL_INTERNAL_H

#include "serve/model/manager.h"
#include "serve/model/memory.h"

#define DYNO_RETRY_NS UINT64_C(10000000000) /* a load that failed is not tried again on demand */
#define DYNO_ROOM_NS  UINT64_C(10000000000) /* requests wait so long for room */

struct dyno_workshop;

struct dyno_worker {
    struct dyno_manager *manager;
    pthread_t thread;
    const struct dyno_order *order; /* it carries out; NULL: none */
};

struct dyno_manager {
    struct dyno_manager_options options;
    struct dyno_lanes lanes;
    struct dyno_arena *arena; /* names of the start */
    struct dyno_catalog catalog;
    struct dyno_memory memory;   /* under the catalog's lock */
    struct dyno_figures figures; /* of loads; under the catalog's lock */
    struct dyno_gpu_device gpus[DYNO_GPUS_MAX];
    int gpu_count;
    pthread_mutex_t fall_lock; /* around the catalog's: who orders because a GPU fell */
    struct dyno_workshop *workshop;
    struct dyno_worker workers[DYNO_LOADS_MAX + 1];
    int worker_count;

    /* Taken inside the catalog's lock, never around it. */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct dyno_variant *reaped; /* nobody holds these any more */
    struct dyno_order *first, *last;
    int busy_load_count;
    size_t starting_count; /* orders of the start that are not done */
    uint64_t trim_ns;      /* when the bound on memory is looked at next; 0: never */
    uint64_t poll_ns;      /* the same of the repository */
    uint64_t recover_ns;   /* and of what fell with a GPU */
    bool is_started, is_ending;
};

static inline void dyno_manager_lock_catalog(struct dyno_manager *manager)
{
    (void)pthread_mutex_lock(&manager->catalog.lock);
}

static inline void dyno_manager_unlock_catalog(struct dyno_manager *manager)
{
    (void)pthread_mutex_unlock(&manager->catalog.lock);
}

/* --- what was taken out of the catalog, to be let go outside its lock --- */

struct dyno_leaving {
    struct dyno_variant *variants;
    struct dyno_wait *waits, *last_wait;
};
void dyno_leaving_add(struct dyno_leaving *leaving, struct dyno_variant *variant); /* or NULL */
void dyno_leaving_wake(struct dyno_leaving *leaving, struct dyno_wait *waits);     /* or NULL */
void dyno_leaving_go(struct dyno_leaving *leaving);

/* --- orders --- */

/* An order to load, being carried out. */
struct dyno_job {
    struct dyno_manager *manager;
    struct dyno_order *order;
    const struct dyno_repo_model *model;
    struct dyno_shelf *shelf;
    struct dyno_slot **slots; /* to be ready in the end */
    size_t count, ready_count, put_off_count;
    uint64_t plan_tick;
    bool has_builds;   /* versions that engines are built for */
    uint64_t settings; /* of stamps */
    /* The slot at hand. */
    struct dyno_slot *slot;
    uint64_t start_ns;
    struct dyno_stamp stamp;
    /* That the same file took before, of the host and of its GPU; 0: not known. */
    uint64_t known_bytes, known_gpu_bytes;
    bool was_placed; /* on a GPU, that had a child then */
    struct dyno_promise promise;
    struct dyno_err reason; /* the first failure */
};

/* Make one slot ready, or have it tell why not; counts it in the job. */
void dyno_job_load(struct dyno_job *job, struct dyno_slot *slot);

/* Carry out, on a worker.  *is_waiting_out: the order waits for builds, and comes back to the queue
 * when there are no more; it is not done yet. */
enum dyno_status dyno_manager_load(struct dyno_manager *manager, struct dyno_order *order,
                                   bool *is_waiting_out, struct dyno_err *err);
enum dyno_status dyno_manager_unload(struct dyno_manager *manager, const struct dyno_order *order,
                                     struct dyno_err *err);
void dyno_manager_forget(struct dyno_manager *manager, const char *model);
enum dyno_status dyno_manager_index(struct dyno_manager *manager, struct dyno_order *order);
/* Show what an order is to load as loading, before it is carried out. */
void dyno_manager_announce(struct dyno_manager *manager, struct dyno_order *order);
/* What variants of a model depend on beside their engines. */
uint64_t dyno_model_settings(const struct dyno_repo_model *model, struct dyno_arena *arena);
/* Why nothing can be read of a model: false when that was known. */
bool dyno_manager_tell_model(struct dyno_manager *manager, const char *model, const char *reason);

/* --- GPUs --- */

/* A sentence about the one that is named. */
#define DYNO_GPU_NOT_USED \
    "its configuration wants the GPU %s, which this server does not use (--device)"

enum dyno_status dyno_gpus_create(struct dyno_manager *manager, struct dyno_err *err);
/* Nothing runs any more: end the children, and with them all that they hold. */
void dyno_gpus_stop(struct dyno_manager *manager);
void dyno_gpus_destroy(struct dyno_manager *manager); /* no variant is left */
/* A variant plan's `place`; arg: the job. */
enum dyno_status dyno_gpus_place(void *arg, struct dyno_variant *variant, struct dyno_err *err);
/* A card's `fell`: its variants answer no more, and are loaded again. */
void dyno_gpus_fell(void *arg, struct dyno_card *card, const char *why);
/* Under the catalog's lock: is the slot to be tried again by itself? */
void dyno_gpus_load_failed(const struct dyno_job *job, struct dyno_slot *slot,
                           enum dyno_status status);
/* Order what fell with a GPU and is not there again. */
void dyno_gpus_recover(struct dyno_manager *manager);

/* --- the manager's own --- */

enum dyno_status dyno_manager_start(struct dyno_manager *manager, struct dyno_err *err);
/* An order of `want` was carried out. */
void dyno_manager_demand_over(struct dyno_order *order);
/* The catalog's `want`. */
bool dyno_manager_want(void *arg, struct dyno_slot *slot, bool is_spare);
/* Order what has changed in the repository. */
void dyno_manager_poll(struct dyno_manager *manager);

void dyno_manager_tell_evicted(struct dyno_variant *variant); /* in the log */
/* Destroy what nobody holds any more. */
void dyno_manager_reap(struct dyno_manager *manager);
bool dyno_manager_is_ending(struct dyno_manager *manager);

#endif /* DYNO_SERVE_MODEL_INTERNAL_H */
