/* catalog.c - models in a sorted array, their slots in lists. */
#include "serve/model/catalog.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"

void dyno_catalog_init(struct dyno_catalog *catalog)
{
    *catalog = (struct dyno_catalog){0};
    (void)pthread_mutex_init(&catalog->lock, NULL);
}

/* --- models and slots --- */

static char *copy_text(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = dyno_alloc_raw(bytes, 1);
    if (copy != NULL)
        memcpy(copy, text, bytes);
    return copy;
}

static void free_slot(struct dyno_slot *slot)
{
    DYNO_ASSERT(slot->variant == NULL && slot->drain_count == 0);
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
    char *copy = text != NULL ? copy_text(text) : NULL;
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

/* The slots of one version, "" being the newest that has a ready one; else the newest. */
struct version {
    struct dyno_slot *first;
    size_t count;
    bool has_ready;
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
        own.has_ready = own.has_ready || at->variant != NULL;
        if (best.first == NULL || best.first == own.first || (own.has_ready && !best.has_ready))
            best = own;
    }
    return best;
}

enum dyno_status dyno_catalog_choose(struct dyno_catalog *catalog, const char *model,
                                     const char *version, dyno_choose_fn *choose, void *arg,
                                     struct dyno_variant **variant_out, struct dyno_err *err)
{
    struct dyno_known known[DYNO_REPO_VARIANTS_MAX];
    struct dyno_slot *slots[DYNO_REPO_VARIANTS_MAX];
    size_t count = 0;
    int wanted = -1;
    int chosen = -1;
    enum dyno_status status = DYNO_OK;
    *variant_out = NULL;
    (void)pthread_mutex_lock(&catalog->lock);
    const struct version found = pick_version(catalog, model, version);
    for (struct dyno_slot *at = found.first;
         at != NULL && found.has_ready && at->number == found.first->number &&
         count < DYNO_REPO_VARIANTS_MAX;
         at = at->next)
        if (!at->is_gone) {
            slots[count] = at;
            known[count++] = (struct dyno_known){
                .name = at->name, .accuracy = at->accuracy, .variant = at->variant};
        }
    if (count > 0)
        choose(arg, known, count, &wanted, &chosen);
    if (chosen >= 0) {
        *variant_out = known[chosen].variant;
        slots[chosen]->used_tick = ++catalog->tick;
        dyno_variant_ref(*variant_out);
    } else {
        status = not_ready(catalog, model, version, found.first, err);
    }
    (void)pthread_mutex_unlock(&catalog->lock);
    return status;
}

static void choose_first(void *arg, const struct dyno_known *known, size_t count, int *wanted_out,
                         int *chosen_out)
{
    (void)arg;
    *wanted_out = 0;
    for (size_t i = 0; i < count && *chosen_out < 0; i++)
        if (known[i].variant != NULL)
            *chosen_out = (int)i;
}

enum dyno_status dyno_catalog_find(struct dyno_catalog *catalog, const char *model,
                                   const char *version, struct dyno_variant **variant_out,
                                   struct dyno_err *err)
{
    return dyno_catalog_choose(catalog, model, version, choose_first, NULL, variant_out, err);
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
