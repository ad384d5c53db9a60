/* ready.c - one slot made ready: room, the engine, and the step in which it begins to answer. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "serve/model/internal.h"

#define ROOM_WAIT_NS UINT64_C(1000000000) /* for who holds what could go */
#define ROOM_STEP_NS 2000000

static void on_warming(void *arg)
{
    const struct dyno_job *job = arg;
    dyno_manager_lock_catalog(job->manager);
    if (job->slot->variant == NULL)
        dyno_slot_set(job->slot, DYNO_SLOT_WARMING, NULL);
    dyno_manager_unlock_catalog(job->manager);
}

void dyno_manager_tell_evicted(struct dyno_variant *variant)
{
    dyno_log(DYNO_LOG_INFO, "model '%s' version %s variant '%s' is evicted: %llu bytes",
             variant->model, variant->version, variant->name,
             (unsigned long long)dyno_variant_bytes(variant));
}

/* Room for so many bytes, if it is to be had. */
static enum dyno_status on_reserve(void *arg, int device, uint64_t bytes, struct dyno_err *err)
{
    struct dyno_job *job = arg;
    const struct timespec step = {.tv_nsec = ROOM_STEP_NS};
    const uint64_t end_ns = dyno_clock_ns() + ROOM_WAIT_NS;
    const uint64_t known = device == 0 ? job->known_bytes : job->known_gpu_bytes;
    bytes = bytes > known ? bytes : known;
    for (;;) {
        struct dyno_variant *victim = NULL;
        dyno_manager_lock_catalog(job->manager);
        const enum dyno_fit fit = dyno_memory_ask(&job->promise, device, bytes, &victim, err);
        dyno_manager_unlock_catalog(job->manager);
        if (fit == DYNO_FIT_YES)
            return DYNO_OK;
        if (fit == DYNO_FIT_NEVER)
            return DYNO_E_LIMIT;
        if (fit == DYNO_FIT_NOT_NOW)
            return DYNO_E_BUSY;
        if (victim != NULL) {
            dyno_manager_tell_evicted(victim);
            dyno_variant_unref(victim);
        } else if (dyno_clock_ns() >= end_ns) {
            job->promise.is_put_off = true;
            return DYNO_FAIL(
                err, DYNO_E_BUSY,
                "it needs %llu bytes of memory, and all that could go for it is in use",
                (unsigned long long)bytes);
        } else {
            (void)nanosleep(&step, NULL);
        }
        dyno_manager_reap(job->manager);
    }
}

static void reap(struct dyno_variant *variant)
{
    struct dyno_manager *manager = variant->reap_arg;
    (void)pthread_mutex_lock(&manager->lock);
    variant->next_reap = manager->reaped;
    manager->reaped = variant;
    (void)pthread_cond_broadcast(&manager->work);
    (void)pthread_mutex_unlock(&manager->lock);
}

static enum dyno_status make_variant(struct dyno_job *job, struct dyno_slot *slot,
                                     struct dyno_variant **variant_out, struct dyno_err *err)
{
    struct dyno_manager *manager = job->manager;
    const struct dyno_model_config *config = &job->model->config;
    const int wanted =
        config->instances > 0 ? (int)config->instances : manager->options.context_count;
    const struct dyno_variant_plan how = {
        .path = slot->path,
        .folder = job->model->folder,
        .labels = config->labels,
        .lanes = &manager->lanes,
        .device = manager->options.device,
        .instance_count = wanted > manager->lanes.count ? wanted : manager->lanes.count,
        .gpu_instance_count =
            config->instances > DYNO_GPU_LANES ? (int)config->instances : DYNO_GPU_LANES,
        .max_batch = config->has_max_batch ? config->max_batch : -1,
        .settings = job->settings,
        .warming = on_warming,
        .reserve = on_reserve,
        .place = dyno_gpus_place,
        .arg = job,
    };
    struct dyno_variant *variant = dyno_variant_create(job->model->name, slot->number, slot->name,
                                                       &manager->options.tally_shape);
    if (variant == NULL)
        return DYNO_NOMEM(err);
    variant->reap = reap;
    variant->reap_arg = manager;
    variant->slot = slot;
    enum dyno_status status = dyno_variant_load(variant, &how, err);
    job->stamp = variant->stamp;
    job->was_placed = variant->gpu != NULL;
    if (status == DYNO_OK && manager->options.adopt != NULL)
        status = manager->options.adopt(manager->options.adopt_arg, variant, err);
    if (status != DYNO_OK) {
        dyno_variant_destroy(variant);
        return status;
    }
    *variant_out = variant;
    return DYNO_OK;
}

/* Under the lock: the variant that this one is in place of goes. */
static void take_replaced(const struct dyno_job *job, const struct dyno_slot *slot,
                          struct dyno_leaving *leaving)
{
    const char *name = job->order->replaces;
    struct dyno_slot *other = name != NULL && strcmp(name, slot->name) != 0
                                  ? dyno_shelf_slot(job->shelf, slot->number, name)
                                  : NULL;
    if (other == NULL)
        return;
    dyno_leaving_add(leaving, dyno_slot_empty(other, NULL));
    dyno_leaving_wake(leaving, dyno_slot_take_waits(other, DYNO_OK, NULL, 0)); /* to choose anew */
    dyno_catalog_drop(&job->manager->catalog, other);
}

/* It did not fit, which its order minds not. */
static bool is_put_off(const struct dyno_job *job)
{
    return job->promise.is_put_off && job->order->may_put_off;
}

/* Under the lock: may its requests go on waiting, for another try? */
static bool may_wait(const struct dyno_job *job, const struct dyno_slot *slot)
{
    return is_put_off(job) && slot->is_ordered && slot->waits != NULL &&
           dyno_clock_ns() < slot->wait_ns + DYNO_ROOM_NS;
}

/* Under the lock. */
static void settle_failed(struct dyno_job *job, struct dyno_slot *slot, const char *reason,
                          struct dyno_leaving *leaving)
{
    const uint64_t now_ns = dyno_clock_ns();
    slot->retry_ns = now_ns + DYNO_RETRY_NS;
    if (slot->variant != NULL) {
        dyno_slot_set(slot, DYNO_SLOT_READY, reason);
        return;
    }
    slot->is_evicted = is_put_off(job);
    if (may_wait(job, slot)) {
        dyno_slot_set(slot, DYNO_SLOT_LOADING, reason);
        return;
    }
    dyno_slot_set(slot, is_put_off(job) ? DYNO_SLOT_UNLOADED : DYNO_SLOT_FAILED, reason);
    dyno_leaving_wake(leaving,
                      dyno_slot_take_waits(slot, DYNO_E_BUSY, reason,
                                           is_put_off(job) ? DYNO_ROOM_NS / 10 : DYNO_RETRY_NS));
}

/* It answers from now on, or the slot tells why not. */
static void settle(struct dyno_job *job, struct dyno_slot *slot, struct dyno_variant *variant,
                   const struct dyno_err *reason)
{
    struct dyno_leaving leaving = {0};
    dyno_manager_lock_catalog(job->manager);
    slot->stamp = job->stamp;
    dyno_memory_settle(&job->promise, variant);
    if (variant != NULL) {
        dyno_histogram_add(&job->manager->figures.load, dyno_clock_ns() - job->start_ns);
        slot->bytes = dyno_variant_bytes(variant);
        slot->gpu_bytes = dyno_variant_gpu_bytes(variant);
        slot->is_fallen = false;
        slot->fall_count = 0;
        slot->used_tick = ++job->manager->catalog.tick;
        dyno_leaving_add(&leaving, dyno_slot_put(slot, variant));
        take_replaced(job, slot, &leaving);
        dyno_leaving_wake(&leaving, dyno_slot_take_waits(slot, DYNO_OK, NULL, 0));
    } else {
        job->manager->figures.failed_count += !job->promise.is_put_off;
        job->manager->figures.put_off_count += job->promise.is_put_off;
        dyno_gpus_load_failed(job, slot, reason->status);
        settle_failed(job, slot, reason->text, &leaving);
    }
    dyno_manager_unlock_catalog(job->manager);
    dyno_leaving_go(&leaving);
}

/* Also makes the job ready for the slot. */
static bool is_up_to_date(struct dyno_job *job, struct dyno_slot *slot)
{
    struct dyno_stamp stamp = dyno_stamp_of(slot->path);
    stamp.settings = job->settings;
    dyno_manager_lock_catalog(job->manager);
    const bool is_same = slot->variant != NULL && dyno_stamp_is_same(&slot->variant->stamp, &stamp);
    if (is_same)
        dyno_slot_set(slot, DYNO_SLOT_READY, NULL); /* what a successor failed of is over */
    job->slot = slot;
    job->was_placed = false;
    job->stamp = stamp;
    const bool is_known = dyno_stamp_is_same(&slot->stamp, &stamp);
    job->known_bytes = is_known ? slot->bytes : 0;
    job->known_gpu_bytes = is_known ? slot->gpu_bytes : 0;
    job->promise = (struct dyno_promise){.catalog = &job->manager->catalog,
                                         .memory = &job->manager->memory,
                                         .slot = slot,
                                         .may_evict = !job->order->is_spare || slot->is_pinned};
    dyno_manager_unlock_catalog(job->manager);
    return is_same;
}

void dyno_job_load(struct dyno_job *job, struct dyno_slot *slot)
{
    struct dyno_err reason = {0};
    struct dyno_variant *variant = NULL;
    job->start_ns = dyno_clock_ns();
    if (is_up_to_date(job, slot)) {
        job->ready_count++;
        return;
    }
    enum dyno_status status = DYNO_OK;
    if (dyno_manager_is_ending(job->manager))
        status = DYNO_FAIL(&reason, DYNO_E_CANCELLED, "the server stops");
    else
        status = make_variant(job, slot, &variant, &reason);
    if (status == DYNO_OK) {
        job->ready_count++;
        dyno_log(DYNO_LOG_INFO,
                 "model '%s' version %s variant '%s' is ready: %d contexts, batches of up to %lld, "
                 "%llu bytes, %.1f ms",
                 job->model->name, slot->version, slot->name, variant->instance_count,
                 (long long)variant->max_batch, (unsigned long long)dyno_variant_bytes(variant),
                 (double)(dyno_clock_ns() - job->start_ns) * 1e-6);
    } else if (is_put_off(job)) {
        job->put_off_count++;
        dyno_log(DYNO_LOG_INFO, "model '%s' version %s variant '%s': %s", job->model->name,
                 slot->version, slot->name, reason.text);
    } else {
        dyno_log(DYNO_LOG_WARN, "model '%s' version %s variant '%s': %s", job->model->name,
                 slot->version, slot->name, reason.text);
        (void)DYNO_FAIL(&job->reason, status, "%s", reason.text);
    }
    settle(job, slot, variant, &reason);
}
