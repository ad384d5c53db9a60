/* compare.h - the same usage under several tariffs, side by side: who pays what, what the platform
 * earns, and the device-hours that optimising freed.  Pure; any thread. */
#ifndef DYNO_RATE_COMPARE_H
#define DYNO_RATE_COMPARE_H

#include "base/strbuf.h"
#include "rate/rate.h"

#define DYNO_SCENARIOS_MAX 16

struct dyno_scenario {
    const char *name;
    /* All of one usage, one period and one currency; it has accounts. */
    const struct dyno_statement *statement;
};

/* A tenant's accounts in all of them; NULL where it has none.  Zeroed: before the first. */
struct dyno_compare_row {
    const char *tenant;
    const struct dyno_account *accounts[DYNO_SCENARIOS_MAX];
    size_t at[DYNO_SCENARIOS_MAX]; /* the next account of each */
};
/* The next tenant, by name; false: there is none. */
bool dyno_compare_next(const struct dyno_scenario *scenarios, size_t count,
                       struct dyno_compare_row *row);

/* Whoever pays under any of them stands as a row; the last rows are the platform's. */
void dyno_compare_text(const struct dyno_scenario *scenarios, size_t count,
                       struct dyno_strbuf *out);
void dyno_compare_json(const struct dyno_scenario *scenarios, size_t count,
                       struct dyno_strbuf *out);
/* Bars: for each scenario what each tenant pays, and beside it what is left to the platform. */
void dyno_compare_svg(const struct dyno_scenario *scenarios, size_t count, struct dyno_strbuf *out);

#endif /* DYNO_RATE_COMPARE_H */
