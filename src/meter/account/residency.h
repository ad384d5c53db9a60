/* residency.h - bytes held, times how long: an account that never mixes with time of devices.
 *
 * One object a variant.  At the end of a span what it held is shared by the tenants that used it in
 * the span, in proportion to what they used; what nobody used is the platform's.  One thread at a
 * time.
 */
#ifndef DYNO_METER_ACCOUNT_RESIDENCY_H
#define DYNO_METER_ACCOUNT_RESIDENCY_H

#include "meter/account/share.h"

struct dyno_residency {
    uint64_t bytes; /* held now */
    uint64_t now_ns;
    dyno_u128 byte_ns; /* since the last take */
};

void dyno_residency_init(struct dyno_residency *residency, uint64_t bytes, uint64_t now_ns);

/* From now on it holds so many bytes.  A time before the last one counts as that. */
void dyno_residency_set(struct dyno_residency *residency, uint64_t bytes, uint64_t now_ns);

/* What was held since the last take; begins anew.  Divide it with dyno_split, by key the tenant and
 * by size what the tenant used. */
dyno_u128 dyno_residency_take(struct dyno_residency *residency, uint64_t now_ns);

#endif /* DYNO_METER_ACCOUNT_RESIDENCY_H */
