/* own.c - orders that the manager gives itself: at the start, on demand, and for what has changed
 * in the repository. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/model/workshop.h"

#define SPARE_GAP_NS UINT64_C(2000000000) /* between loads of one slot that nobody waits for */

struct own_order {
    struct dyno_order order; /* first */
    struct dyno_manager *manager;
    bool is_again; /* of a demand: to be tried once more */
    char model[DYNO_MODEL_NAME_BYTES_MAX + 1], variant[DYNO_MODEL_NAME_BYTES_MAX + 1];
};

static struct own_order *own_of(struct dyno_order *order)
{
    return (struct own_order *)(void *)order; /* its first member */
}

/* NULL: out of memory.  Names are copied. */
static struct own_order *create(struct dyno_manager *manager, enum dyno_command_kind kind,
                                const char *model, uint64_t version, const char *variant)
{
    struct own_order *own = dyno_alloc(1, sizeof(*own));
    if (own == NULL)
        return NULL;
    own->manager = manager;
    (void)snprintf(own->model, sizeof(own->model), "%s", model);
    (void)snprintf(own->variant, sizeof(own->variant), "%s", variant != NULL ? variant : "");
    own->order.kind = kind;
    own->order.model = own->model;
    own->order.variant = own->variant;
    own->order.version = version;
    own->order.may_put_off = true;
    return own;
}

/* --- the start --- */

static void start_done(struct dyno_order *order)
{
    struct dyno_manager *manager = own_of(order)->manager;
    if (order->status != DYNO_OK && order->status != DYNO_E_CANCELLED)
        dyno_log(DYNO_LOG_ERROR, "%s", order->err.text);
    (void)pthread_mutex_lock(&manager->lock);
    manager->starting_count--;
    (void)pthread_mutex_unlock(&manager->lock);
    dyno_free(own_of(order));
}

static enum dyno_status give_start(struct dyno_manager *manager, const struct dyno_start *start,
                                   bool only_loaded, struct dyno_err *err)
{
    struct own_order *own =
        create(manager, start->kind, start->model, start->version, start->variant);
    if (own == NULL)
        return DYNO_NOMEM(err);
    own->order.is_spare = true; /* what is there first stays */
    own->order.only_loaded = only_loaded;
    own->order.done = start_done;
    manager->starting_count++;
    if (start->kind == DYNO_COMMAND_LOAD)
        dyno_manager_announce(manager, &own->order);
    dyno_manager_order(manager, &own->order);
    return DYNO_OK;
}

enum dyno_status dyno_manager_start(struct dyno_manager *manager, struct dyno_err *err)
{
    const struct dyno_manager_options *options = &manager->options;
    struct dyno_repo_model *models = NULL;
    struct dyno_err reason = {0};
    if ((options->load_at_start || options->on_demand) &&
        dyno_repo_list(options->folders, options->folder_count, manager->arena, &models, &reason) !=
            DYNO_OK)
        dyno_log(DYNO_LOG_ERROR, "%s", reason.text);
    for (; models != NULL; models = models->next) {
        const struct dyno_start start = {.kind = DYNO_COMMAND_LOAD, .model = models->name};
        DYNO_TRY(give_start(manager, &start, options->on_demand, err));
    }
    for (size_t i = 0; i < options->start_count; i++)
        if (dyno_model_name_ok(options->starts[i].model))
            DYNO_TRY(give_start(manager, &options->starts[i], false, err));
        else
            dyno_log(DYNO_LOG_ERROR, "'%.128s' is not the name of a model",
                     options->starts[i].model);
    return DYNO_OK;
}

/* --- on demand --- */

/* While no other order about the model is carried out: those who wait are told, or wait on. */
void dyno_manager_demand_over(struct dyno_order *order)
{
    struct own_order *own = own_of(order);
    struct dyno_manager *manager = own->manager;
    struct dyno_leaving leaving = {0};
    dyno_manager_lock_catalog(manager);
    struct dyno_shelf *shelf = dyno_catalog_shelf(&manager->catalog, own->model);
    struct dyno_slot *slot =
        shelf != NULL ? dyno_shelf_slot(shelf, order->version, own->variant) : NULL;
    const bool is_ordered = slot != NULL && slot->is_ordered;
    own->is_again =
        is_ordered && order->status == DYNO_OK && slot->waits != NULL && slot->variant == NULL;
    if (is_ordered && !own->is_again) {
        slot->is_ordered = false;
        if (slot->variant == NULL &&
            (slot->state == DYNO_SLOT_LOADING || slot->state == DYNO_SLOT_WARMING)) {
            slot->retry_ns = dyno_clock_ns() + DYNO_RETRY_NS;
            dyno_slot_set(slot, DYNO_SLOT_FAILED, order->err.text);
        }
        dyno_leaving_wake(&leaving,
                          dyno_slot_take_waits(slot, slot->variant != NULL ? DYNO_OK : DYNO_E_BUSY,
                                               order->err.text, 0));
    }
    dyno_manager_unlock_catalog(manager);
    dyno_leaving_go(&leaving);
}

static void demand_done(struct dyno_order *order)
{
    struct own_order *own = own_of(order);
    if (!own->is_again) {
        dyno_free(own);
        return;
    }
    order->is_spare = false; /* somebody waits for it, perhaps for room: behind the others */
    order->err = (struct dyno_err){0};
    dyno_manager_order(own->manager, order);
}

bool dyno_manager_want(void *arg, struct dyno_slot *slot, bool is_spare)
{
    struct dyno_manager *manager = arg;
    const uint64_t now_ns = dyno_clock_ns();
    if (is_spare && now_ns < slot->spare_ns)
        return true;
    struct own_order *own =
        create(manager, DYNO_COMMAND_LOAD, slot->shelf->name, slot->number, slot->name);
    if (own == NULL)
        return false;
    own->order.is_spare = is_spare;
    own->order.is_demand = true;
    own->order.done = demand_done;
    slot->spare_ns = now_ns + SPARE_GAP_NS;
    slot->is_ordered = true;
    if (!is_spare)
        dyno_slot_set(slot, DYNO_SLOT_LOADING, NULL);
    dyno_manager_order(manager, &own->order);
    return true;
}

/* --- what has changed in the repository --- */

static void poll_done(struct dyno_order *order)
{
    struct own_order *own = own_of(order);
    struct dyno_manager *manager = own->manager;
    if (order->status != DYNO_OK && order->status != DYNO_E_CANCELLED)
        dyno_log(DYNO_LOG_ERROR, "%s", order->err.text);
    dyno_manager_lock_catalog(manager);
    struct dyno_shelf *shelf = dyno_catalog_shelf(&manager->catalog, own->model);
    if (shelf != NULL)
        shelf->is_polled = false;
    dyno_manager_unlock_catalog(manager);
    dyno_free(own);
}

/* Under the catalog's lock. */
static void give_poll(struct dyno_manager *manager, struct dyno_shelf *shelf, const char *model,
                      enum dyno_command_kind kind)
{
    struct own_order *own = create(manager, kind, model, 0, NULL);
    if (own == NULL)
        return; /* the next look finds it, too */
    own->order.only_loaded = manager->options.on_demand;
    own->order.done = poll_done;
    if (shelf != NULL)
        shelf->is_polled = true;
    dyno_manager_order(manager, &own->order);
}

/* A look at one model: what lies there. */
struct look {
    const struct dyno_repo_model *model;
    uint64_t settings;
};

/* Is the slot what it would be, were it loaded now?  One that was never tried waits for demand. */
static bool is_as_found(const struct look *look, const struct dyno_slot *slot,
                        const struct dyno_repo_variant *found)
{
    const struct dyno_model_variant says = dyno_model_variant_of(&look->model->config, found->name);
    struct dyno_stamp stamp = dyno_stamp_of(found->path);
    const bool was_tried = slot->stamp.bytes != 0 || slot->stamp.time_ns != 0;
    stamp.settings = look->settings;
    return slot->path != NULL && strcmp(slot->path, found->path) == 0 &&
           !(slot->accuracy < says.accuracy) && !(slot->accuracy > says.accuracy) &&
           slot->is_pinned == says.is_pinned &&
           (!was_tried || dyno_stamp_is_same(&slot->stamp, &stamp));
}

/* Is a version known that is there no more, or is one not known that engines are built for? */
static bool has_other_versions(const struct look *look, const struct dyno_shelf *shelf)
{
    for (const struct dyno_slot *at = shelf->slots; at != NULL; at = at->next) {
        const struct dyno_repo_version *version = look->model->versions;
        while (version != NULL && version->number != at->number)
            version = version->next;
        if (version == NULL && !at->is_gone)
            return true;
    }
    for (const struct dyno_repo_version *version = look->model->versions; version != NULL;
         version = version->next) {
        const struct dyno_slot *at = shelf->slots;
        while (at != NULL && at->number != version->number)
            at = at->next;
        if (at == NULL && dyno_workshop_is_ours(version))
            return true;
    }
    return false;
}

/* Under the lock. */
static bool has_changed(const struct look *look, struct dyno_shelf *shelf)
{
    size_t found_count = 0;
    size_t known_count = 0;
    for (const struct dyno_repo_version *version = look->model->versions; version != NULL;
         version = version->next)
        for (const struct dyno_repo_variant *at = version->variants; at != NULL; at = at->next) {
            const struct dyno_slot *slot =
                shelf != NULL ? dyno_shelf_slot(shelf, version->number, at->name) : NULL;
            found_count++;
            if (slot == NULL || slot->is_gone || !is_as_found(look, slot, at))
                return true;
            known_count += !slot->is_foreign;
        }
    for (const struct dyno_slot *at = shelf != NULL ? shelf->slots : NULL; at != NULL;
         at = at->next)
        if (at->path != NULL && !at->is_foreign && !at->is_gone)
            known_count--;
    if (shelf == NULL)
        return look->model->versions != NULL;
    return known_count != 0 || (found_count > 0 && shelf->reason != NULL) ||
           has_other_versions(look, shelf);
}

static void look_at_model(struct dyno_manager *manager, const char *name, struct dyno_arena *arena)
{
    struct dyno_repo_model *model = NULL;
    struct dyno_err err = {0};
    const enum dyno_status status = dyno_repo_read(
        manager->options.folders, manager->options.folder_count, name, 0, arena, &model, &err);
    if (status != DYNO_OK) {
        if (status != DYNO_E_NOT_FOUND && dyno_manager_tell_model(manager, name, err.text))
            dyno_log(DYNO_LOG_WARN, "model '%s': %s", name, err.text);
        return;
    }
    const struct look look = {.model = model, .settings = dyno_model_settings(model, arena)};
    const bool is_outdated = dyno_workshop_is_outdated(manager->workshop, model);
    dyno_manager_lock_catalog(manager);
    struct dyno_shelf *shelf = dyno_catalog_shelf(&manager->catalog, name);
    if ((shelf == NULL || !shelf->is_polled) && (is_outdated || has_changed(&look, shelf)))
        give_poll(manager, shelf, name, DYNO_COMMAND_LOAD);
    dyno_manager_unlock_catalog(manager);
}

/* Models whose folders are gone. */
static void look_for_gone(struct dyno_manager *manager, const struct dyno_repo_model *models)
{
    struct dyno_catalog *catalog = &manager->catalog;
    dyno_manager_lock_catalog(manager);
    for (size_t i = 0; i < catalog->count; i++) {
        struct dyno_shelf *shelf = catalog->shelves[i];
        while (models != NULL && strcmp(models->name, shelf->name) < 0)
            models = models->next;
        const bool is_there = models != NULL && strcmp(models->name, shelf->name) == 0;
        if (!is_there && !shelf->is_polled)
            give_poll(manager, shelf, shelf->name, DYNO_COMMAND_FORGET);
    }
    dyno_manager_unlock_catalog(manager);
}

void dyno_manager_poll(struct dyno_manager *manager)
{
    struct dyno_repo_model *models = NULL;
    struct dyno_err err = {0};
    struct dyno_arena *names = dyno_arena_create();
    struct dyno_arena *arena = dyno_arena_create();
    if (names == NULL || arena == NULL)
        dyno_log(DYNO_LOG_WARN, "the repository was not looked at: out of memory");
    else if (dyno_repo_list(manager->options.folders, manager->options.folder_count, names, &models,
                            &err) != DYNO_OK)
        dyno_log(DYNO_LOG_WARN, "%s", err.text);
    else {
        look_for_gone(manager, models);
        for (; models != NULL && !dyno_manager_is_ending(manager); models = models->next) {
            look_at_model(manager, models->name, arena);
            dyno_arena_reset(arena);
        }
    }
    dyno_arena_destroy(arena);
    dyno_arena_destroy(names);
}
