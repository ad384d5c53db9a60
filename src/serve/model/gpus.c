/* gpus.c - the manager's GPUs: which one an engine goes to, and what is done when one falls. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "serve/model/internal.h"

#define FALLS_MAX 5 /* loads of one engine that a child fell in, before it is left alone */

enum dyno_status dyno_gpus_create(struct dyno_manager *manager, struct dyno_err *err)
{
    const struct dyno_manager_options *options = &manager->options;
    DYNO_ASSERT(options->gpu_count >= 0 && options->gpu_count <= DYNO_GPUS_MAX);
    for (int i = 0; i < options->gpu_count; i++) {
        struct dyno_gpu_device *gpu = &manager->gpus[i];
        const struct dyno_card_options card = {.device = options->gpus[i].name,
                                               .program = options->gpu_program,
                                               .timeout_ns = options->gpu_timeout_ns,
                                               .fell = dyno_gpus_fell,
                                               .fell_arg = manager};
        DYNO_TRY(dyno_card_create(&card, &gpu->card, err));
        gpu->name = options->gpus[i].name;
        gpu->account = options->gpus[i].account;
        manager->gpu_count++;
        manager->memory.rooms[1 + i].name = gpu->name;
        manager->memory.rooms[1 + i].limit_bytes = options->gpu_bytes_max;
    }
    return DYNO_OK;
}

void dyno_gpus_stop(struct dyno_manager *manager)
{
    for (int i = 0; i < manager->gpu_count; i++)
        dyno_card_stop(manager->gpus[i].card);
}

void dyno_gpus_destroy(struct dyno_manager *manager)
{
    for (int i = 0; i < manager->gpu_count; i++)
        dyno_card_destroy(manager->gpus[i].card);
    (void)pthread_mutex_destroy(&manager->fall_lock);
}

/* Under the catalog's lock: of those that are not in `tried` the one that has most left; -1: none.
 */
static int roomiest(const struct dyno_manager *manager, uint32_t tried)
{
    uint64_t most = 0;
    int best = -1;
    for (int i = 0; i < manager->gpu_count; i++) {
        const uint64_t bound = manager->memory.rooms[1 + i].limit_bytes;
        const uint64_t limit = bound != 0 ? bound : DYNO_GPU_BYTES_MAX;
        const uint64_t used = dyno_memory_used(&manager->memory, 1 + i);
        const uint64_t left = used < limit ? limit - used : 0;
        if ((tried >> i & 1U) == 0 && (best < 0 || left > most)) {
            most = left;
            best = i;
        }
    }
    return best;
}

static int choose(struct dyno_manager *manager, uint32_t tried)
{
    dyno_manager_lock_catalog(manager);
    const int idx = roomiest(manager, tried);
    dyno_manager_unlock_catalog(manager);
    return idx;
}

/* It has a child, so what it has of memory is known. */
static void bound_memory(struct dyno_manager *manager, int idx)
{
    struct dyno_card_figures figures;
    dyno_card_look(manager->gpus[idx].card, &figures);
    const uint64_t usual = figures.memory_bytes / 10 * 9;
    dyno_manager_lock_catalog(manager);
    struct dyno_memory_room *room = &manager->memory.rooms[1 + idx];
    if (room->limit_bytes == 0)
        room->limit_bytes = usual;
    dyno_manager_unlock_catalog(manager);
}

/* All GPUs but the one that the configuration names for it; *tried_out 0: it names none. */
static enum dyno_status leave_to(const struct dyno_manager *manager, const char *device,
                                 uint32_t *tried_out, struct dyno_err *err)
{
    *tried_out = 0;
    if (device == NULL)
        return DYNO_OK;
    for (int i = 0; i < manager->gpu_count; i++)
        if (strcmp(manager->gpus[i].name, device) == 0) {
            *tried_out = ~(UINT32_C(1) << i);
            return DYNO_OK;
        }
    return DYNO_FAIL(err, DYNO_E_TARGET, DYNO_GPU_NOT_USED, device);
}

/* The GPU that the configuration names for a slot; NULL: any. */
static const char *named_for(const struct dyno_job *job, const struct dyno_slot *slot)
{
    const struct dyno_model_config *config = &job->model->config;
    const char *device = dyno_model_variant_of(config, slot->name).device;
    if (device != NULL || !slot->is_foreign)
        return device;
    /* An engine that is there until one for the CPU is may be anywhere. */
    return dyno_model_builds_on_gpu(config) ? config->build.device : NULL;
}

/* Is it called so (NULL: anything)? */
static bool is_its_kind(const struct dyno_manager *manager, int idx, const char *name)
{
    struct dyno_card_figures figures;
    if (name == NULL)
        return true;
    dyno_card_look(manager->gpus[idx].card, &figures);
    return strcmp(figures.name, name) == 0;
}

/* The one that has most left, of those that can be had and are not in `tried`: one of that name
 * (NULL: any), if there is one.  -1: none, for the reason in err. */
static int find_card(struct dyno_manager *manager, uint32_t tried, const char *name,
                     struct dyno_err *err)
{
    uint64_t epoch = 0;
    int other = -1;
    for (int idx = choose(manager, tried); idx >= 0; idx = choose(manager, tried)) {
        struct dyno_err reason = {0};
        tried |= UINT32_C(1) << idx;
        if (dyno_card_start(manager->gpus[idx].card, &epoch, &reason) != DYNO_OK)
            *err = err->status == DYNO_OK ? reason : *err; /* why the best one is not to be had */
        else if (is_its_kind(manager, idx, name))
            return idx;
        else
            other = other < 0 ? idx : other;
    }
    return other;
}

enum dyno_status dyno_gpus_place(void *arg, struct dyno_variant *variant, struct dyno_err *err)
{
    const struct dyno_job *job = arg;
    struct dyno_manager *manager = job->manager;
    const char *name = dyno_engine_device_name(variant->engine);
    struct dyno_err reason = {0};
    uint32_t tried = 0;
    if (manager->gpu_count == 0)
        return DYNO_FAIL(err, DYNO_E_TARGET,
                         "it was built for the GPU '%s', and this server uses none (--device)",
                         name);
    /* What was built here was built for one of ours; they need not be all alike. */
    if (!variant->slot->is_foreign)
        name = NULL;
    DYNO_TRY(leave_to(manager, named_for(job, variant->slot), &tried, err));
    const int idx = find_card(manager, tried, name, &reason);
    if (idx < 0)
        return DYNO_FAIL(err, reason.status, "%s", reason.text);
    bound_memory(manager, idx);
    variant->gpu = &manager->gpus[idx];
    variant->device = 1 + idx;
    return DYNO_OK;
}

/* Under the catalog's lock: load it again, as a request would have it. */
static void want_again(struct dyno_manager *manager, struct dyno_slot *slot, const char *why)
{
    if (dyno_manager_want(manager, slot, false))
        dyno_slot_set(slot, DYNO_SLOT_LOADING, why);
}

void dyno_gpus_fell(void *arg, struct dyno_card *card, const char *why)
{
    struct dyno_manager *manager = arg;
    struct dyno_catalog *catalog = &manager->catalog;
    struct dyno_leaving leaving = {0};
    char reason[512];
    (void)snprintf(reason, sizeof(reason), "GPU %s failed (%.400s): it is loaded again",
                   dyno_card_device(card), why);
    (void)pthread_mutex_lock(&manager->fall_lock);
    dyno_manager_lock_catalog(manager);
    for (size_t i = 0; i < catalog->count && !dyno_manager_is_ending(manager); i++)
        for (struct dyno_slot *at = catalog->shelves[i]->slots; at != NULL; at = at->next) {
            if (at->variant == NULL || at->variant->gpu == NULL || at->variant->gpu->card != card)
                continue;
            dyno_leaving_add(&leaving, dyno_slot_empty(at, reason));
            at->is_fallen = true;
            if (!at->is_ordered)
                want_again(manager, at, reason);
        }
    dyno_manager_unlock_catalog(manager);
    (void)pthread_mutex_unlock(&manager->fall_lock);
    dyno_leaving_go(&leaving);
}

/* Under the catalog's lock.  An engine in whose load a child fell may be at fault itself, and then
 * all that the GPU has suffers for each try; one that found no child to go to is not. */
void dyno_gpus_load_failed(const struct dyno_job *job, struct dyno_slot *slot,
                           enum dyno_status status)
{
    const bool fell = job->was_placed && !job->promise.is_put_off &&
                      (status == DYNO_E_BUSY || status == DYNO_E_IO);
    if (fell)
        slot->fall_count++;
    slot->is_fallen = fell ? slot->fall_count < FALLS_MAX : slot->is_fallen && !job->was_placed;
}

void dyno_gpus_recover(struct dyno_manager *manager)
{
    struct dyno_catalog *catalog = &manager->catalog;
    const uint64_t now_ns = dyno_clock_ns();
    (void)pthread_mutex_lock(&manager->fall_lock);
    dyno_manager_lock_catalog(manager);
    for (size_t i = 0; i < catalog->count && !dyno_manager_is_ending(manager); i++)
        for (struct dyno_slot *at = catalog->shelves[i]->slots; at != NULL; at = at->next)
            if (at->is_fallen && at->variant == NULL && !at->is_ordered &&
                at->state == DYNO_SLOT_FAILED && now_ns >= at->retry_ns)
                want_again(manager, at, NULL);
    dyno_manager_unlock_catalog(manager);
    (void)pthread_mutex_unlock(&manager->fall_lock);
}

int dyno_manager_gpu_figures(struct dyno_manager *manager,
                             struct dyno_gpu_figures out[DYNO_GPUS_MAX])
{
    for (int i = 0; i < manager->gpu_count; i++) {
        dyno_card_look(manager->gpus[i].card, &out[i].card);
        out[i].item_count =
            atomic_load_explicit(&manager->gpus[i].item_count, memory_order_relaxed);
        dyno_manager_lock_catalog(manager);
        out[i].memory_bytes = dyno_memory_used(&manager->memory, 1 + i);
        out[i].memory_bytes_max = manager->memory.rooms[1 + i].limit_bytes;
        dyno_manager_unlock_catalog(manager);
    }
    return manager->gpu_count;
}
