/* catalog.c - models in a sorted array, their slots in lists. */
#include "serve/model/catalog.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/strbuf.h"

void dyno_catalog_init(struct dyno_catalog *catalog)
{
    *catalog = (struct dyno_catalog){0};
    (void)pthread_mutex_init(&catalog->lock, NULL);
}

/* --- models and slots --- */

static void free_slot(struct dyno_slot *slot)
{
    DYNO_ASSERT(slot->variant == NULL && slot->drain_count == 0 && slot->waits == NULL);
    dyno_free(slot->path);
    dyno_free(slot->reason);
    dyno_free(slot);
}

void dyno_catalog_fini(struct dyno_catalog *catalog)
{
    for (size_t i = 0; i < catalog->count; i++) {
        struct dyno_shelf *shelf = catalog->shelves[i];
        while (shelf->slots != NULL) {
            struct dyno_slot *next = shelf->slots->next;
            free_slot(shelf->slots);
            shelf->slots = next;
        }
        dyno_free(shelf->reason);
        dyno_free(shelf);
    }
    dyno_free(catalog->shelves);
    (void)pthread_mutex_destroy(&catalog->lock);
}

/* Where the model is, or would be. */
static size_t place_of(const struct dyno_catalog *catalog, const char *model, bool *is_there)
{
    size_t low = 0;
    size_t high = catalog->count;
    *is_there = false;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        const int order = strcmp(catalog->shelves[mid]->name, model);
        if (order == 0) {
            *is_there = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct dyno_shelf *dyno_catalog_shelf(struct dyno_catalog *catalog, const char *model)
{
    bool is_there = false;
    const size_t idx = place_of(catalog, model, &is_there);
    return is_there ? catalog->shelves[idx] : NULL;
}

struct dyno_shelf *dyno_catalog_take_shelf(struct dyno_catalog *catalog, const char *model)
{
    bool is_there = false;
    const size_t idx = place_of(catalog, model, &is_there);
    if (is_there)
        return catalog->shelves[idx];
    if (catalog->count == catalog->room) {
        const size_t room = catalog->room > 0 ? catalog->room * 2 : 16;
        struct dyno_shelf **shelves =
            dyno_realloc(catalog->shelves, catalog->count * sizeof(struct dyno_shelf *), room,
                         sizeof(struct dyno_shelf *));
        if (shelves == NULL)
            return NULL;
        catalog->shelves = shelves;
        catalog->room = room;
    }
    struct dyno_shelf *shelf = dyno_alloc(1, sizeof(*shelf));
    if (shelf == NULL)
        return NULL;
    (void)snprintf(shelf->name, sizeof(shelf->name), "%s", model);
    memmove(&catalog->shelves[idx + 1], &catalog->shelves[idx],
            (catalog->count - idx) * sizeof(struct dyno_shelf *));
    catalog->shelves[idx] = shelf;
    catalog->count++;
    return shelf;
}

void dyno_catalog_tidy(struct dyno_catalog *catalog, struct dyno_shelf *shelf)
{
    bool is_there = false;
    const size_t idx = place_of(catalog, shelf->name, &is_there);
    if (shelf->slots != NULL || shelf->reason != NULL)
        return;
    catalog->count--;
    memmove(&catalog->shelves[idx], &catalog->shelves[idx + 1],
            (catalog->count - idx) * sizeof(struct dyno_shelf *));
    dyno_free(shelf);
}

/* The newest version first, by name inside it. */
static int order_of(const struct dyno_slot *slot, uint64_t version, const char *name)
{
    if (slot->number != version)
        return slot->number > version ? -1 : 1;
    return strcmp(slot->name, name);
}

struct dyno_slot *dyno_shelf_slot(struct dyno_shelf *shelf, uint64_t version, const char *name)
{
    struct dyno_slot *at = shelf->slots;
    while (at != NULL && order_of(at, version, name) < 0)
        at = at->next;
    return at != NULL && order_of(at, version, name) == 0 ? at : NULL;
}

struct dyno_slot *dyno_shelf_take_slot(struct dyno_shelf *shelf, uint64_t version, const char *name)
{
    struct dyno_slot **at = &shelf->slots;
    while (*at != NULL && order_of(*at, version, name) < 0)
        at = &(*at)->next;
    if (*at != NULL && order_of(*at, version, name) == 0) {
        (*at)->is_gone = false;
        return *at;
    }
    struct dyno_slot *slot = dyno_alloc(1, sizeof(*slot));
    if (slot == NULL)
        return NULL;
    slot->shelf = shelf;
    slot->number = version;
    slot->accuracy = 1.0;
    (void)snprintf(slot->version, sizeof(slot->version), "%llu", (unsigned long long)version);
    (void)snprintf(slot->name, sizeof(slot->name), "%s", name);
    slot->next = *at;
    *at = slot;
    return slot;
}

bool dyno_slot_is_in(const struct dyno_slot *slot, uint64_t version, const char *name)
{
    return (version == 0 || slot->number == version) &&
           (name[0] == 0 || strcmp(slot->name, name) == 0);
}

/* Without memory there is nothing beside the state. */
static void tell(char **reason, const char *text)
{
    char *copy = text != NULL ? dyno_strdup(text) : NULL;
    dyno_free(*reason);
    *reason = copy;
}

void dyno_shelf_tell(struct dyno_shelf *shelf, const char *reason)
{
    tell(&shelf->reason, reason);
}

void dyno_slot_set(struct dyno_slot *slot, enum dyno_slot_state state, const char *reason)
{
    slot->state = state;
    tell(&slot->reason, reason);
}

struct dyno_variant *dyno_slot_put(struct dyno_slot *slot, struct dyno_variant *variant)
{
    struct dyno_variant *old = slot->variant;
    slot->drain_count += old != NULL;
    slot->variant = variant;
    slot->is_evicted = false;
    dyno_slot_set(slot, DYNO_SLOT_READY, NULL);
    return old;
}

struct dyno_variant *dyno_slot_empty(struct dyno_slot *slot, const char *reason)
{
    struct dyno_variant *old = slot->variant;
    slot->drain_count += old != NULL;
    slot->variant = NULL;
    slot->is_evicted = slot->is_fallen = false;
    dyno_slot_set(slot, slot->drain_count > 0 ? DYNO_SLOT_DRAINING : DYNO_SLOT_UNLOADED, reason);
    return old;
}

void dyno_catalog_drop(struct dyno_catalog *catalog, struct dyno_slot *slot)
{
    struct dyno_shelf *shelf = slot->shelf;
    struct dyno_slot **at = &shelf->slots;
    slot->is_gone = true;
    if (slot->drain_count > 0)
        return;
    while (*at != slot)
        at = &(*at)->next;
    *at = slot->next;
    free_slot(slot);
    dyno_catalog_tidy(catalog, shelf);
}

void dyno_catalog_drained(struct dyno_catalog *catalog, struct dyno_slot *slot)
{
    slot->drain_count--;
    if (slot->drain_count > 0)
        return;
    if (slot->state == DYNO_SLOT_DRAINING)
        slot->state = DYNO_SLOT_UNLOADED;
    if (slot->is_gone)
        dyno_catalog_drop(catalog, slot);
}

/* --- requests --- */

/* What a client is told of a slot that is not ready. */
static const char *state_words(const struct dyno_slot *slot)
{
    switch (slot->state) {
    case DYNO_SLOT_LOADING:
    case DYNO_SLOT_WARMING:
        return "it is loading";
    case DYNO_SLOT_FAILED:
        return "it could not be loaded";
    case DYNO_SLOT_DRAINING:
    case DYNO_SLOT_UNLOADED:
    case DYNO_SLOT_READY:
        break;
    }
    return slot->reason != NULL ? slot->reason : "it is not loaded";
}

/* Triton's sentences; where something is known of the model, why it does not answer is added. */
static enum dyno_status not_ready(struct dyno_catalog *catalog, const char *model,
                                  const char *version, const struct dyno_slot *slot,
                                  struct dyno_err *err)
{
    const bool is_known = dyno_catalog_shelf(catalog, model) != NULL;
    const bool any_version = version == NULL || version[0] == 0;
    if (any_version && is_known)
        return DYNO_FAIL(err, DYNO_E_BUSY,
                         "Request for unknown model: '%.128s' has no available versions: %.512s",
                         model, slot != NULL ? state_words(slot) : "it could not be read");
    if (any_version)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "Request for unknown model: '%.128s' is not found",
                         model);
    if (slot != NULL)
        return DYNO_FAIL(err, DYNO_E_BUSY,
                         "Request for unknown model: '%.128s' version %.24s is not at ready "
                         "state: %.512s",
                         model, version, state_words(slot));
    return DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                     "Request for unknown model: '%.128s' version %.24s is not found", model,
                     version);
}

/* The slots of one version, "" being the newest that has a ready one or one that comes; else the
 * newest. */
struct version {
    struct dyno_slot *first;
    size_t count;
    bool is_there;
};

static struct version pick_version(struct dyno_catalog *catalog, const char *model,
                                   const char *version)
{
    const bool any_version = version == NULL || version[0] == 0;
    struct dyno_shelf *shelf = dyno_catalog_shelf(catalog, model);
    struct version best = {0};
    struct version own = {0};
    for (struct dyno_slot *at = shelf != NULL ? shelf->slots : NULL; at != NULL; at = at->next) {
        if (at->is_gone || (!any_version && strcmp(at->version, version) != 0))
            continue;
        if (own.first == NULL || own.first->number != at->number)
            own = (struct version){.first = at};
        own.count++;
        own.is_there = own.is_there || at->variant != NULL ||
                       (at->state != DYNO_SLOT_FAILED && dyno_slot_comes(catalog, at));
        if (best.first == NULL || best.first == own.first || (own.is_there && !best.is_there))
            best = own;
    }
    return best;
}

/* What is known of the version, as it is to be judged. */
struct knowledge {
    struct dyno_known known[DYNO_REPO_VARIANTS_MAX];
    struct dyno_slot *slots[DYNO_REPO_VARIANTS_MAX];
    size_t count;
};

static void collect(const struct dyno_catalog *catalog, const struct version *found,
                    struct knowledge *all)
{
    all->count = 0;
    for (struct dyno_slot *at = found->first;
         at != NULL && at->number == found->first->number && all->count < DYNO_REPO_VARIANTS_MAX;
         at = at->next) {
        if (at->is_gone)
            continue;
        all->slots[all->count] = at;
        all->known[all->count++] = (struct dyno_known){.name = at->name,
                                                       .accuracy = at->accuracy,
                                                       .variant = at->variant,
                                                       .comes = dyno_slot_comes(catalog, at)};
    }
}

static void count_request(struct dyno_slot *wanted, const struct dyno_wait *wait)
{
    if (wait == NULL || wait->is_again)
        return;
    wanted->hit_count += wanted->variant != NULL;
    wanted->miss_count += wanted->variant == NULL;
}

enum dyno_status dyno_catalog_choose(struct dyno_catalog *catalog, const char *model,
                                     const char *version, dyno_choose_fn *choose, void *arg,
                                     struct dyno_wait *wait, struct dyno_variant **variant_out,
                                     struct dyno_err *err)
{
    struct knowledge all;
    int wanted = -1;
    int chosen = -1;
    enum dyno_status status = DYNO_OK;
    *variant_out = NULL;
    (void)pthread_mutex_lock(&catalog->lock);
    const struct version found = pick_version(catalog, model, version);
    collect(catalog, &found, &all);
    if (all.count > 0)
        choose(arg, all.known, all.count, &wanted, &chosen);
    struct dyno_slot *own = chosen >= 0 ? all.slots[chosen] : NULL;
    struct dyno_slot *better = wanted >= 0 ? all.slots[wanted] : NULL;
    const bool comes = better != NULL && all.known[wanted].comes;
    if (better != NULL)
        count_request(better, wait);
    if (own != NULL) {
        *variant_out = own->variant;
        own->used_tick = ++catalog->tick;
        dyno_variant_ref(*variant_out);
        if (comes && wait != NULL && !better->is_ordered && better->state == DYNO_SLOT_UNLOADED)
            (void)catalog->want(catalog->want_arg, better, true); /* without memory: another time */
    } else if (comes && wait != NULL) {
        status = dyno_slot_wait(catalog, better, wait, err);
    } else {
        status = not_ready(catalog, model, version, found.first, err);
    }
    (void)pthread_mutex_unlock(&catalog->lock);
    return status;
}

void dyno_choose_first(void *arg, const struct dyno_known *known, size_t count, int *wanted_out,
                       int *chosen_out)
{
    (void)arg;
    for (size_t i = 0; i < count; i++) {
        if (*chosen_out < 0 && known[i].variant != NULL)
            *chosen_out = (int)i;
        if (*wanted_out < 0 && known[i].comes)
            *wanted_out = (int)i;
    }
    *wanted_out = *chosen_out >= 0 ? *chosen_out : *wanted_out;
}

enum dyno_status dyno_catalog_find(struct dyno_catalog *catalog, const char *model,
                                   const char *version, struct dyno_variant **variant_out,
                                   struct dyno_err *err)
{
    return dyno_catalog_choose(catalog, model, version, dyno_choose_first, NULL, NULL, variant_out,
                               err);
}

bool dyno_catalog_coming(struct dyno_catalog *catalog, const char *model, const char *version,
                         uint64_t *version_out, char *name_out)
{
    bool comes = false;
    (void)pthread_mutex_lock(&catalog->lock);
    const struct version found = pick_version(catalog, model, version);
    for (const struct dyno_slot *at = found.first;
         at != NULL && at->number == found.first->number && !comes; at = at->next) {
        comes = dyno_slot_comes(catalog, at) &&
                (at->state != DYNO_SLOT_FAILED || dyno_clock_ns() >= at->retry_ns);
        *version_out = at->number;
        memcpy(name_out, at->name, sizeof(at->name));
    }
    (void)pthread_mutex_unlock(&catalog->lock);
    return comes;
}

bool dyno_catalog_answers(struct dyno_catalog *catalog, const char *model, const char *version)
{
    (void)pthread_mutex_lock(&catalog->lock);
    const bool answers = pick_version(catalog, model, version).is_there;
    (void)pthread_mutex_unlock(&catalog->lock);
    return answers;
}

enum dyno_status dyno_catalog_ready(struct dyno_catalog *catalog, const char *model,
                                    struct dyno_arena *arena, struct dyno_variant ***variants_out,
                                    size_t *count_out, struct dyno_err *err)
{
    size_t count = 0;
    *count_out = 0;
    (void)pthread_mutex_lock(&catalog->lock);
    for (size_t i = 0; i < catalog->count; i++)
        for (const struct dyno_slot *at = catalog->shelves[i]->slots; at != NULL; at = at->next)
            count += at->variant != NULL;
    *variants_out = dyno_arena_alloc(arena, count + 1, sizeof(struct dyno_variant *));
    for (size_t i = 0; i < catalog->count && *variants_out != NULL; i++) {
        if (model != NULL && strcmp(catalog->shelves[i]->name, model) != 0)
            continue;
        for (const struct dyno_slot *at = catalog->shelves[i]->slots; at != NULL; at = at->next) {
            if (at->variant == NULL)
                continue;
            dyno_variant_ref(at->variant);
            (*variants_out)[(*count_out)++] = at->variant;
        }
    }
    (void)pthread_mutex_unlock(&catalog->lock);
    return *variants_out != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

/* --- the index --- */

/* Triton's words. */
static const char *index_words(enum dyno_slot_state state)
{
    switch (state) {
    case DYNO_SLOT_LOADING:
    case DYNO_SLOT_WARMING:
        return "LOADING";
    case DYNO_SLOT_READY:
        return "READY";
    case DYNO_SLOT_DRAINING:
        return "UNLOADING";
    case DYNO_SLOT_UNLOADED:
    case DYNO_SLOT_FAILED:
        break;
    }
    return "UNAVAILABLE";
}

/* The more of it is there, the better. */
static int rank_of(enum dyno_slot_state state)
{
    static const int ranks[] = {
        [DYNO_SLOT_READY] = 5,    [DYNO_SLOT_WARMING] = 4,  [DYNO_SLOT_LOADING] = 3,
        [DYNO_SLOT_DRAINING] = 2, [DYNO_SLOT_UNLOADED] = 1, [DYNO_SLOT_FAILED] = 0,
    };
    return ranks[state];
}

/* Why slots are in their states: once what several say alike, else by variant. */
static void put_reasons(struct dyno_strbuf *out, const struct dyno_slot *first)
{
    const char *common = first->reason;
    bool is_one = true;
    if (first->shelf->reason != NULL)
        dyno_strbuf_printf(out, "%s%s", first->shelf->reason, common != NULL ? "; " : "");
    for (const struct dyno_slot *at = first; at != NULL && at->number == first->number;
         at = at->next)
        is_one = is_one && (common == NULL ? at->reason == NULL
                                           : at->reason != NULL && strcmp(common, at->reason) == 0);
    if (is_one) {
        dyno_strbuf_puts(out, common != NULL ? common : "");
        return;
    }
    for (const struct dyno_slot *at = first; at != NULL && at->number == first->number;
         at = at->next)
        if (at->reason != NULL)
            dyno_strbuf_printf(out, "%svariant '%s': %s", out->bytes > 0 ? "; " : "", at->name,
                               at->reason);
}

static enum dyno_status add_row(const char *model, const char *version, const char *state,
                                const char *reason, struct dyno_arena *arena,
                                struct dyno_index_row ***link, struct dyno_err *err)
{
    struct dyno_index_row *row = dyno_arena_alloc(arena, 1, sizeof(*row));
    if (row == NULL)
        return DYNO_NOMEM(err);
    row->model = dyno_arena_strdup(arena, model);
    row->version = version != NULL ? dyno_arena_strdup(arena, version) : NULL;
    row->state = state;
    row->reason = dyno_arena_strdup(arena, reason);
    if (row->model == NULL || row->reason == NULL || (version != NULL && row->version == NULL))
        return DYNO_NOMEM(err);
    **link = row;
    *link = &row->next;
    return DYNO_OK;
}

static enum dyno_status add_versions(const struct dyno_shelf *shelf, struct dyno_arena *arena,
                                     struct dyno_index_row ***link, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    const struct dyno_slot *first = shelf->slots;
    while (first != NULL && status == DYNO_OK) {
        const struct dyno_slot *at = first;
        enum dyno_slot_state best = first->state;
        struct dyno_strbuf reasons = {0};
        for (; at != NULL && at->number == first->number; at = at->next)
            best = rank_of(at->state) > rank_of(best) ? at->state : best;
        put_reasons(&reasons, first);
        status = dyno_strbuf_ok(&reasons) ? add_row(shelf->name, first->version, index_words(best),
                                                    dyno_strbuf_text(&reasons), arena, link, err)
                                          : DYNO_NOMEM(err);
        dyno_strbuf_fini(&reasons);
        first = at;
    }
    return status;
}

static enum dyno_status add_shelf(const struct dyno_shelf *shelf, struct dyno_arena *arena,
                                  struct dyno_index_row ***link, struct dyno_err *err)
{
    if (shelf->slots != NULL)
        return add_versions(shelf, arena, link, err);
    return add_row(shelf->name, NULL, index_words(DYNO_SLOT_FAILED),
                   shelf->reason != NULL ? shelf->reason : "", arena, link, err);
}

/* Models before this one (NULL: all that are left) of which only the folder is known. */
static enum dyno_status add_unknown(const struct dyno_repo_model **models,
                                    const struct dyno_shelf *before, struct dyno_arena *arena,
                                    struct dyno_index_row ***link, struct dyno_err *err)
{
    for (; *models != NULL; *models = (*models)->next) {
        const int order = before != NULL ? strcmp((*models)->name, before->name) : -1;
        if (order > 0)
            break;
        if (order < 0)
            DYNO_TRY(add_row((*models)->name, NULL, "", "", arena, link, err));
    }
    return DYNO_OK;
}

enum dyno_status dyno_catalog_index(struct dyno_catalog *catalog,
                                    const struct dyno_repo_model *models, struct dyno_arena *arena,
                                    struct dyno_index_row **rows_out, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    *rows_out = NULL;
    (void)pthread_mutex_lock(&catalog->lock);
    for (size_t i = 0; i < catalog->count && status == DYNO_OK; i++) {
        const struct dyno_shelf *shelf = catalog->shelves[i];
        status = add_unknown(&models, shelf, arena, &rows_out, err);
        if (status == DYNO_OK)
            status = add_shelf(shelf, arena, &rows_out, err);
    }
    if (status == DYNO_OK)
        status = add_unknown(&models, NULL, arena, &rows_out, err);
    (void)pthread_mutex_unlock(&catalog->lock);
    return status;
}

/* --- what is being made --- */

enum dyno_status dyno_catalog_announce(struct dyno_catalog *catalog, const char *model,
                                       uint64_t version, const char *variant,
                                       enum dyno_slot_state state, const char *reason,
                                       struct dyno_err *err)
{
    DYNO_ASSERT(state == DYNO_SLOT_LOADING || state == DYNO_SLOT_FAILED);
    (void)pthread_mutex_lock(&catalog->lock);
    struct dyno_shelf *shelf = dyno_catalog_take_shelf(catalog, model);
    struct dyno_slot *slot = shelf != NULL ? dyno_shelf_take_slot(shelf, version, variant) : NULL;
    if (slot != NULL && slot->variant == NULL)
        dyno_slot_set(slot, state, reason);
    (void)pthread_mutex_unlock(&catalog->lock);
    return slot != NULL ? DYNO_OK : DYNO_NOMEM(err);
}
