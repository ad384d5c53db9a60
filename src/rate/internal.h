/* internal.h - the rater, shared by what adds (rate.c) and what tells (statement.c). */
#ifndef DYNO_RATE_INTERNAL_H
#define DYNO_RATE_INTERNAL_H

#include "rate/sums.h"

struct dyno_rater_memo {
    uint32_t tenant;
    int64_t time_s;
    const struct dyno_tariff *tariff;
};

/* Whether a claim is of a tariff: neighbours in a ledger mostly ask the same. */
struct dyno_rater_claim {
    uint32_t claimed; /* 0: not asked yet */
    const struct dyno_tariff *tariff;
    bool is_same;
};

struct dyno_rater {
    struct dyno_rater_options options;
    struct dyno_sums sums;
    struct dyno_rater_memo memo;
    struct dyno_rater_claim claim;
};

/* statement.c: is there a price on the units of a line of usage, and what do they cost? */
bool dyno_line_is_charged(const struct dyno_line *line);
struct dyno_ratio dyno_line_charge(const struct dyno_line *line);

/* rate.c: the tariff that usage is rated by. */
enum dyno_status dyno_rater_tariff(struct dyno_rater *rater, const struct dyno_usage *usage,
                                   const struct dyno_tariff **tariff_out, struct dyno_err *err);

#endif /* DYNO_RATE_INTERNAL_H */
