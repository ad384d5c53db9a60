/* load.c - loading, unloading and listing, as a worker of the manager does it. */
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/model/workshop.h"

static const char *variant_of(const struct dyno_order *order)
{
    return order->variant != NULL ? order->variant : "";
}

/* --- what goes --- */

void dyno_leaving_add(struct dyno_leaving *leaving, struct dyno_variant *variant)
{
    if (variant == NULL)
        return;
    variant->next_reap = leaving->variants; /* nobody reaps it while this reference is held */
    leaving->variants = variant;
}

void dyno_leaving_wake(struct dyno_leaving *leaving, struct dyno_wait *waits)
{
    if (waits == NULL)
        return;
    if (leaving->waits == NULL)
        leaving->waits = waits;
    else
        leaving->last_wait->next = waits;
    for (leaving->last_wait = waits; leaving->last_wait->next != NULL;)
        leaving->last_wait = leaving->last_wait->next;
}

void dyno_leaving_go(struct dyno_leaving *leaving)
{
    for (struct dyno_variant *at = leaving->variants; at != NULL;) {
        struct dyno_variant *next = at->next_reap;
        dyno_variant_unref(at);
        at = next;
    }
    dyno_waits_wake(leaving->waits);
    *leaving = (struct dyno_leaving){0};
}

/* --- what is to be loaded --- */

/* What a variant depends on beside its engine, as far as it must be loaded again for it. */
uint64_t dyno_model_settings(const struct dyno_repo_model *model, struct dyno_arena *arena)
{
    const struct dyno_model_config *config = &model->config;
    const int64_t numbers[] = {config->has_max_batch, config->max_batch, config->instances};
    uint64_t hash = dyno_hash64(0, numbers, sizeof(numbers));
    if (dyno_model_builds_on_gpu(config))
        hash = dyno_hash64(hash, config->build.device, strlen(config->build.device));
    for (const struct dyno_model_variant *at = config->variants; at != NULL; at = at->next)
        if (at->device != NULL) {
            hash = dyno_hash64(hash, at->name, strlen(at->name));
            hash = dyno_hash64(hash, at->device, strlen(at->device));
        }
    for (const struct dyno_model_labels *at = config->labels; at != NULL; at = at->next) {
        const char *path = dyno_repo_path(arena, model->folder, at->file);
        const struct dyno_stamp stamp = path != NULL ? dyno_stamp_of(path) : (struct dyno_stamp){0};
        hash = dyno_hash64(hash, at->output, strlen(at->output));
        hash = dyno_hash64(hash, at->file, strlen(at->file));
        hash = dyno_hash64(hash, &stamp, sizeof(stamp));
    }
    return hash;
}

/* Under the lock: what the configuration says of a slot that need not be loaded again for it. */
static void configure(const struct dyno_job *job, struct dyno_slot *slot)
{
    const struct dyno_model_variant says = dyno_model_variant_of(&job->model->config, slot->name);
    slot->accuracy = says.accuracy;
    slot->is_pinned = says.is_pinned;
}

/* What a demand is for is not loaded yet, and what failed may be tried. */
static void put_back(const struct dyno_job *job, struct dyno_slot *slot)
{
    struct dyno_stamp stamp = dyno_stamp_of(slot->path);
    stamp.settings = job->settings;
    if (slot->state == DYNO_SLOT_FAILED && dyno_stamp_is_same(&stamp, &slot->stamp))
        return;
    slot->stamp = (struct dyno_stamp){0};
    slot->bytes = slot->gpu_bytes = 0;
    if (!slot->is_ordered && slot->state != DYNO_SLOT_DRAINING && !slot->is_evicted)
        dyno_slot_set(slot, DYNO_SLOT_UNLOADED, "it is loaded when a request wants it");
}

/* Under the lock: a slot that is in the repository, to be ready or only to be known. */
static void plan_known(struct dyno_job *job, struct dyno_slot *slot)
{
    configure(job, slot);
    slot->plan_tick = job->plan_tick;
    if (job->order->only_loaded && slot->variant == NULL && !slot->is_pinned) {
        put_back(job, slot);
        return;
    }
    if (slot->variant == NULL && slot->state != DYNO_SLOT_LOADING)
        dyno_slot_set(slot, DYNO_SLOT_LOADING, NULL);
    job->slots[job->count++] = slot;
}

/* Under the lock: one more slot is there. */
static enum dyno_status plan_slot(struct dyno_job *job, uint64_t version, const char *name,
                                  const char *path, struct dyno_err *err)
{
    struct dyno_slot *slot = dyno_shelf_take_slot(job->shelf, version, name);
    if (slot == NULL)
        return DYNO_NOMEM(err);
    if (slot->path == NULL || strcmp(slot->path, path) != 0) {
        dyno_free(slot->path);
        slot->path = dyno_strdup(path);
        if (slot->path == NULL)
            return DYNO_NOMEM(err);
    }
    plan_known(job, slot);
    return DYNO_OK;
}

static const struct dyno_repo_version *version_of(const struct dyno_repo_model *model,
                                                  uint64_t number)
{
    const struct dyno_repo_version *at = model->versions;
    while (at != NULL && at->number != number)
        at = at->next;
    return at;
}

/* Is it a version that engines are built for? */
static bool is_ours(const struct dyno_repo_model *model, uint64_t number)
{
    const struct dyno_repo_version *version = version_of(model, number);
    return version != NULL && dyno_workshop_is_ours(version);
}

/* Has the order to do with such a version?  A demand is for what was built before. */
static bool has_builds(const struct dyno_job *job)
{
    const struct dyno_repo_version *at = job->model->versions;
    while (at != NULL && !dyno_workshop_is_ours(at))
        at = at->next;
    return at != NULL && job->order->path == NULL && !job->order->is_demand &&
           dyno_workshop_has(variant_of(job->order));
}

/* Under the lock. */
static enum dyno_status plan_all(struct dyno_job *job, struct dyno_err *err)
{
    const struct dyno_order *order = job->order;
    for (const struct dyno_repo_version *version = job->model->versions; version != NULL;
         version = version->next)
        for (const struct dyno_repo_variant *at = version->variants; at != NULL; at = at->next)
            if (variant_of(order)[0] == 0 || strcmp(at->name, variant_of(order)) == 0)
                DYNO_TRY(plan_slot(job, version->number, at->name,
                                   order->path != NULL ? order->path : at->path, err));
    if (order->path != NULL && job->count == 0) {
        DYNO_TRY(plan_slot(job, order->version, variant_of(order), order->path, err));
        job->slots[0]->is_foreign = true; /* such an order loads what it names */
    }
    for (struct dyno_slot *at = job->shelf->slots; at != NULL; at = at->next)
        if (at->is_foreign && (at->variant != NULL || order->is_demand) &&
            is_ours(job->model, at->number) && at->plan_tick != job->plan_tick && !at->is_gone &&
            dyno_slot_is_in(at, order->version, variant_of(order)))
            plan_known(job, at);
    return DYNO_OK;
}

static size_t most_slots(const struct dyno_job *job)
{
    size_t count = 1;
    for (const struct dyno_repo_version *at = job->model->versions; at != NULL; at = at->next)
        count += at->variant_count;
    for (const struct dyno_slot *at = job->shelf->slots; at != NULL; at = at->next)
        count++;
    return count;
}

static enum dyno_status nothing_there(const struct dyno_order *order, struct dyno_err *err)
{
    if (variant_of(order)[0] != 0 && order->version != 0)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "version %llu of it has no variant '%.128s'",
                         (unsigned long long)order->version, order->variant);
    if (variant_of(order)[0] != 0)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "it has no variant '%.128s'", order->variant);
    if (order->version != 0)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "it has no version %llu with an engine",
                         (unsigned long long)order->version);
    return DYNO_FAIL(err, DYNO_E_ARG, "it has no version with an engine");
}

static bool is_something_known(const struct dyno_job *job)
{
    for (const struct dyno_slot *at = job->shelf->slots; at != NULL; at = at->next)
        if (at->plan_tick == job->plan_tick)
            return true;
    return false;
}

/* Under the lock. */
static enum dyno_status plan(struct dyno_job *job, struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_catalog *catalog = &job->manager->catalog;
    job->plan_tick = ++catalog->plan_tick;
    job->shelf = dyno_catalog_take_shelf(catalog, job->model->name);
    if (job->shelf == NULL)
        return DYNO_NOMEM(err);
    dyno_shelf_tell(job->shelf, NULL);
    job->slots = dyno_arena_alloc(arena, most_slots(job), sizeof(struct dyno_slot *));
    enum dyno_status status = job->slots != NULL ? plan_all(job, err) : DYNO_NOMEM(err);
    for (size_t i = 0; i < job->count && status != DYNO_OK; i++)
        if (job->slots[i]->variant == NULL)
            dyno_slot_set(job->slots[i], DYNO_SLOT_FAILED, dyno_status_text(status));
    if (status == DYNO_OK && !is_something_known(job) && !job->has_builds) {
        status = nothing_there(job->order, err);
        if (status == DYNO_E_ARG)
            dyno_shelf_tell(job->shelf, err != NULL ? err->text : NULL);
    }
    if (status != DYNO_OK)
        dyno_catalog_tidy(catalog, job->shelf);
    return status;
}

/* --- a model --- */

/* What the configuration wants no more, or is no more in the repository, once something is there
 * that answers instead; before that, what was to be loaded and is not there. */
static void retire(struct dyno_job *job, bool is_all)
{
    struct dyno_leaving leaving = {0};
    struct dyno_slot *next = NULL;
    dyno_manager_lock_catalog(job->manager);
    struct dyno_shelf *shelf = dyno_catalog_shelf(&job->manager->catalog, job->order->model);
    for (struct dyno_slot *at = shelf != NULL ? shelf->slots : NULL; at != NULL; at = next) {
        const bool is_being_made = at->variant == NULL && is_ours(job->model, at->number);
        next = at->next;
        if (is_being_made || at->plan_tick == job->plan_tick || (!is_all && at->variant != NULL))
            continue;
        dyno_leaving_add(&leaving, dyno_slot_empty(at, NULL));
        dyno_leaving_wake(&leaving, dyno_slot_take_waits(at, DYNO_OK, NULL, 0));
        dyno_catalog_drop(&job->manager->catalog, at);
    }
    dyno_manager_unlock_catalog(job->manager);
    dyno_leaving_go(&leaving);
}

bool dyno_manager_tell_model(struct dyno_manager *manager, const char *model, const char *reason)
{
    dyno_manager_lock_catalog(manager);
    struct dyno_shelf *shelf = dyno_catalog_take_shelf(&manager->catalog, model);
    const bool is_news =
        shelf != NULL && (shelf->reason == NULL || strcmp(shelf->reason, reason) != 0);
    if (is_news)
        dyno_shelf_tell(shelf, reason);
    dyno_manager_unlock_catalog(manager);
    return is_news;
}

static enum dyno_status read_model(struct dyno_manager *manager, const struct dyno_order *order,
                                   struct dyno_arena *arena, struct dyno_repo_model **model_out,
                                   struct dyno_err *err)
{
    const enum dyno_status status =
        dyno_repo_read(manager->options.folders, manager->options.folder_count, order->model,
                       order->version, arena, model_out, err);
    if (status != DYNO_OK && status != DYNO_E_NOT_FOUND && status != DYNO_E_ARG)
        (void)dyno_manager_tell_model(manager, order->model, err->text);
    return status;
}

static bool is_whole(const struct dyno_order *order)
{
    return order->version == 0 && variant_of(order)[0] == 0;
}

/* What of the order is to be built: asked for the first time, and the outcome the second time. */
static void want_builds(struct dyno_job *job, size_t *wait_count_out)
{
    struct dyno_order *order = job->order;
    *wait_count_out = 0;
    if (!order->is_second && job->has_builds)
        (void)!dyno_workshop_want(job->manager->workshop, order, job->model, wait_count_out,
                                  &job->reason);
    /* Also of one that failed before the others were asked for: then there is no second time. */
    if (*wait_count_out == 0 && order->build_reason.status != DYNO_OK)
        job->reason = order->build_reason;
    if (is_whole(order))
        dyno_workshop_retain(job->manager->workshop, job->model);
}

static enum dyno_status load_in(struct dyno_job *job, struct dyno_arena *arena,
                                bool *is_waiting_out, struct dyno_err *err)
{
    struct dyno_repo_model *model = NULL;
    size_t wait_count = 0;
    DYNO_TRY(read_model(job->manager, job->order, arena, &model, err));
    job->model = model;
    job->settings = dyno_model_settings(model, arena);
    job->has_builds = has_builds(job);
    want_builds(job, &wait_count);
    dyno_manager_lock_catalog(job->manager);
    const enum dyno_status status = plan(job, arena, &job->reason);
    dyno_manager_unlock_catalog(job->manager);
    for (size_t i = 0; i < job->count && status == DYNO_OK; i++)
        dyno_job_load(job, job->slots[i]);
    *is_waiting_out = wait_count > 0;
    if (*is_waiting_out)
        return DYNO_OK;
    const bool is_known_only = job->order->only_loaded && job->reason.status == DYNO_OK;
    const bool is_good =
        status == DYNO_OK && (job->ready_count > 0 || job->put_off_count > 0 || is_known_only);
    if (is_whole(job->order))
        retire(job, is_good);
    return is_good ? DYNO_OK
                   : DYNO_FAIL(err, job->reason.status, "failed to load '%s': %s",
                               job->order->model, job->reason.text);
}

/* Does still somebody want it?  It may have been unloaded meanwhile. */
static bool is_demanded(struct dyno_manager *manager, const struct dyno_order *order)
{
    dyno_manager_lock_catalog(manager);
    struct dyno_shelf *shelf = dyno_catalog_shelf(&manager->catalog, order->model);
    const struct dyno_slot *slot =
        shelf != NULL ? dyno_shelf_slot(shelf, order->version, variant_of(order)) : NULL;
    const bool is_demanded = slot != NULL && slot->is_ordered;
    dyno_manager_unlock_catalog(manager);
    return is_demanded;
}

enum dyno_status dyno_manager_load(struct dyno_manager *manager, struct dyno_order *order,
                                   bool *is_waiting_out, struct dyno_err *err)
{
    struct dyno_job job = {.manager = manager, .order = order};
    *is_waiting_out = false;
    if (order->is_demand && !is_demanded(manager, order))
        return DYNO_OK;
    if ((order->is_wanted != NULL && !order->is_wanted(order)) ||
        order->build_reason.status == DYNO_E_CANCELLED)
        return DYNO_FAIL(err, DYNO_E_CANCELLED, "failed to load '%s': %s", order->model,
                         order->build_reason.text);
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    const enum dyno_status status = load_in(&job, arena, is_waiting_out, err);
    dyno_arena_destroy(arena);
    return status;
}

enum dyno_status dyno_manager_unload(struct dyno_manager *manager, const struct dyno_order *order,
                                     struct dyno_err *err)
{
    struct dyno_leaving leaving = {0};
    bool is_known = false;
    dyno_workshop_drop(manager->workshop, order->model, order->version);
    dyno_manager_lock_catalog(manager);
    struct dyno_shelf *shelf = dyno_catalog_shelf(&manager->catalog, order->model);
    for (struct dyno_slot *at = shelf != NULL ? shelf->slots : NULL; at != NULL; at = at->next) {
        if (at->is_gone || !dyno_slot_is_in(at, order->version, variant_of(order)))
            continue;
        is_known = true;
        dyno_leaving_add(&leaving, dyno_slot_empty(at, "unloaded"));
        at->is_ordered = false;
        dyno_leaving_wake(&leaving, dyno_slot_take_waits(at, DYNO_E_BUSY, "unloaded", 0));
    }
    dyno_manager_unlock_catalog(manager);
    dyno_leaving_go(&leaving);
    if (!is_known)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "failed to unload '%.128s': it is not loaded",
                         order->model);
    return DYNO_OK;
}

void dyno_manager_forget(struct dyno_manager *manager, const char *model)
{
    struct dyno_leaving leaving = {0};
    struct dyno_slot *next = NULL;
    dyno_workshop_drop(manager->workshop, model, 0);
    dyno_manager_lock_catalog(manager);
    struct dyno_shelf *shelf = dyno_catalog_shelf(&manager->catalog, model);
    if (shelf != NULL) {
        dyno_shelf_tell(shelf, NULL);
        next = shelf->slots;
        if (next == NULL)
            dyno_catalog_tidy(&manager->catalog, shelf);
    }
    while (next != NULL) {
        struct dyno_slot *slot = next;
        next = slot->next;
        dyno_leaving_add(&leaving, dyno_slot_empty(slot, NULL));
        dyno_leaving_wake(&leaving, dyno_slot_take_waits(slot, DYNO_OK, NULL, 0));
        dyno_catalog_drop(&manager->catalog, slot);
    }
    dyno_manager_unlock_catalog(manager);
    dyno_leaving_go(&leaving);
}

/* --- listing --- */

void dyno_manager_announce(struct dyno_manager *manager, struct dyno_order *order)
{
    struct dyno_err err = {0}; /* told when the order is carried out */
    struct dyno_repo_model *model = NULL;
    struct dyno_job job = {.manager = manager, .order = order};
    struct dyno_arena *arena = dyno_arena_create();
    if (arena != NULL && read_model(manager, order, arena, &model, &err) == DYNO_OK) {
        job.model = model;
        job.has_builds = has_builds(&job);
        dyno_manager_lock_catalog(manager);
        (void)plan(&job, arena, &err);
        dyno_manager_unlock_catalog(manager);
    }
    dyno_arena_destroy(arena);
}

enum dyno_status dyno_manager_index(struct dyno_manager *manager, struct dyno_order *order)
{
    struct dyno_repo_model *models = NULL;
    DYNO_TRY(dyno_repo_list(manager->options.folders, manager->options.folder_count, order->arena,
                            &models, &order->err));
    return dyno_catalog_index(&manager->catalog, models, order->arena, &order->rows, &order->err);
}
