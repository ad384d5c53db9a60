/* manager.c - the list of variants and the thread that works on it. */
#include "serve/model/manager.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cpus.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/model/repository.h"

#define NICENESS 10

struct dyno_manager {
    struct dyno_manager_options options;
    struct dyno_lanes lanes;
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t lock;
    pthread_cond_t work;
    struct dyno_variant *variants; /* ordered by model, version (newest first), name */
    struct dyno_variant *reaped;   /* nobody holds these any more */
    struct dyno_order *first, *last;
    bool is_ready, is_ending;
};

/* --- the list, under the lock --- */

static int compare(const struct dyno_variant *a, const struct dyno_variant *b)
{
    const int by_model = strcmp(a->model, b->model);
    if (by_model != 0)
        return by_model;
    if (a->version_number != b->version_number)
        return a->version_number > b->version_number ? -1 : 1;
    return strcmp(a->name, b->name);
}

static void add(struct dyno_manager *manager, struct dyno_variant *variant)
{
    struct dyno_variant **at = &manager->variants;
    while (*at != NULL && compare(*at, variant) < 0)
        at = &(*at)->next;
    variant->next = *at;
    *at = variant;
}

static void reap(struct dyno_variant *variant)
{
    struct dyno_manager *manager = variant->reap_arg;
    (void)pthread_mutex_lock(&manager->lock);
    variant->next_reap = manager->reaped;
    manager->reaped = variant;
    (void)pthread_cond_signal(&manager->work);
    (void)pthread_mutex_unlock(&manager->lock);
}

/* Take a model's variants out of the list. */
static struct dyno_variant *take_out(struct dyno_manager *manager, const char *model)
{
    struct dyno_variant *taken = NULL;
    struct dyno_variant **at = &manager->variants;
    while (*at != NULL) {
        struct dyno_variant *variant = *at;
        if (strcmp(variant->model, model) != 0) {
            at = &variant->next;
            continue;
        }
        *at = variant->next;
        variant->next = taken;
        taken = variant;
    }
    return taken;
}

/* Outside the lock. */
static void let_drain(struct dyno_variant *taken)
{
    while (taken != NULL) {
        struct dyno_variant *next = taken->next;
        if (atomic_load(&taken->state) == DYNO_VARIANT_READY)
            atomic_store(&taken->state, DYNO_VARIANT_DRAINING);
        dyno_variant_unref(taken);
        taken = next;
    }
}

/* --- finding --- */

static enum dyno_status not_found(const char *model, const char *version, bool is_known,
                                  struct dyno_err *err)
{
    const enum dyno_status status = is_known ? DYNO_E_BUSY : DYNO_E_NOT_FOUND;
    if (version == NULL || version[0] == 0)
        return DYNO_FAIL(err, status, "Request for unknown model: '%.128s' %s", model,
                         is_known ? "has no available versions" : "is not found");
    return DYNO_FAIL(err, status, "Request for unknown model: '%.128s' version %.24s is not %s",
                     model, version, is_known ? "at ready state" : "found");
}

/* Under the lock: the variants of one version, "" being the newest that has a ready one. */
struct known {
    struct dyno_variant *variants[DYNO_REPO_VARIANTS_MAX];
    bool is_ready[DYNO_REPO_VARIANTS_MAX];
    size_t count;
    bool has_ready;
};

static void collect(const struct dyno_manager *manager, const char *model, const char *version,
                    struct known *known)
{
    const bool any_version = version == NULL || version[0] == 0;
    *known = (struct known){0};
    for (struct dyno_variant *at = manager->variants; at != NULL; at = at->next) {
        if (strcmp(at->model, model) != 0 || (!any_version && strcmp(at->version, version) != 0))
            continue;
        if (known->count > 0 && known->variants[0]->version_number != at->version_number) {
            if (known->has_ready)
                return;
            known->count = 0; /* a version before it */
        }
        if (known->count == DYNO_REPO_VARIANTS_MAX)
            continue;
        const bool is_ready = atomic_load(&at->state) == DYNO_VARIANT_READY;
        known->has_ready = known->has_ready || is_ready;
        known->is_ready[known->count] = is_ready;
        known->variants[known->count++] = at;
    }
}

enum dyno_status dyno_manager_choose(struct dyno_manager *manager, const char *model,
                                     const char *version, dyno_choose_fn *choose, void *arg,
                                     struct dyno_variant **variant_out, struct dyno_err *err)
{
    struct known known;
    int wanted = -1;
    int chosen = -1;
    *variant_out = NULL;
    (void)pthread_mutex_lock(&manager->lock);
    collect(manager, model, version, &known);
    if (known.has_ready)
        choose(arg, known.variants, known.is_ready, known.count, &wanted, &chosen);
    if (chosen >= 0) {
        *variant_out = known.variants[chosen];
        dyno_variant_ref(*variant_out);
    }
    (void)pthread_mutex_unlock(&manager->lock);
    return chosen >= 0 ? DYNO_OK : not_found(model, version, known.count > 0, err);
}

enum dyno_status dyno_manager_find(struct dyno_manager *manager, const char *model,
                                   const char *version, struct dyno_variant **variant_out,
                                   struct dyno_err *err)
{
    const bool any_version = version == NULL || version[0] == 0;
    bool is_known = false;
    *variant_out = NULL;
    (void)pthread_mutex_lock(&manager->lock);
    for (struct dyno_variant *at = manager->variants; at != NULL; at = at->next) {
        if (strcmp(at->model, model) != 0 || (!any_version && strcmp(at->version, version) != 0))
            continue;
        is_known = true;
        if (atomic_load(&at->state) != DYNO_VARIANT_READY)
            continue;
        dyno_variant_ref(at);
        *variant_out = at;
        break;
    }
    (void)pthread_mutex_unlock(&manager->lock);
    if (*variant_out != NULL)
        return DYNO_OK;
    return not_found(model, version, is_known, err);
}

enum dyno_status dyno_manager_ready(struct dyno_manager *manager, const char *model,
                                    struct dyno_arena *arena, struct dyno_variant ***variants_out,
                                    size_t *count_out, struct dyno_err *err)
{
    size_t count = 0;
    *count_out = 0;
    (void)pthread_mutex_lock(&manager->lock);
    for (struct dyno_variant *at = manager->variants; at != NULL; at = at->next)
        count++;
    *variants_out = dyno_arena_alloc(arena, count + 1, sizeof(struct dyno_variant *));
    for (struct dyno_variant *at = manager->variants; at != NULL && *variants_out != NULL;
         at = at->next) {
        if (atomic_load(&at->state) != DYNO_VARIANT_READY ||
            (model != NULL && strcmp(at->model, model) != 0))
            continue;
        dyno_variant_ref(at);
        (*variants_out)[(*count_out)++] = at;
    }
    (void)pthread_mutex_unlock(&manager->lock);
    return *variants_out != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

bool dyno_manager_is_ready(struct dyno_manager *manager)
{
    (void)pthread_mutex_lock(&manager->lock);
    const bool is_ready = manager->is_ready;
    (void)pthread_mutex_unlock(&manager->lock);
    return is_ready;
}

/* --- loading and unloading, on the manager's thread --- */

/* Load what the repository has; failed variants stay in the list with their reason. */
static struct dyno_variant *load_variants(struct dyno_manager *manager,
                                          const struct dyno_repo_model *model, size_t *ready_count,
                                          struct dyno_err *err)
{
    struct dyno_variant *loaded = NULL;
    const int wanted =
        model->config.instances > 0 ? (int)model->config.instances : manager->options.context_count;
    const int contexts = wanted > manager->lanes.count ? wanted : manager->lanes.count;
    const int64_t max_batch = model->config.has_max_batch ? model->config.max_batch : -1;
    for (const struct dyno_repo_version *version = model->versions; version != NULL;
         version = version->next)
        for (const struct dyno_repo_variant *at = version->variants; at != NULL; at = at->next) {
            struct dyno_err reason = {0};
            struct dyno_variant *variant = dyno_variant_create(
                model->name, version->number, at->name, at->path, &manager->options.tally_shape);
            if (variant == NULL) {
                (void)DYNO_NOMEM(err);
                continue;
            }
            variant->reap = reap;
            variant->reap_arg = manager;
            variant->next = loaded;
            loaded = variant;
            variant->wanted_labels = model->config.labels;
            const enum dyno_status status =
                dyno_variant_load(variant, &manager->lanes, contexts, max_batch, &reason);
            variant->wanted_labels = NULL;
            if (status == DYNO_OK) {
                (*ready_count)++;
                continue;
            }
            dyno_log(DYNO_LOG_WARN, "model '%s' version %s variant '%s': %s", variant->model,
                     variant->version, variant->name, reason.text);
            (void)DYNO_FAIL(err, reason.status, "%s", reason.text);
        }
    return loaded;
}

static bool has_ready(const struct dyno_manager *manager, const char *model)
{
    for (const struct dyno_variant *at = manager->variants; at != NULL; at = at->next)
        if (strcmp(at->model, model) == 0 && atomic_load(&at->state) == DYNO_VARIANT_READY)
            return true;
    return false;
}

/* The new ones take the place of the old in one step; a failed load leaves the old ones there. */
static void swap_in(struct dyno_manager *manager, const char *name, struct dyno_variant *loaded,
                    bool is_good)
{
    struct dyno_variant *old = loaded;
    (void)pthread_mutex_lock(&manager->lock);
    if (is_good || !has_ready(manager, name)) {
        old = take_out(manager, name);
        while (loaded != NULL) {
            struct dyno_variant *next = loaded->next;
            if (atomic_load(&loaded->state) == DYNO_VARIANT_WARMING)
                atomic_store(&loaded->state, DYNO_VARIANT_READY);
            add(manager, loaded);
            loaded = next;
        }
    }
    (void)pthread_mutex_unlock(&manager->lock);
    let_drain(old);
}

static enum dyno_status load_model(struct dyno_manager *manager, const char *name,
                                   struct dyno_err *err)
{
    struct dyno_repo_model *model = NULL;
    struct dyno_err reason = {0};
    size_t ready_count = 0;
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_repo_read(
        manager->options.folders, manager->options.folder_count, name, arena, &model, err);
    struct dyno_variant *loaded =
        status == DYNO_OK ? load_variants(manager, model, &ready_count, &reason) : NULL;
    if (status == DYNO_OK && loaded == NULL && reason.status == DYNO_OK)
        (void)DYNO_FAIL(&reason, DYNO_E_ARG, "it has no version with an engine");
    if (status == DYNO_OK && ready_count == 0)
        status = DYNO_FAIL(err, reason.status, "failed to load '%s': %s", name, reason.text);
    dyno_arena_destroy(arena);
    if (loaded != NULL)
        swap_in(manager, name, loaded, ready_count > 0);
    return status;
}

/* What is left of an unloaded variant for the index: its name. */
static struct dyno_variant *tombstone(struct dyno_manager *manager, const struct dyno_variant *of)
{
    struct dyno_variant *stone = dyno_variant_create(of->model, of->version_number, of->name,
                                                     of->path, &manager->options.tally_shape);
    if (stone == NULL)
        return NULL;
    stone->reap = reap;
    stone->reap_arg = manager;
    atomic_store(&stone->state, DYNO_VARIANT_UNLOADED);
    (void)DYNO_FAIL(&stone->reason, DYNO_E_CANCELLED, "unloaded");
    return stone;
}

static enum dyno_status unload_model(struct dyno_manager *manager, const char *name,
                                     struct dyno_err *err)
{
    (void)pthread_mutex_lock(&manager->lock);
    struct dyno_variant *old = take_out(manager, name);
    for (const struct dyno_variant *at = old; at != NULL; at = at->next) {
        struct dyno_variant *stone = tombstone(manager, at);
        if (stone != NULL)
            add(manager, stone);
    }
    (void)pthread_mutex_unlock(&manager->lock);
    if (old == NULL)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "failed to unload '%.128s': it is not loaded",
                         name);
    let_drain(old);
    return DYNO_OK;
}

/* --- the index --- */

static enum dyno_status add_row(const char *model, const struct dyno_variant *variant,
                                struct dyno_arena *arena, struct dyno_index_row ***link,
                                struct dyno_err *err)
{
    struct dyno_index_row *row = dyno_arena_alloc(arena, 1, sizeof(*row));
    if (row == NULL)
        return DYNO_NOMEM(err);
    row->model = dyno_arena_strdup(arena, model);
    row->state = "";
    row->reason = "";
    if (variant != NULL) {
        const enum dyno_variant_state state = atomic_load(&variant->state);
        row->version = dyno_arena_strdup(arena, variant->version);
        row->state = dyno_variant_state_text(state);
        row->reason = dyno_arena_strdup(arena, variant->reason.text);
    }
    if (row->model == NULL || row->reason == NULL)
        return DYNO_NOMEM(err);
    **link = row;
    *link = &row->next;
    return DYNO_OK;
}

/* One row a version: the best state among its variants stands for it. */
static enum dyno_status add_rows(struct dyno_manager *manager, const char *model,
                                 struct dyno_arena *arena, struct dyno_index_row ***link,
                                 struct dyno_err *err)
{
    const struct dyno_variant *best = NULL;
    bool found = false;
    for (const struct dyno_variant *at = manager->variants; at != NULL; at = at->next) {
        if (strcmp(at->model, model) != 0)
            continue;
        found = true;
        if (best == NULL || atomic_load(&best->state) != DYNO_VARIANT_READY)
            best = at;
        if (at->next == NULL || strcmp(at->next->model, model) != 0 ||
            at->next->version_number != at->version_number) {
            DYNO_TRY(add_row(model, best, arena, link, err));
            best = NULL;
        }
    }
    return found ? DYNO_OK : add_row(model, NULL, arena, link, err);
}

static enum dyno_status make_index(struct dyno_manager *manager, struct dyno_order *order)
{
    struct dyno_repo_model *models = NULL;
    struct dyno_index_row **link = &order->rows;
    enum dyno_status status =
        dyno_repo_list(manager->options.folders, manager->options.folder_count, order->arena,
                       &models, &order->err);
    (void)pthread_mutex_lock(&manager->lock);
    for (; models != NULL && status == DYNO_OK; models = models->next)
        status = add_rows(manager, models->name, order->arena, &link, &order->err);
    (void)pthread_mutex_unlock(&manager->lock);
    return status;
}

/* --- the thread --- */

static void carry_out(struct dyno_manager *manager, struct dyno_order *order)
{
    switch (order->kind) {
    case DYNO_COMMAND_LOAD:
        order->status = load_model(manager, order->model, &order->err);
        break;
    case DYNO_COMMAND_UNLOAD:
        order->status = unload_model(manager, order->model, &order->err);
        break;
    case DYNO_COMMAND_INDEX:
        order->status = make_index(manager, order);
        break;
    }
    order->done(order);
}

static void load_at_start(struct dyno_manager *manager)
{
    struct dyno_repo_model *models = NULL;
    struct dyno_err err = {0};
    struct dyno_arena *arena = dyno_arena_create();
    if (manager->options.load_at_start && arena != NULL) {
        if (dyno_repo_list(manager->options.folders, manager->options.folder_count, arena, &models,
                           &err) != DYNO_OK)
            dyno_log(DYNO_LOG_ERROR, "%s", err.text);
        for (; models != NULL; models = models->next) {
            struct dyno_err reason = {0};
            if (load_model(manager, models->name, &reason) != DYNO_OK)
                dyno_log(DYNO_LOG_ERROR, "%s", reason.text);
        }
    }
    dyno_arena_destroy(arena);
    for (size_t i = 0; i < manager->options.start_model_count; i++) {
        struct dyno_err reason = {0};
        if (load_model(manager, manager->options.start_models[i], &reason) != DYNO_OK)
            dyno_log(DYNO_LOG_ERROR, "%s", reason.text);
    }
}

static void *work(void *arg)
{
    struct dyno_manager *manager = arg;
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICENESS);
    load_at_start(manager);
    (void)pthread_mutex_lock(&manager->lock);
    manager->is_ready = true;
    for (;;) {
        struct dyno_variant *reaped = manager->reaped;
        struct dyno_order *order = manager->first;
        if (reaped != NULL) {
            manager->reaped = reaped->next_reap;
            (void)pthread_mutex_unlock(&manager->lock);
            dyno_variant_destroy(reaped);
        } else if (order != NULL) {
            manager->first = order->next;
            manager->last = order->next != NULL ? manager->last : NULL;
            (void)pthread_mutex_unlock(&manager->lock);
            carry_out(manager, order);
        } else if (manager->is_ending) {
            break;
        } else {
            (void)pthread_cond_wait(&manager->work, &manager->lock);
            continue;
        }
        (void)pthread_mutex_lock(&manager->lock);
    }
    (void)pthread_mutex_unlock(&manager->lock);
    return NULL;
}

void dyno_manager_order(struct dyno_manager *manager, struct dyno_order *order)
{
    order->next = NULL;
    (void)pthread_mutex_lock(&manager->lock);
    if (manager->last != NULL)
        manager->last->next = order;
    else
        manager->first = order;
    manager->last = order;
    (void)pthread_cond_signal(&manager->work);
    (void)pthread_mutex_unlock(&manager->lock);
}

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

enum dyno_status dyno_manager_create(const struct dyno_manager_options *options,
                                     struct dyno_manager **manager_out, struct dyno_err *err)
{
    *manager_out = NULL;
    struct dyno_manager *manager = dyno_alloc(1, sizeof(*manager));
    if (manager == NULL)
        return DYNO_NOMEM(err);
    (void)pthread_mutex_init(&manager->lock, NULL);
    (void)pthread_cond_init(&manager->work, NULL);
    manager->options = *options;
    enum dyno_status status = make_lanes(manager, err);
    if (status == DYNO_OK) {
        const int code = pthread_create(&manager->thread, NULL, work, manager);
        manager->has_thread = code == 0;
        if (code != 0)
            status = DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start a thread: %s", strerror(code));
    }
    if (status != DYNO_OK) {
        dyno_manager_destroy(manager);
        return status;
    }
    *manager_out = manager;
    return DYNO_OK;
}

void dyno_manager_destroy(struct dyno_manager *manager)
{
    if (manager == NULL)
        return;
    (void)pthread_mutex_lock(&manager->lock);
    struct dyno_variant *all = manager->variants;
    manager->variants = NULL;
    (void)pthread_mutex_unlock(&manager->lock);
    let_drain(all);
    (void)pthread_mutex_lock(&manager->lock);
    manager->is_ending = true;
    (void)pthread_cond_signal(&manager->work);
    (void)pthread_mutex_unlock(&manager->lock);
    if (manager->has_thread)
        (void)pthread_join(manager->thread, NULL);
    for (int i = 0; i < manager->lanes.count; i++)
        dyno_threads_destroy(manager->lanes.pools[i]);
    (void)pthread_cond_destroy(&manager->work);
    (void)pthread_mutex_destroy(&manager->lock);
    dyno_free(manager);
}
