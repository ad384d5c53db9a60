/* sums.h - usage added up by what distinguishes lines: the rater's table. */
#ifndef DYNO_RATE_SUMS_H
#define DYNO_RATE_SUMS_H

#include "rate/rate.h"

#define DYNO_SUMS_MAX ((size_t)1 << 26)

struct dyno_sum {
    struct dyno_usage_key key;
    uint32_t kind;   /* enum dyno_usage_kind */
    uint32_t tariff; /* index in the book */
    uint32_t is_late, is_taken_back;
    uint32_t is_device; /* core_ns are those of whole devices; where nobody multiplied them */
    int32_t hour;       /* since 1970, where the tariff has a residency floor; else 0 */
    uint64_t requests, items, lapsed, suspended, unclaimed;
    dyno_u128 core_ns, reference_ns, byte_ns; /* core_ns: of cores, or of whole devices */
};

/* Open addressing. */
struct dyno_sums {
    struct dyno_sum *slots;
    bool *used;
    size_t capacity, count; /* capacity: 0 or a power of two */
};

void dyno_sums_fini(struct dyno_sums *sums);
/* The sum of this key, made when it is not there.  E_LIMIT, E_NOMEM. */
enum dyno_status dyno_sums_at(struct dyno_sums *sums, const struct dyno_sum *key,
                              struct dyno_sum **sum_out, struct dyno_err *err);

#endif /* DYNO_RATE_SUMS_H */
