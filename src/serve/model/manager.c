/* manager.c - the queue of orders and the threads that empty it. */
#include "serve/model/manager.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpus.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/model/workshop.h"

#define NICENESS   10
#define TRIM_NS    UINT64_C(1000000000) /* between looks at what is held, */
#define RECOVER_NS UINT64_C(1000000000) /* and at what fell with a GPU */

struct dyno_catalog *dyno_manager_catalog(struct dyno_manager *manager)
{
    return &manager->catalog;
}

bool dyno_manager_is_ending(struct dyno_manager *manager)
{
    (void)pthread_mutex_lock(&manager->lock);
    const bool is_ending = manager->is_ending;
    (void)pthread_mutex_unlock(&manager->lock);
    return is_ending;
}

bool dyno_manager_is_ready(struct dyno_manager *manager)
{
    (void)pthread_mutex_lock(&manager->lock);
    const bool is_ready = manager->is_started && manager->starting_count == 0;
    (void)pthread_mutex_unlock(&manager->lock);
    return is_ready;
}

/* --- the queue --- */

void dyno_manager_order(struct dyno_manager *manager, struct dyno_order *order)
{
    order->next = NULL;
    (void)pthread_mutex_lock(&manager->lock);
    if (manager->last != NULL)
        manager->last->next = order;
    else
        manager->first = order;
    manager->last = order;
    (void)pthread_cond_broadcast(&manager->work);
    (void)pthread_mutex_unlock(&manager->lock);
}

static bool is_same_model(const struct dyno_order *a, const struct dyno_order *b)
{
    return a->kind != DYNO_COMMAND_INDEX && b->kind != DYNO_COMMAND_INDEX &&
           strcmp(a->model, b->model) == 0;
}

/* Under the lock: is its model being worked on, or an older order about it waiting? */
static bool must_wait(const struct dyno_manager *manager, const struct dyno_order *order)
{
    for (int i = 0; i < manager->worker_count; i++)
        if (manager->workers[i].order != NULL && is_same_model(manager->workers[i].order, order))
            return true;
    for (const struct dyno_order *at = manager->first; at != order; at = at->next)
        if (is_same_model(at, order))
            return true;
    return false;
}

/* Under the lock: the first order that may be carried out now. */
static struct dyno_order *take_order(struct dyno_manager *manager)
{
    const bool may_load = manager->busy_load_count < manager->options.load_count;
    struct dyno_order *before = NULL;
    for (struct dyno_order *at = manager->first; at != NULL; before = at, at = at->next) {
        if ((at->kind == DYNO_COMMAND_LOAD && !may_load) || must_wait(manager, at))
            continue;
        if (before != NULL)
            before->next = at->next;
        else
            manager->first = at->next;
        if (manager->last == at)
            manager->last = before;
        return at;
    }
    return NULL;
}

/* --- the threads --- */

/* Is it done? */
static bool carry_out(struct dyno_manager *manager, struct dyno_order *order)
{
    bool is_waiting = false;
    switch (order->kind) {
    case DYNO_COMMAND_LOAD:
        order->status = dyno_manager_load(manager, order, &is_waiting, &order->err);
        if (order->is_demand)
            dyno_manager_demand_over(order);
        break;
    case DYNO_COMMAND_UNLOAD:
        order->status = dyno_manager_unload(manager, order, &order->err);
        break;
    case DYNO_COMMAND_FORGET:
        dyno_manager_forget(manager, order->model);
        break;
    case DYNO_COMMAND_INDEX:
        order->status = dyno_manager_index(manager, order);
        break;
    }
    return !is_waiting;
}

static void destroy_reaped(struct dyno_manager *manager, struct dyno_variant *variant)
{
    struct dyno_slot *slot = variant->slot;
    (void)pthread_mutex_lock(&manager->catalog.lock);
    const struct dyno_memory_left left = dyno_memory_leave(&manager->memory, variant);
    (void)pthread_mutex_unlock(&manager->catalog.lock);
    dyno_variant_destroy(variant);
    (void)pthread_mutex_lock(&manager->catalog.lock);
    dyno_memory_left(&manager->memory, &left);
    dyno_catalog_drained(&manager->catalog, slot);
    (void)pthread_mutex_unlock(&manager->catalog.lock);
}

static struct dyno_variant *take_reaped(struct dyno_manager *manager)
{
    struct dyno_variant *reaped = manager->reaped;
    if (reaped != NULL)
        manager->reaped = reaped->next_reap;
    return reaped;
}

void dyno_manager_reap(struct dyno_manager *manager)
{
    (void)pthread_mutex_lock(&manager->lock);
    for (struct dyno_variant *reaped = take_reaped(manager); reaped != NULL;
         reaped = take_reaped(manager)) {
        (void)pthread_mutex_unlock(&manager->lock);
        destroy_reaped(manager, reaped);
        (void)pthread_mutex_lock(&manager->lock);
    }
    (void)pthread_mutex_unlock(&manager->lock);
}

/* What variants came to need while they served may be more than there is. */
static void trim(struct dyno_manager *manager)
{
    struct dyno_catalog *catalog = &manager->catalog;
    for (struct dyno_variant *victim = NULL;; dyno_manager_reap(manager)) {
        (void)pthread_mutex_lock(&catalog->lock);
        victim = dyno_memory_trim(&manager->memory, catalog);
        (void)pthread_mutex_unlock(&catalog->lock);
        if (victim == NULL)
            return;
        dyno_manager_tell_evicted(victim);
        dyno_variant_unref(victim);
    }
}

/* Under the lock, but for the time of `fn`: is it time for it?  Not by two threads at once. */
static bool do_at(struct dyno_manager *manager, uint64_t *at_ns, uint64_t gap_ns,
                  void (*fn)(struct dyno_manager *manager))
{
    if (*at_ns == 0 || dyno_clock_ns() < *at_ns)
        return false;
    *at_ns = 0;
    (void)pthread_mutex_unlock(&manager->lock);
    fn(manager);
    (void)pthread_mutex_lock(&manager->lock);
    *at_ns = dyno_clock_ns() + gap_ns;
    (void)pthread_cond_broadcast(&manager->work); /* whoever sleeps sleeps until then */
    return true;
}

/* Under the lock: sleep until there is something to do. */
static void sleep_on(struct dyno_manager *manager)
{
    const uint64_t times[] = {manager->trim_ns, manager->poll_ns, manager->recover_ns};
    uint64_t ns = 0;
    for (size_t i = 0; i < DYNO_COUNT(times); i++)
        ns = times[i] != 0 && (ns == 0 || times[i] < ns) ? times[i] : ns;
    if (do_at(manager, &manager->trim_ns, TRIM_NS, trim) ||
        do_at(manager, &manager->recover_ns, RECOVER_NS, dyno_gpus_recover) ||
        do_at(manager, &manager->poll_ns, manager->options.poll_ns, dyno_manager_poll))
        return;
    if (ns == 0) {
        (void)pthread_cond_wait(&manager->work, &manager->lock);
        return;
    }
    const struct timespec at = {.tv_sec = (time_t)(ns / 1000000000U),
                                .tv_nsec = (long)(ns % 1000000000U)};
    (void)pthread_cond_timedwait(&manager->work, &manager->lock, &at);
}

static void *work(void *arg)
{
    struct dyno_worker *worker = arg;
    struct dyno_manager *manager = worker->manager;
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICENESS);
    (void)pthread_mutex_lock(&manager->lock);
    for (;;) {
        struct dyno_variant *reaped = take_reaped(manager);
        struct dyno_order *order = reaped == NULL ? take_order(manager) : NULL;
        if (reaped != NULL) {
            (void)pthread_mutex_unlock(&manager->lock);
            destroy_reaped(manager, reaped);
            (void)pthread_mutex_lock(&manager->lock);
        } else if (order != NULL) {
            const bool is_load = order->kind == DYNO_COMMAND_LOAD;
            worker->order = order;
            manager->busy_load_count += is_load;
            (void)pthread_mutex_unlock(&manager->lock);
            const bool is_done = carry_out(manager, order);
            (void)pthread_mutex_lock(&manager->lock);
            worker->order = NULL;
            manager->busy_load_count -= is_load;
            (void)pthread_cond_broadcast(&manager->work);
            (void)pthread_mutex_unlock(&manager->lock);
            if (is_done)
                order->done(order); /* and gone */
            (void)pthread_mutex_lock(&manager->lock);
        } else if (manager->is_ending) {
            break;
        } else {
            sleep_on(manager);
        }
    }
    (void)pthread_mutex_unlock(&manager->lock);
    return NULL;
}

/* --- the whole --- */

/* The threads, shared out: a pool a lane. */
static enum dyno_status make_lanes(struct dyno_manager *manager, struct dyno_err *err)
{
    const int threads =
        manager->options.threads > 0 ? manager->options.threads : dyno_cpus_allowed_count();
    const int count = manager->options.lane_count;
    for (; manager->lanes.count < count; manager->lanes.count++) {
        const int own = threads / count + (manager->lanes.count < threads % count);
        DYNO_TRY(dyno_threads_create(own > 0 ? own : 1, 0,
                                     &manager->lanes.pools[manager->lanes.count], err));
    }
    return DYNO_OK;
}

static enum dyno_status make_workers(struct dyno_manager *manager, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    (void)pthread_mutex_lock(&manager->lock); /* they count themselves among others */
    while (manager->worker_count < manager->options.load_count + 1 && status == DYNO_OK) {
        struct dyno_worker *worker = &manager->workers[manager->worker_count];
        worker->manager = manager;
        const int code = pthread_create(&worker->thread, NULL, work, worker);
        if (code == 0)
            manager->worker_count++;
        else
            status = DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start a thread: %s", strerror(code));
    }
    (void)pthread_mutex_unlock(&manager->lock);
    return status;
}

enum dyno_status dyno_manager_create(const struct dyno_manager_options *options,
                                     struct dyno_manager **manager_out, struct dyno_err *err)
{
    DYNO_ASSERT(options->load_count > 0 && options->load_count <= DYNO_LOADS_MAX);
    pthread_condattr_t monotonic;
    *manager_out = NULL;
    struct dyno_manager *manager = dyno_alloc(1, sizeof(*manager));
    if (manager == NULL)
        return DYNO_NOMEM(err);
    (void)pthread_mutex_init(&manager->lock, NULL);
    (void)pthread_mutex_init(&manager->fall_lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&manager->work, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    dyno_catalog_init(&manager->catalog);
    manager->options = *options;
    manager->memory.rooms[0].limit_bytes = options->memory_bytes_max;
    manager->trim_ns =
        options->memory_bytes_max != 0 || options->gpu_count > 0 ? dyno_clock_ns() + TRIM_NS : 0;
    manager->recover_ns = options->gpu_count > 0 ? dyno_clock_ns() + RECOVER_NS : 0;
    manager->poll_ns = options->poll_ns != 0 ? dyno_clock_ns() + options->poll_ns : 0;
    manager->catalog.on_demand = options->on_demand;
    manager->catalog.wait_max = options->wait_max;
    manager->catalog.want = dyno_manager_want;
    manager->catalog.want_arg = manager;
    manager->arena = dyno_arena_create();
    enum dyno_status status = manager->arena != NULL ? make_lanes(manager, err) : DYNO_NOMEM(err);
    if (status == DYNO_OK)
        status = dyno_gpus_create(manager, err);
    if (status == DYNO_OK)
        status = dyno_workshop_create(manager, options->builds, &manager->workshop, err);
    manager->options.builds = NULL;
    if (status == DYNO_OK)
        status = dyno_manager_start(manager, err);
    manager->is_started = true;
    if (status == DYNO_OK)
        status = make_workers(manager, err);
    if (status != DYNO_OK) {
        dyno_manager_destroy(manager);
        return status;
    }
    *manager_out = manager;
    return DYNO_OK;
}

/* Nothing answers any more. */
static void empty_catalog(struct dyno_manager *manager)
{
    struct dyno_catalog *catalog = &manager->catalog;
    struct dyno_variant *old = NULL;
    (void)pthread_mutex_lock(&catalog->lock);
    for (size_t i = 0; i < catalog->count; i++)
        for (struct dyno_slot *at = catalog->shelves[i]->slots; at != NULL; at = at->next) {
            struct dyno_variant *variant = dyno_slot_empty(at, NULL);
            if (variant == NULL)
                continue;
            variant->next_reap = old;
            old = variant;
        }
    (void)pthread_mutex_unlock(&catalog->lock);
    while (old != NULL) {
        struct dyno_variant *next = old->next_reap;
        dyno_variant_unref(old);
        old = next;
    }
}

void dyno_manager_stop_builds(struct dyno_manager *manager)
{
    dyno_workshop_stop(manager->workshop);
}

void dyno_manager_destroy(struct dyno_manager *manager)
{
    if (manager == NULL)
        return;
    if (manager->workshop != NULL)
        dyno_workshop_stop(manager->workshop);
    (void)pthread_mutex_lock(&manager->fall_lock); /* nothing is ordered after this */
    (void)pthread_mutex_lock(&manager->lock);
    manager->is_ending = true;
    (void)pthread_cond_broadcast(&manager->work);
    (void)pthread_mutex_unlock(&manager->lock);
    (void)pthread_mutex_unlock(&manager->fall_lock);
    for (int i = 0; i < manager->worker_count; i++)
        (void)pthread_join(manager->workers[i].thread, NULL);
    while (manager->first != NULL) { /* of a start that failed */
        struct dyno_order *order = manager->first;
        manager->first = order->next;
        order->status = DYNO_E_CANCELLED;
        order->done(order);
    }
    dyno_gpus_stop(manager);
    empty_catalog(manager);
    dyno_manager_reap(manager);
    dyno_gpus_destroy(manager);
    dyno_workshop_destroy(manager->workshop);
    dyno_catalog_fini(&manager->catalog);
    for (int i = 0; i < manager->lanes.count; i++)
        dyno_threads_destroy(manager->lanes.pools[i]);
    dyno_arena_destroy(manager->arena);
    (void)pthread_cond_destroy(&manager->work);
    (void)pthread_mutex_destroy(&manager->lock);
    dyno_free(manager);
}
