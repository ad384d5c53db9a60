/* minimum.h - who owes the least amount of a tariff, and of which part of a period.  Pure; any
 * thread. */
#ifndef DYNO_RATE_MINIMUM_H
#define DYNO_RATE_MINIMUM_H

#include "rate/rate.h"

/* How long, of the period, a tenant had each tariff that has a minimum: into held_s, one for each
 * tariff of the book.  granted: only by grants of its own, so that who used nothing, and never
 * comes back, owes nothing by that of everybody else.  False: none of them. */
bool dyno_minimum_held(const struct dyno_rater_options *options, const char *tenant, bool granted,
                       int64_t *held_s);

/* The next tenant, after `grants[*at]` and those before it, that has a grant of its own; *at is
 * moved past all grants of it.  NULL: there is no further one. */
const char *dyno_minimum_next(const struct dyno_tariff_book *book, size_t *at);

#endif /* DYNO_RATE_MINIMUM_H */
