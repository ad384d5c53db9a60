/* internal.h - what the files of the manager share. */
#ifndef DYNO_SERVE_MODEL_INTERNAL_H
#define DYNO_SERVE_MODEL_INTERNAL_H

#include "serve/model/manager.h"
#include "serve/model/memory.h"

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
    struct dyno_memory memory; /* under the catalog's lock */
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
    uint64_t look_ns;      /* when the bound on memory is looked at next */
    bool is_started, is_ending;
};

/* Carry out, on a worker.  *is_waiting_out: the order waits for builds, and comes back to the queue
 * when there are no more; it is not done yet. */
enum dyno_status dyno_manager_load(struct dyno_manager *manager, struct dyno_order *order,
                                   bool *is_waiting_out, struct dyno_err *err);
enum dyno_status dyno_manager_unload(struct dyno_manager *manager, const struct dyno_order *order,
                                     struct dyno_err *err);
enum dyno_status dyno_manager_index(struct dyno_manager *manager, struct dyno_order *order);
/* Show what an order is to load as loading, before it is carried out. */
void dyno_manager_announce(struct dyno_manager *manager, struct dyno_order *order);

void dyno_manager_tell_evicted(struct dyno_variant *variant); /* in the log */

/* Destroy what nobody holds any more. */
void dyno_manager_reap(struct dyno_manager *manager);

bool dyno_manager_is_ending(struct dyno_manager *manager);

#endif /* DYNO_SERVE_MODEL_INTERNAL_H */
