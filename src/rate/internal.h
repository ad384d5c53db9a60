/* internal.h - the rater, shared by what adds (rate.c) and what tells (statement.c). */
#ifndef DYNO_RATE_INTERNAL_H
#define DYNO_RATE_INTERNAL_H

#include "rate/sums.h"

#define DYNO_NS_AN_HOUR UINT64_C(3600000000000)

struct dyno_rater_memo {
    uint32_t tenant;
    int64_t time_s;
    const struct dyno_tariff *tariff;
};

struct dyno_rater {
    struct dyno_rater_options options;
    struct dyno_sums sums;
    struct dyno_rater_memo memo;
};

#endif /* DYNO_RATE_INTERNAL_H */
