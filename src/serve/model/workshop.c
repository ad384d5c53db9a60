/* workshop.c - wishes of orders to the maker, and what it tells as orders to the manager. */
#include "serve/model/workshop.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "serve/model/engine_cache.h"
#include "serve/model/maker.h"
#include "serve/model/program.h"

static const char *const stage_names[2] = {"baseline", "tuned"};

/* An order that waits for a version. */
struct waiting {
    struct waiting *next;
    struct dyno_order *order;
    uint64_t version;
};

struct dyno_workshop {
    struct dyno_manager *manager;
    struct dyno_workshop_options options;
    bool is_off;

    pthread_mutex_t lock;
    struct dyno_engine_cache *cache;
    struct dyno_maker *maker; /* made with the first wish */
    struct waiting *waiting;
    bool is_stopped;
};

enum dyno_status dyno_workshop_create(struct dyno_manager *manager,
                                      const struct dyno_workshop_options *options,
                                      struct dyno_workshop **workshop_out, struct dyno_err *err)
{
    struct dyno_workshop *workshop = dyno_alloc(1, sizeof(*workshop));
    *workshop_out = workshop;
    if (workshop == NULL)
        return DYNO_NOMEM(err);
    workshop->manager = manager;
    workshop->is_off = options == NULL;
    if (options != NULL)
        workshop->options = *options;
    (void)pthread_mutex_init(&workshop->lock, NULL);
    return DYNO_OK;
}

bool dyno_workshop_is_ours(const struct dyno_repo_version *version)
{
    return version->has_onnx && version->variant_count == 0;
}

bool dyno_workshop_has(const char *variant)
{
    return variant[0] == 0 || strcmp(variant, stage_names[0]) == 0 ||
           strcmp(variant, stage_names[1]) == 0;
}

/* NULL: nothing was wished for yet. */
static struct dyno_maker *maker_of(struct dyno_workshop *workshop)
{
    (void)pthread_mutex_lock(&workshop->lock);
    struct dyno_maker *maker = workshop->maker;
    (void)pthread_mutex_unlock(&workshop->lock);
    return maker;
}

/* --- who waits --- */

static void give_back(struct dyno_manager *manager, struct dyno_order *order)
{
    order->is_second = true;
    dyno_manager_order(manager, order);
}

/* Nobody has to wait for this version (0: for any of the model) any more. */
static void end_waiting(struct dyno_workshop *workshop, const char *model, uint64_t version,
                        enum dyno_status status, const char *reason)
{
    struct dyno_order *done = NULL; /* linked; in no queue now */
    (void)pthread_mutex_lock(&workshop->lock);
    struct waiting **at = &workshop->waiting;
    while (*at != NULL) {
        struct waiting *one = *at;
        struct dyno_order *order = one->order;
        if ((model != NULL && strcmp(order->model, model) != 0) ||
            (version != 0 && one->version != version)) {
            at = &one->next;
            continue;
        }
        if (status != DYNO_OK)
            (void)DYNO_FAIL(&order->build_reason, status, "%s", reason);
        *at = one->next;
        dyno_free(one);
        if (--order->wait_count == 0) {
            order->next = done;
            done = order;
        }
    }
    (void)pthread_mutex_unlock(&workshop->lock);
    while (done != NULL) {
        struct dyno_order *next = done->next;
        give_back(workshop->manager, done);
        done = next;
    }
}

static enum dyno_status add_waiting(struct dyno_workshop *workshop, struct dyno_order *order,
                                    uint64_t version, struct dyno_err *err)
{
    struct waiting *one = dyno_alloc(1, sizeof(*one));
    if (one == NULL)
        return DYNO_NOMEM(err);
    one->order = order;
    one->version = version;
    (void)pthread_mutex_lock(&workshop->lock);
    one->next = workshop->waiting;
    workshop->waiting = one;
    order->wait_count++;
    (void)pthread_mutex_unlock(&workshop->lock);
    return DYNO_OK;
}

/* It need not wait for this one after all.  It is being carried out, so it does not go back. */
static void take_waiting(struct dyno_workshop *workshop, struct dyno_order *order, uint64_t version)
{
    (void)pthread_mutex_lock(&workshop->lock);
    for (struct waiting **at = &workshop->waiting; *at != NULL; at = &(*at)->next) {
        struct waiting *one = *at;
        if (one->order != order || one->version != version)
            continue;
        *at = one->next;
        dyno_free(one);
        order->wait_count--;
        break;
    }
    (void)pthread_mutex_unlock(&workshop->lock);
}

/* --- what the maker tells --- */

/* Does an engine of this version answer, or that of the given stage (-1: any)? */
static bool is_ready(struct dyno_workshop *workshop, const char *model, uint64_t version, int stage)
{
    struct dyno_catalog *catalog = &workshop->manager->catalog;
    bool found = false;
    (void)pthread_mutex_lock(&catalog->lock);
    const struct dyno_shelf *shelf = dyno_catalog_shelf(catalog, model);
    for (const struct dyno_slot *at = shelf != NULL ? shelf->slots : NULL; at != NULL && !found;
         at = at->next)
        found = at->variant != NULL && at->number == version &&
                (stage < 0 || strcmp(at->name, stage_names[stage]) == 0);
    (void)pthread_mutex_unlock(&catalog->lock);
    return found;
}

/* Shown beside the engine that answers, where there is one. */
static void announce(struct dyno_workshop *workshop, const char *model, uint64_t version,
                     enum dyno_made_stage stage, bool has_failed, const char *reason)
{
    const enum dyno_made_stage other =
        stage == DYNO_MADE_TUNED ? DYNO_MADE_BASELINE : DYNO_MADE_TUNED;
    const char *name = stage_names[is_ready(workshop, model, version, (int)stage) ? other : stage];
    (void)!dyno_catalog_announce(&workshop->manager->catalog, model, version, name,
                                 has_failed ? DYNO_SLOT_FAILED : DYNO_SLOT_LOADING, reason, NULL);
}

/* An order to load what was made. */
struct made_order {
    struct dyno_order order; /* first */
    struct dyno_workshop *workshop;
    uint64_t ticket;
    char *texts; /* of the order */
};

static bool is_wanted(const struct dyno_order *order)
{
    const struct made_order *made = (const struct made_order *)(const void *)order;
    return dyno_maker_is_current(made->workshop->maker, order->model, order->version, made->ticket);
}

static void made_done(struct dyno_order *order)
{
    struct made_order *made = (struct made_order *)(void *)order; /* its first member */
    const char *colon = strstr(order->err.text, "': "); /* after "failed to load 'MODEL" */
    const char *reason = colon != NULL ? colon + 3 : order->err.text;
    if (order->status != DYNO_OK && order->status != DYNO_E_CANCELLED)
        announce(made->workshop, order->model, order->version, DYNO_MADE_BASELINE, true, reason);
    if (order->status != DYNO_E_CANCELLED)
        end_waiting(made->workshop, order->model, order->version, order->status, reason);
    dyno_free(made->texts);
    dyno_free(made);
}

static void order_load(struct dyno_workshop *workshop, const struct dyno_made *what)
{
    struct made_order *made = dyno_alloc(1, sizeof(*made));
    const size_t model_bytes = strlen(what->model) + 1;
    const size_t path_bytes = strlen(what->path) + 1;
    char *texts = dyno_alloc(model_bytes + path_bytes, 1);
    if (made == NULL || texts == NULL) {
        dyno_free(made);
        dyno_free(texts);
        end_waiting(workshop, what->model, what->version, DYNO_E_NOMEM, "out of memory");
        return;
    }
    memcpy(texts, what->model, model_bytes);
    memcpy(texts + model_bytes, what->path, path_bytes);
    *made = (struct made_order){.workshop = workshop, .ticket = what->ticket, .texts = texts};
    made->order.kind = DYNO_COMMAND_LOAD;
    made->order.model = texts;
    made->order.version = what->version;
    made->order.variant = stage_names[what->stage];
    made->order.path = texts + model_bytes;
    /* The tuned engine of a model that has changed since goes, too. */
    if (what->stage == DYNO_MADE_TUNED)
        made->order.replaces = stage_names[DYNO_MADE_BASELINE];
    else if (is_ready(workshop, what->model, what->version, DYNO_MADE_TUNED))
        made->order.replaces = stage_names[DYNO_MADE_TUNED];
    made->order.is_wanted = is_wanted;
    made->order.done = made_done;
    dyno_manager_order(workshop->manager, &made->order);
}

static void told(void *arg, const struct dyno_made *made)
{
    struct dyno_workshop *workshop = arg;
    switch (made->state) {
    case DYNO_MADE_BUILDING:
        announce(workshop, made->model, made->version, made->stage, false, made->reason);
        break;
    case DYNO_MADE_THERE:
        order_load(workshop, made);
        break;
    case DYNO_MADE_FAILED:
        announce(workshop, made->model, made->version, made->stage, true, made->reason);
        end_waiting(workshop, made->model, made->version, DYNO_E_FORMAT, made->reason);
        break;
    }
}

/* --- wishes --- */

/* Under the lock. */
static enum dyno_status start_maker(struct dyno_workshop *workshop, struct dyno_err *err)
{
    const struct dyno_workshop_options *options = &workshop->options;
    char folder[PATH_MAX];
    char builder[PATH_MAX];
    if (workshop->maker != NULL)
        return DYNO_OK;
    if (options->cache_folder != NULL)
        (void)snprintf(folder, sizeof(folder), "%s", options->cache_folder);
    else if (!dyno_engine_cache_default(folder, sizeof(folder)))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "no folder for engines that are built is known: --engine-cache names one");
    if (workshop->cache == NULL)
        DYNO_TRY(dyno_engine_cache_open(folder, options->cache_bytes_max, &workshop->cache, err));
    dyno_program_find(workshop->options.builder, builder, sizeof(builder));
    const struct dyno_maker_options maker = {.builder = builder,
                                             .cache = workshop->cache,
                                             .job_max = options->job_max,
                                             .thread_count = options->thread_count,
                                             .timeout_ns = options->timeout_ns,
                                             .told = told,
                                             .told_arg = workshop};
    return dyno_maker_create(&maker, &workshop->maker, err);
}

/* Which device the engines of a model are built for.  wish_out: its wish with that, and texts that
 * live as long as the model and the call's `refusal`. */
static void place(const struct dyno_workshop *workshop, const struct dyno_repo_model *model,
                  struct dyno_make_wish *wish_out, char *refusal, size_t room)
{
    const struct dyno_manager *manager = workshop->manager;
    const char *device = model->config.build.device;
    *wish_out = model->config.build;
    for (int i = DYNO_MADE_TUNED; i >= DYNO_MADE_BASELINE && device == NULL; i--)
        device = dyno_model_variant_of(&model->config, stage_names[i]).device;
    wish_out->is_device_assumed = device == NULL && manager->options.is_gpu_assumed;
    if (device == NULL)
        device = manager->gpu_count > 0 ? manager->gpus[0].name : "cpu";
    wish_out->device = device;
    for (int i = 0; i < manager->gpu_count; i++)
        if (strcmp(manager->gpus[i].name, device) == 0)
            return;
    if (strcmp(device, "cpu") == 0)
        return;
    (void)snprintf(refusal, room, DYNO_GPU_NOT_USED, device);
    wish_out->refusal = refusal;
}

static enum dyno_status want_one(struct dyno_workshop *workshop, struct dyno_order *order,
                                 const struct dyno_repo_model *model,
                                 const struct dyno_repo_version *version, struct dyno_err *err)
{
    const bool was_ready = is_ready(workshop, model->name, version->number, -1);
    struct dyno_make_wish wish;
    char refusal[256];
    bool is_pending = false;
    enum dyno_status status = DYNO_OK;
    if (workshop->is_off)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "there is a model.onnx and no engine, and this server builds none");
    (void)pthread_mutex_lock(&workshop->lock);
    if (workshop->is_stopped)
        status = DYNO_FAIL(err, DYNO_E_CANCELLED, "the server stops");
    else
        status = start_maker(workshop, err);
    (void)pthread_mutex_unlock(&workshop->lock);
    DYNO_TRY(status);
    DYNO_TRY(add_waiting(workshop, order, version->number, err));
    if (!was_ready)
        announce(workshop, model->name, version->number, DYNO_MADE_BASELINE, false,
                 "its engine is looked for");
    place(workshop, model, &wish, refusal, sizeof(refusal));
    status = dyno_maker_want(workshop->maker, model->name, version->number, version->folder, &wish,
                             true, &is_pending, err);
    if (status != DYNO_OK || (!is_pending && was_ready))
        take_waiting(workshop, order, version->number);
    return status;
}

enum dyno_status dyno_workshop_want(struct dyno_workshop *workshop, struct dyno_order *order,
                                    const struct dyno_repo_model *model, size_t *wait_count_out,
                                    struct dyno_err *err)
{
    enum dyno_status first = DYNO_OK;
    order->wait_count++; /* until all are asked for, so that it does not go back before */
    for (const struct dyno_repo_version *at = model->versions; at != NULL; at = at->next) {
        struct dyno_err reason = {0};
        if (!dyno_workshop_is_ours(at))
            continue;
        const enum dyno_status status = want_one(workshop, order, model, at, &reason);
        if (status == DYNO_OK)
            continue;
        announce(workshop, model->name, at->number, DYNO_MADE_BASELINE, true, reason.text);
        dyno_log(DYNO_LOG_WARN, "model '%s' version %llu: %s", model->name,
                 (unsigned long long)at->number, reason.text);
        if (first == DYNO_OK)
            first = DYNO_FAIL(err, status, "%s", reason.text);
    }
    (void)pthread_mutex_lock(&workshop->lock);
    *wait_count_out = --order->wait_count;
    (void)pthread_mutex_unlock(&workshop->lock);
    return first;
}

bool dyno_workshop_is_outdated(struct dyno_workshop *workshop, const struct dyno_repo_model *model)
{
    struct dyno_maker *maker = maker_of(workshop);
    struct dyno_make_wish wish;
    char refusal[256];
    place(workshop, model, &wish, refusal, sizeof(refusal));
    for (const struct dyno_repo_version *at = model->versions; at != NULL && maker != NULL;
         at = at->next)
        if (dyno_workshop_is_ours(at) &&
            dyno_maker_is_outdated(maker, model->name, at->number, at->folder, &wish))
            return true;
    return false;
}

void dyno_workshop_retain(struct dyno_workshop *workshop, const struct dyno_repo_model *model)
{
    uint64_t versions[DYNO_REPO_VERSIONS_MAX];
    size_t count = 0;
    for (const struct dyno_repo_version *at = model->versions; at != NULL; at = at->next)
        if (dyno_workshop_is_ours(at) && count < DYNO_COUNT(versions))
            versions[count++] = at->number;
    struct dyno_maker *maker = maker_of(workshop);
    if (maker != NULL)
        dyno_maker_retain(maker, model->name, versions, count);
}

void dyno_workshop_drop(struct dyno_workshop *workshop, const char *model, uint64_t version)
{
    struct dyno_maker *maker = maker_of(workshop);
    if (maker != NULL)
        dyno_maker_drop(maker, model, version);
    end_waiting(workshop, model, version, DYNO_E_CANCELLED, "it was unloaded");
}

/* --- the end --- */

void dyno_workshop_stop(struct dyno_workshop *workshop)
{
    (void)pthread_mutex_lock(&workshop->lock);
    workshop->is_stopped = true;
    (void)pthread_mutex_unlock(&workshop->lock);
    struct dyno_maker *maker = maker_of(workshop);
    if (maker != NULL)
        dyno_maker_stop(maker);
    end_waiting(workshop, NULL, 0, DYNO_E_CANCELLED, "the server stops");
}

void dyno_workshop_destroy(struct dyno_workshop *workshop)
{
    if (workshop == NULL)
        return;
    dyno_maker_destroy(workshop->maker);
    dyno_engine_cache_close(workshop->cache);
    (void)pthread_mutex_destroy(&workshop->lock);
    dyno_free(workshop);
}

bool dyno_manager_build_stats(struct dyno_manager *manager, struct dyno_maker_stats *stats_out)
{
    struct dyno_workshop *workshop = manager->workshop;
    struct dyno_maker *maker = maker_of(workshop);
    *stats_out = (struct dyno_maker_stats){0};
    if (maker != NULL)
        dyno_maker_stats(maker, stats_out);
    return !workshop->is_off;
}
