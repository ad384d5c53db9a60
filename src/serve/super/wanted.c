/* wanted.c - a table of orders that a dying writer cannot break. */
#include "serve/super/wanted.h"

#include <stdlib.h>
#include <string.h>

enum { UNUSED, LOADED, UNLOADED };

/* The count lies where a worker gone wild can write: no slot past the table is looked at. */
static unsigned used_count(const struct dyno_wanted *wanted)
{
    const unsigned count = atomic_load(&wanted->used_count);
    return count < DYNO_WANTED_MAX ? count : DYNO_WANTED_MAX;
}

static bool is_whole(const struct dyno_wanted_slot *slot)
{
    const unsigned char use = atomic_load(&slot->use);
    return (use == LOADED || use == UNLOADED) && slot->model[0] != 0 &&
           memchr(slot->model, 0, sizeof(slot->model)) != NULL &&
           memchr(slot->variant, 0, sizeof(slot->variant)) != NULL;
}

/* What an order is about, of the table or not. */
struct scope {
    const char *model, *variant;
    unsigned long long version;
};

static struct scope scope_of(const struct dyno_wanted_slot *slot)
{
    return (struct scope){slot->model, slot->variant, slot->version};
}

static bool covers(struct scope whole, struct scope part)
{
    return strcmp(whole.model, part.model) == 0 &&
           (whole.version == 0 || whole.version == part.version) &&
           (whole.variant[0] == 0 || strcmp(whole.variant, part.variant) == 0);
}

/* What the table says that an order has to do with. */
struct survey {
    unsigned free_idx; /* DYNO_WANTED_MAX: none */
    unsigned last_number;
    struct dyno_wanted_slot *same; /* of just this scope */
    bool is_part;                  /* of what is to be loaded */
};

static struct survey look(struct dyno_wanted *wanted, struct scope scope)
{
    const unsigned count = used_count(wanted);
    struct survey survey = {.free_idx = count};
    for (unsigned i = 0; i < count; i++) {
        struct dyno_wanted_slot *slot = &wanted->slots[i];
        if (!is_whole(slot)) {
            survey.free_idx = survey.free_idx < i ? survey.free_idx : i;
            continue;
        }
        const bool is_around = covers(scope_of(slot), scope);
        survey.last_number = slot->number > survey.last_number ? slot->number : survey.last_number;
        if (is_around && covers(scope, scope_of(slot)))
            survey.same = slot;
        else if (is_around && atomic_load(&slot->use) == LOADED)
            survey.is_part = true;
    }
    return survey;
}

static bool write_slot(struct dyno_wanted *wanted, const struct survey *survey, struct scope scope,
                       unsigned char use)
{
    if (survey->free_idx == DYNO_WANTED_MAX)
        return false;
    struct dyno_wanted_slot *slot = &wanted->slots[survey->free_idx];
    if (survey->free_idx == used_count(wanted))
        atomic_store(&wanted->used_count, survey->free_idx + 1);
    atomic_store(&slot->use, UNUSED);
    memcpy(slot->model, scope.model, strlen(scope.model) + 1);
    memcpy(slot->variant, scope.variant, strlen(scope.variant) + 1);
    slot->version = scope.version;
    slot->number = survey->last_number + 1;
    atomic_store(&slot->use, use);
    return true;
}

bool dyno_wanted_set(struct dyno_wanted *wanted, const struct dyno_wanted_order *order)
{
    const struct scope scope = {order->model, order->variant, order->version};
    if (strlen(order->model) > DYNO_WANTED_NAME_BYTES_MAX ||
        strlen(order->variant) > DYNO_WANTED_NAME_BYTES_MAX)
        return false;
    const struct survey survey = look(wanted, scope);
    const unsigned char use = order->is_load ? LOADED : survey.is_part ? UNLOADED : UNUSED;
    if (survey.same != NULL)
        atomic_store(&survey.same->use, use);
    else if (use != UNUSED && !write_slot(wanted, &survey, scope, use))
        return false;
    for (unsigned i = 0; i < used_count(wanted); i++) { /* its parts are told by it now */
        struct dyno_wanted_slot *slot = &wanted->slots[i];
        if (is_whole(slot) && covers(scope, scope_of(slot)) && !covers(scope_of(slot), scope))
            atomic_store(&slot->use, UNUSED);
    }
    return true;
}

static int by_number(const void *a, const void *b)
{
    const struct dyno_wanted_slot *const *one = a;
    const struct dyno_wanted_slot *const *other = b;
    return (*one)->number < (*other)->number ? -1 : (*one)->number > (*other)->number;
}

enum dyno_status dyno_wanted_list(const struct dyno_wanted *wanted, struct dyno_arena *arena,
                                  struct dyno_wanted_order **orders_out, size_t *count_out,
                                  struct dyno_err *err)
{
    const unsigned used = used_count(wanted);
    const struct dyno_wanted_slot **slots =
        dyno_arena_alloc(arena, (size_t)used + 1, sizeof(struct dyno_wanted_slot *));
    struct dyno_wanted_order *orders = dyno_arena_alloc(arena, (size_t)used + 1, sizeof(*orders));
    size_t count = 0;
    *orders_out = orders;
    *count_out = 0;
    if (slots == NULL || orders == NULL)
        return DYNO_NOMEM(err);
    for (unsigned i = 0; i < used; i++)
        if (is_whole(&wanted->slots[i]))
            slots[count++] = &wanted->slots[i];
    qsort(slots, count, sizeof(struct dyno_wanted_slot *), by_number);
    for (size_t i = 0; i < count; i++) {
        orders[i] = (struct dyno_wanted_order){
            .model = dyno_arena_strdup(arena, slots[i]->model),
            .variant = dyno_arena_strdup(arena, slots[i]->variant),
            .version = slots[i]->version,
            .is_load = atomic_load(&slots[i]->use) == LOADED,
        };
        if (orders[i].model == NULL || orders[i].variant == NULL)
            return DYNO_NOMEM(err);
    }
    *count_out = count;
    return DYNO_OK;
}
