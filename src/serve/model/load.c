/* load.c - loading, unloading and listing, as a worker of the manager does it. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/model/workshop.h"

#define ROOM_WAIT_NS UINT64_C(1000000000) /* for who holds what could go */
#define ROOM_STEP_NS 2000000

/* An order to load, being carried out. */
struct job {
    struct dyno_manager *manager;
    struct dyno_order *order;
    const struct dyno_repo_model *model;
    struct dyno_shelf *shelf;
    struct dyno_slot **slots; /* to be ready in the end */
    size_t count, ready_count, put_off_count;
    bool has_builds;   /* versions that engines are built for */
    uint64_t settings; /* of stamps */
    /* The slot at hand. */
    struct dyno_slot *slot;
    struct dyno_stamp stamp;
    uint64_t known_bytes; /* that the same file took before; 0: not known */
    struct dyno_promise promise;
    struct dyno_err reason; /* the first failure */
};

static const char *variant_of(const struct dyno_order *order)
{
    return order->variant != NULL ? order->variant : "";
}

static void lock(struct dyno_manager *manager)
{
    (void)pthread_mutex_lock(&manager->catalog.lock);
}

static void unlock(struct dyno_manager *manager)
{
    (void)pthread_mutex_unlock(&manager->catalog.lock);
}

/* Variants that were taken out of the catalog, linked; let go outside its lock. */
static void add_old(struct dyno_variant **list, struct dyno_variant *old)
{
    if (old == NULL)
        return;
    old->next_reap = *list; /* nobody reaps it while this reference is held */
    *list = old;
}

static void let_go(struct dyno_variant *list)
{
    while (list != NULL) {
        struct dyno_variant *next = list->next_reap;
        dyno_variant_unref(list);
        list = next;
    }
}

/* --- what is to be loaded --- */

/* What a variant depends on beside its engine, as far as it must be loaded again for it. */
static uint64_t settings_of(const struct dyno_repo_model *model, struct dyno_arena *arena)
{
    const struct dyno_model_config *config = &model->config;
    const int64_t numbers[] = {config->has_max_batch, config->max_batch, config->instances};
    uint64_t hash = dyno_hash64(0, numbers, sizeof(numbers));
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
static void configure(const struct job *job, struct dyno_slot *slot)
{
    const struct dyno_model_variant says = dyno_model_variant_of(&job->model->config, slot->name);
    slot->accuracy = says.accuracy;
    slot->is_pinned = says.is_pinned;
}

/* Under the lock: one more slot is to be ready. */
static enum dyno_status plan_slot(struct job *job, uint64_t version, const char *name,
                                  const char *path, struct dyno_err *err)
{
    struct dyno_slot *slot = dyno_shelf_take_slot(job->shelf, version, name);
    const size_t bytes = strlen(path) + 1;
    if (slot == NULL)
        return DYNO_NOMEM(err);
    if (slot->path == NULL || strcmp(slot->path, path) != 0) {
        dyno_free(slot->path);
        slot->path = dyno_alloc_raw(bytes, 1);
        if (slot->path == NULL)
            return DYNO_NOMEM(err);
        memcpy(slot->path, path, bytes);
    }
    configure(job, slot);
    if (slot->variant == NULL && slot->state != DYNO_SLOT_LOADING)
        dyno_slot_set(slot, DYNO_SLOT_LOADING, NULL);
    job->slots[job->count++] = slot;
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

/* Has the order to do with such a version? */
static bool has_builds(const struct job *job)
{
    const struct dyno_repo_version *at = job->model->versions;
    while (at != NULL && !dyno_workshop_is_ours(at))
        at = at->next;
    return at != NULL && job->order->path == NULL && dyno_workshop_has(variant_of(job->order));
}

static bool is_planned(const struct job *job, const struct dyno_slot *slot)
{
    for (size_t i = 0; i < job->count; i++)
        if (job->slots[i] == slot)
            return true;
    return false;
}

/* Under the lock. */
static enum dyno_status plan_all(struct job *job, struct dyno_err *err)
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
        job->slots[0]->is_foreign = true;
    }
    for (struct dyno_slot *at = job->shelf->slots; at != NULL; at = at->next)
        if (at->is_foreign && at->variant != NULL && is_ours(job->model, at->number) &&
            !is_planned(job, at) && dyno_slot_is_in(at, order->version, variant_of(order))) {
            configure(job, at);
            job->slots[job->count++] = at;
        }
    return DYNO_OK;
}

static size_t most_slots(const struct job *job)
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

/* Under the lock. */
static enum dyno_status plan(struct job *job, struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_catalog *catalog = &job->manager->catalog;
    job->shelf = dyno_catalog_take_shelf(catalog, job->model->name);
    if (job->shelf == NULL)
        return DYNO_NOMEM(err);
    dyno_shelf_tell(job->shelf, NULL);
    job->slots = dyno_arena_alloc(arena, most_slots(job), sizeof(struct dyno_slot *));
    if (job->slots == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(plan_all(job, err));
    if (job->count > 0 || job->has_builds)
        return DYNO_OK;
    const enum dyno_status status = nothing_there(job->order, err);
    if (status == DYNO_E_ARG)
        dyno_shelf_tell(job->shelf, err != NULL ? err->text : NULL);
    dyno_catalog_tidy(catalog, job->shelf);
    return status;
}

/* --- one variant --- */

static void on_warming(void *arg)
{
    const struct job *job = arg;
    lock(job->manager);
    if (job->slot->variant == NULL)
        dyno_slot_set(job->slot, DYNO_SLOT_WARMING, NULL);
    unlock(job->manager);
}

void dyno_manager_tell_evicted(struct dyno_variant *variant)
{
    dyno_log(DYNO_LOG_INFO, "model '%s' version %s variant '%s' is evicted: %llu bytes",
             variant->model, variant->version, variant->name,
             (unsigned long long)dyno_variant_bytes(variant));
}

/* Room for so many bytes, if it is to be had. */
static enum dyno_status on_reserve(void *arg, uint64_t bytes, struct dyno_err *err)
{
    struct job *job = arg;
    const struct timespec step = {.tv_nsec = ROOM_STEP_NS};
    const uint64_t end_ns = dyno_clock_ns() + ROOM_WAIT_NS;
    bytes = bytes > job->known_bytes ? bytes : job->known_bytes;
    for (;;) {
        struct dyno_variant *victim = NULL;
        lock(job->manager);
        const enum dyno_fit fit = dyno_memory_ask(&job->promise, bytes, &victim, err);
        unlock(job->manager);
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

static enum dyno_status make_variant(struct job *job, struct dyno_slot *slot,
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
        .context_count = wanted > manager->lanes.count ? wanted : manager->lanes.count,
        .max_batch = config->has_max_batch ? config->max_batch : -1,
        .settings = job->settings,
        .warming = on_warming,
        .reserve = on_reserve,
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
    if (status == DYNO_OK && manager->options.adopt != NULL)
        status = manager->options.adopt(manager->options.adopt_arg, variant, err);
    if (status != DYNO_OK) {
        dyno_variant_destroy(variant);
        return status;
    }
    *variant_out = variant;
    return DYNO_OK;
}

/* Under the lock: the variant that this one is in place of. */
static struct dyno_variant *take_replaced(struct job *job, const struct dyno_slot *slot)
{
    const char *name = job->order->replaces;
    struct dyno_slot *other = name != NULL && strcmp(name, slot->name) != 0
                                  ? dyno_shelf_slot(job->shelf, slot->number, name)
                                  : NULL;
    if (other == NULL)
        return NULL;
    struct dyno_variant *old = dyno_slot_empty(other, NULL);
    dyno_catalog_drop(&job->manager->catalog, other);
    return old;
}

/* It did not fit, which its order minds not. */
static bool is_put_off(const struct job *job)
{
    return job->promise.is_put_off && job->order->may_put_off;
}

/* It answers from now on, or the slot tells why not. */
static void settle(struct job *job, struct dyno_slot *slot, struct dyno_variant *variant,
                   const struct dyno_err *reason)
{
    struct dyno_variant *old = NULL;
    lock(job->manager);
    slot->stamp = job->stamp;
    dyno_memory_settle(&job->promise, variant);
    if (variant != NULL) {
        slot->bytes = dyno_variant_bytes(variant);
        slot->used_tick = ++job->manager->catalog.tick;
        add_old(&old, dyno_slot_put(slot, variant));
        add_old(&old, take_replaced(job, slot));
    } else {
        slot->is_evicted = is_put_off(job);
        dyno_slot_set(slot,
                      slot->variant != NULL ? DYNO_SLOT_READY
                      : is_put_off(job)     ? DYNO_SLOT_UNLOADED
                                            : DYNO_SLOT_FAILED,
                      reason->text);
    }
    unlock(job->manager);
    let_go(old);
}

/* Also makes the job ready for the slot. */
static bool is_up_to_date(struct job *job, struct dyno_slot *slot)
{
    struct dyno_stamp stamp = dyno_stamp_of(slot->path);
    stamp.settings = job->settings;
    lock(job->manager);
    const bool is_same = slot->variant != NULL && dyno_stamp_is_same(&slot->variant->stamp, &stamp);
    if (is_same)
        dyno_slot_set(slot, DYNO_SLOT_READY, NULL); /* what a successor failed of is over */
    job->slot = slot;
    job->stamp = stamp;
    job->known_bytes = dyno_stamp_is_same(&slot->stamp, &stamp) ? slot->bytes : 0;
    job->promise = (struct dyno_promise){.catalog = &job->manager->catalog,
                                         .memory = &job->manager->memory,
                                         .slot = slot,
                                         .may_evict = !job->order->may_put_off || slot->is_pinned};
    unlock(job->manager);
    return is_same;
}

static void load_slot(struct job *job, struct dyno_slot *slot)
{
    struct dyno_err reason = {0};
    struct dyno_variant *variant = NULL;
    const uint64_t start_ns = dyno_clock_ns();
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
                 job->model->name, slot->version, slot->name, variant->context_count,
                 (long long)variant->max_batch, (unsigned long long)dyno_variant_bytes(variant),
                 (double)(dyno_clock_ns() - start_ns) * 1e-6);
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

/* --- a model --- */

/* What the configuration wants no more, or is no more in the repository, once something is there
 * that answers instead. */
static void retire(struct job *job)
{
    struct dyno_variant *old = NULL;
    struct dyno_slot *next = NULL;
    lock(job->manager);
    for (struct dyno_slot *at = job->shelf->slots; at != NULL; at = next) {
        const bool is_being_made = at->variant == NULL && is_ours(job->model, at->number);
        next = at->next;
        if (is_being_made || is_planned(job, at))
            continue;
        add_old(&old, dyno_slot_empty(at, NULL));
        dyno_catalog_drop(&job->manager->catalog, at);
    }
    unlock(job->manager);
    let_go(old);
}

static void tell_of_model(struct dyno_manager *manager, const char *model, const char *reason)
{
    lock(manager);
    struct dyno_shelf *shelf = dyno_catalog_take_shelf(&manager->catalog, model);
    if (shelf != NULL)
        dyno_shelf_tell(shelf, reason);
    unlock(manager);
}

static enum dyno_status read_model(struct dyno_manager *manager, const struct dyno_order *order,
                                   struct dyno_arena *arena, struct dyno_repo_model **model_out,
                                   struct dyno_err *err)
{
    const enum dyno_status status =
        dyno_repo_read(manager->options.folders, manager->options.folder_count, order->model,
                       order->version, arena, model_out, err);
    if (status != DYNO_OK && status != DYNO_E_NOT_FOUND && status != DYNO_E_ARG)
        tell_of_model(manager, order->model, err->text);
    return status;
}

static bool is_whole(const struct dyno_order *order)
{
    return order->version == 0 && variant_of(order)[0] == 0;
}

/* What of the order is to be built: asked for the first time, and the outcome the second time. */
static void want_builds(struct job *job, size_t *wait_count_out)
{
    struct dyno_order *order = job->order;
    *wait_count_out = 0;
    if (order->is_second && order->build_reason.status != DYNO_OK)
        job->reason = order->build_reason;
    if (!order->is_second && job->has_builds)
        (void)!dyno_workshop_want(job->manager->workshop, order, job->model, wait_count_out,
                                  &job->reason);
    if (is_whole(order))
        dyno_workshop_retain(job->manager->workshop, job->model);
}

static enum dyno_status load_in(struct job *job, struct dyno_arena *arena, bool *is_waiting_out,
                                struct dyno_err *err)
{
    struct dyno_repo_model *model = NULL;
    size_t wait_count = 0;
    DYNO_TRY(read_model(job->manager, job->order, arena, &model, err));
    job->model = model;
    job->settings = settings_of(model, arena);
    job->has_builds = has_builds(job);
    want_builds(job, &wait_count);
    lock(job->manager);
    const enum dyno_status status = plan(job, arena, &job->reason);
    unlock(job->manager);
    for (size_t i = 0; i < job->count && status == DYNO_OK; i++)
        load_slot(job, job->slots[i]);
    *is_waiting_out = wait_count > 0;
    if (*is_waiting_out)
        return DYNO_OK;
    if (job->ready_count == 0 && job->put_off_count > 0)
        return DYNO_OK;
    if (job->ready_count == 0)
        return DYNO_FAIL(err, job->reason.status, "failed to load '%s': %s", job->order->model,
                         job->reason.text);
    if (is_whole(job->order))
        retire(job);
    return DYNO_OK;
}

enum dyno_status dyno_manager_load(struct dyno_manager *manager, struct dyno_order *order,
                                   bool *is_waiting_out, struct dyno_err *err)
{
    struct job job = {.manager = manager, .order = order};
    *is_waiting_out = false;
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
    struct dyno_variant *old = NULL;
    bool is_known = false;
    dyno_workshop_drop(manager->workshop, order->model, order->version);
    lock(manager);
    struct dyno_shelf *shelf = dyno_catalog_shelf(&manager->catalog, order->model);
    for (struct dyno_slot *at = shelf != NULL ? shelf->slots : NULL; at != NULL; at = at->next) {
        if (at->is_gone || !dyno_slot_is_in(at, order->version, variant_of(order)))
            continue;
        is_known = true;
        add_old(&old, dyno_slot_empty(at, "unloaded"));
    }
    unlock(manager);
    let_go(old);
    if (!is_known)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "failed to unload '%.128s': it is not loaded",
                         order->model);
    return DYNO_OK;
}

/* --- listing --- */

void dyno_manager_announce(struct dyno_manager *manager, struct dyno_order *order)
{
    struct dyno_err err = {0}; /* told when the order is carried out */
    struct dyno_repo_model *model = NULL;
    struct job job = {.manager = manager, .order = order};
    struct dyno_arena *arena = dyno_arena_create();
    if (arena != NULL && read_model(manager, order, arena, &model, &err) == DYNO_OK) {
        job.model = model;
        job.has_builds = has_builds(&job);
        lock(manager);
        (void)plan(&job, arena, &err);
        unlock(manager);
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
