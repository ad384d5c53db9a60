/* tariff_same.c - do two books charge the same for a time that is over? */
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/mem.h"
#include "rate/tariff.h"

static bool same_factors(const struct dyno_factor *a, size_t a_count, const struct dyno_factor *b,
                         size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (dyno_tariff_factor(b, b_count, a[i].name) != a[i].factor ||
            dyno_tariff_factor(a, a_count, b[i].name) != b[i].factor)
            return false;
    return true;
}

static bool same_tiers(const struct dyno_tariff *a, const struct dyno_tariff *b)
{
    if (a->tier_mode != b->tier_mode || a->tier_count != b->tier_count)
        return false;
    for (size_t i = 0; i < a->tier_count; i++)
        if (a->tiers[i].up_to_ns != b->tiers[i].up_to_ns ||
            a->tiers[i].factor != b->tiers[i].factor)
            return false;
    return true;
}

/* All but the times that they are in force. */
static bool same_tariff(const struct dyno_tariff *a, const struct dyno_tariff *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return strcmp(a->name, b->name) == 0 && a->version == b->version &&
           a->currency == b->currency && a->kind == b->kind && a->device_hour == b->device_hour &&
           a->epu_hour == b->epu_hour && a->share_ppm == b->share_ppm &&
           a->speed_up_max_ppm == b->speed_up_max_ppm && a->device_cores == b->device_cores &&
           a->minimum == b->minimum && a->floor_factor == b->floor_factor &&
           a->device_bytes == b->device_bytes && a->charges_cold_start == b->charges_cold_start &&
           same_tiers(a, b) &&
           same_factors(a->classes, a->class_count, b->classes, b->class_count) &&
           same_factors(a->precisions, a->precision_count, b->precisions, b->precision_count);
}

/* Times at which something may change, in both books. */
struct times {
    int64_t *items;
    size_t count;
    int64_t first_s, next_s;
};

static void note(struct times *times, int64_t time_s)
{
    if (time_s > times->first_s && time_s < times->next_s)
        times->items[times->count++] = time_s;
}

static void note_book(struct times *times, const struct dyno_tariff_book *book)
{
    for (size_t i = 0; i < book->tariff_count; i++) {
        note(times, book->tariffs[i].from_s);
        note(times, book->tariffs[i].until_s);
    }
    for (size_t i = 0; i < book->grant_count; i++) {
        note(times, book->grants[i].from_s);
        note(times, book->grants[i].until_s);
    }
}

static int compare(const void *left, const void *right)
{
    const int64_t a = *(const int64_t *)left;
    const int64_t b = *(const int64_t *)right;
    return a < b ? -1 : a > b;
}

static enum dyno_status check_tenant(const struct dyno_tariff_book *before,
                                     const struct dyno_tariff_book *now, const struct times *times,
                                     const char *tenant, struct dyno_err *err)
{
    char when[DYNO_TIME_TEXT_ROOM];
    for (size_t i = 0; i < times->count; i++) {
        const int64_t time_s = times->items[i];
        if (i > 0 && time_s == times->items[i - 1])
            continue;
        if (!same_tariff(dyno_tariff_of(before, tenant, time_s),
                         dyno_tariff_of(now, tenant, time_s)))
            return DYNO_FAIL(err, DYNO_E_MISMATCH,
                             "%.128s had another tariff at %s when that period was closed: a new "
                             "price is a new version, from a later time on",
                             tenant[0] != 0 ? tenant : "everybody else",
                             dyno_time_text(time_s, when));
    }
    return DYNO_OK;
}

enum dyno_status dyno_tariff_book_same(const struct dyno_tariff_book *before,
                                       const struct dyno_tariff_book *now, int64_t first_s,
                                       int64_t next_s, struct dyno_err *err)
{
    const struct dyno_tariff_book *const books[] = {before, now};
    struct times times = {.first_s = first_s, .next_s = next_s};
    size_t room = 1;
    for (size_t i = 0; i < DYNO_COUNT(books); i++)
        room += 2 * (books[i]->tariff_count + books[i]->grant_count);
    times.items = dyno_alloc(room, sizeof(*times.items));
    if (times.items == NULL)
        return DYNO_NOMEM(err);
    times.items[times.count++] = first_s;
    note_book(&times, before);
    note_book(&times, now);
    qsort(times.items, times.count, sizeof(*times.items), compare);
    /* "" is no tenant's name: it has what everybody else has. */
    enum dyno_status status = check_tenant(before, now, &times, "", err);
    for (size_t i = 0; i < DYNO_COUNT(books); i++)
        for (size_t k = 0; k < books[i]->grant_count && status == DYNO_OK; k++)
            if (books[i]->grants[k].tenant != NULL)
                status = check_tenant(before, now, &times, books[i]->grants[k].tenant, err);
    dyno_free(times.items);
    return status;
}
