/* advise_gather.c - device time out of a ledger, by what is alike, with its price; and memory. */
#include <string.h>

#include "base/mem.h"
#include "cli/advise_judge.h"

#define CELLS_MAX ((size_t)1 << 24)

/* --- prices --- */

/* The first of the book, by name, that says one; -1: none does. */
static int64_t first_price(const struct dyno_tariff_book *book)
{
    for (size_t i = 0; i < book->tariff_count; i++)
        if (book->tariffs[i].device_hour >= 0)
            return book->tariffs[i].device_hour;
    return -1;
}

/* The tariff of the record's tenant at its time; without any it is the first of the book. */
static const struct dyno_tariff *tariff_of(struct dyno_advise *advise,
                                           const struct dyno_usage *usage)
{
    if (advise->tariff == NULL || usage->key.tenant != advise->tenant ||
        usage->start_s < advise->tariff_from_s || usage->start_s >= advise->tariff_until_s) {
        advise->tenant = usage->key.tenant;
        advise->tariff_from_s = usage->start_s;
        advise->tariff =
            dyno_tariff_until(advise->book, dyno_usage_source_name(advise->source, advise->tenant),
                              usage->start_s, &advise->tariff_until_s);
    }
    return advise->tariff != NULL ? advise->tariff : &advise->book->tariffs[0];
}

static enum dyno_status price_of(struct dyno_advise *advise, const struct dyno_usage *usage,
                                 uint32_t *idx_out, struct dyno_err *err)
{
    const struct dyno_tariff *tariff = tariff_of(advise, usage);
    const struct dyno_advise_price price = {tariff->device_hour >= 0 ? tariff->device_hour
                                                                     : first_price(advise->book),
                                            usage->is_core ? tariff->device_cores : 1};
    size_t i = 0;
    if (price.device_hour < 0)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "no tariff of %s says what a device-hour costs: device_hour is missing",
                         advise->book_path);
    while (i < advise->price_count && (advise->prices[i].device_hour != price.device_hour ||
                                       advise->prices[i].cores != price.cores))
        i++;
    if (i == advise->price_room) {
        const size_t room = i > 0 ? i * 2 : 16;
        struct dyno_advise_price *grown =
            dyno_realloc(advise->prices, i * sizeof(*grown), room, sizeof(*grown));
        if (grown == NULL)
            return DYNO_NOMEM(err);
        advise->prices = grown;
        advise->price_room = room;
    }
    if (i == advise->price_count)
        advise->prices[advise->price_count++] = price;
    *idx_out = (uint32_t)i;
    return DYNO_OK;
}

/* --- cells --- */

static enum dyno_status cell_of(struct dyno_advise *advise, const struct dyno_advise_key *key,
                                struct dyno_advise_cell **cell_out, struct dyno_err *err)
{
    uint64_t idx = 0;
    if (dyno_map_find(&advise->cell_indices, (const char *)key, sizeof(*key), &idx)) {
        *cell_out = advise->cells[idx];
        return DYNO_OK;
    }
    if (advise->cell_count == CELLS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "too many windows, models and prices at once");
    if (advise->cell_count == advise->cell_room) {
        const size_t room = advise->cell_room > 0 ? advise->cell_room * 2 : 64;
        struct dyno_advise_cell **grown =
            dyno_realloc(advise->cells, advise->cell_count * sizeof(struct dyno_advise_cell *),
                         room, sizeof(struct dyno_advise_cell *));
        if (grown == NULL)
            return DYNO_NOMEM(err);
        advise->cells = grown;
        advise->cell_room = room;
    }
    struct dyno_advise_cell *cell = dyno_arena_alloc(advise->arena, 1, sizeof(*cell));
    if (cell == NULL)
        return DYNO_NOMEM(err);
    cell->key = *key;
    if (!dyno_map_put(&advise->cell_indices, (const char *)&cell->key, sizeof(cell->key),
                      advise->cell_count))
        return DYNO_NOMEM(err);
    advise->cells[advise->cell_count++] = cell;
    *cell_out = cell;
    return DYNO_OK;
}

/* A certificate that is cited must be there: what ran by it is not unknown. */
static enum dyno_status check_cited(const struct dyno_advise *advise,
                                    const struct dyno_advise_key *key, struct dyno_err *err)
{
    const char *address = dyno_usage_source_name(advise->source, key->certificate);
    struct dyno_grade grade;
    if (key->certificate == 0 || dyno_advise_certs_find(&advise->certs, address) != NULL)
        return DYNO_OK;
    DYNO_TRY(dyno_grade_load(advise->folder, address, advise->arena, &grade, err)); /* why not */
    return DYNO_FAIL(err, DYNO_E_CORRUPT, "the state of certificate %.64s cannot be read", address);
}

static enum dyno_status take_memory(struct dyno_advise *advise, const struct dyno_usage *usage,
                                    struct dyno_advise_key key, struct dyno_err *err)
{
    struct dyno_advise_cell *cell = NULL;
    key.certificate = key.reference = key.is_core = 0;
    key.is_memory = 1;
    DYNO_TRY(cell_of(advise, &key, &cell, err));
    cell->held_byte_ns += usage->byte_ns;
    if (usage->key.tenant == 0) {
        cell->idle_byte_ns += usage->byte_ns;
        advise->memory.is_idle = true;
    }
    return DYNO_OK;
}

static enum dyno_status take(void *arg, const struct dyno_usage *usage, struct dyno_err *err)
{
    struct dyno_advise *advise = arg;
    struct dyno_advise_cell *cell = NULL;
    struct dyno_advise_key key = {
        .model = usage->key.model,
        .variant = usage->key.variant,
        .device = usage->device,
        .window = (uint32_t)((usage->start_s - advise->first_s) / advise->window_s),
        .certificate = usage->key.certificate,
        .reference = usage->reference,
        .is_core = usage->is_core,
    };
    if (usage->kind == DYNO_USAGE_RESIDENCY)
        return take_memory(advise, usage, key, err);
    if (usage->kind == DYNO_USAGE_COLD_START || usage->device_ns == 0)
        return DYNO_OK;
    DYNO_TRY(price_of(advise, usage, &key.price, err));
    DYNO_TRY(cell_of(advise, &key, &cell, err));
    if (cell->requests == 0)
        DYNO_TRY(check_cited(advise, &key, err));
    cell->requests += usage->requests;
    cell->ns += usage->device_ns;
    if (usage->is_certified && usage->batch_count > 0) {
        cell->certified_ns += usage->device_ns;
        cell->reference_ns += usage->reference_ns;
        cell->items += usage->items;
        cell->runs_1e9 += UINT64_C(1000000000) / usage->batch_count;
    }
    return DYNO_OK;
}

enum dyno_status dyno_advise_gather(struct dyno_advise *advise, struct dyno_err *err)
{
    dyno_advise_memory_price(advise);
    return dyno_usage_source_each(advise->source, take, advise, err);
}

void dyno_advise_fini(struct dyno_advise *advise)
{
    dyno_map_fini(&advise->cell_indices);
    dyno_free(advise->cells);
    dyno_free(advise->prices);
}
