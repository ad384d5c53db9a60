/* minimum.c - who owes the least amount of a tariff, used or not. */
#include "rate/minimum.h"

#include <string.h>

static bool has_minimum(const struct dyno_tariff_book *book)
{
    for (size_t i = 0; i < book->tariff_count; i++)
        if (book->tariffs[i].minimum > 0)
            return true;
    return false;
}

bool dyno_minimum_held(const struct dyno_rater_options *options, const char *tenant, bool granted,
                       int64_t *held_s)
{
    const struct dyno_tariff_book *book = options->book;
    bool found = false;
    memset(held_s, 0, book->tariff_count * sizeof(*held_s));
    if (!has_minimum(book))
        return false;
    for (int64_t at_s = options->first_s, end_s = 0; at_s < options->next_s; at_s = end_s) {
        const struct dyno_tariff *tariff = dyno_tariff_until(book, tenant, at_s, &end_s);
        if (options->tariff != NULL)
            tariff = dyno_tariff_at(book, options->tariff, at_s);
        end_s = end_s < options->next_s ? end_s : options->next_s;
        if (tariff == NULL || tariff->minimum == 0 ||
            (granted && !dyno_tariff_is_granted(book, tenant, at_s)))
            continue;
        held_s[tariff - book->tariffs] += end_s - at_s;
        found = true;
    }
    return found;
}

const char *dyno_minimum_next(const struct dyno_tariff_book *book, size_t *at)
{
    const char *tenant = *at < book->grant_count ? book->grants[*at].tenant : NULL;
    while (tenant != NULL && *at < book->grant_count && book->grants[*at].tenant != NULL &&
           strcmp(book->grants[*at].tenant, tenant) == 0)
        (*at)++;
    return tenant;
}
