/* allowance.h - what one tenant uses: a bucket of tokens, requests in flight, the use of day and
 * month.
 *
 * Lives as long as anything of the tenant does; its limits come from outside with each call, so
 * that they may change.  A short lock of its own.  Any thread.
 */
#ifndef DYNO_SERVE_GATE_ALLOWANCE_H
#define DYNO_SERVE_GATE_ALLOWANCE_H

#include "control/control.h"

#define DYNO_ALLOWANCE_ROWS 2 /* days whose use is not written */

/* 0: no limit. */
struct dyno_limits {
    double rate_per_s, burst;
    uint32_t concurrent_max;
    enum dyno_period period;
    uint64_t quota_requests, quota_device_ns;
};

struct dyno_moment {
    int64_t now_s;   /* since 1970: days and months */
    uint64_t now_ns; /* monotonic: tokens */
};

struct dyno_allowance;

struct dyno_allowance *dyno_allowance_create(void); /* NULL: out of memory */
struct dyno_allowance *dyno_allowance_ref(struct dyno_allowance *allowance);
void dyno_allowance_unref(struct dyno_allowance *allowance);

/* One request begins: taken from everything, or from nothing (E_QUOTA, which names the tenant). */
enum dyno_status dyno_allowance_begin(struct dyno_allowance *allowance,
                                      const struct dyno_limits *limits, const char *name,
                                      struct dyno_moment now, uint32_t *retry_s_out,
                                      struct dyno_err *err);
void dyno_allowance_end(struct dyno_allowance *allowance, uint64_t device_ns, int64_t now_s);

/* What the database holds for `day` and its month so far: what is not written comes on top. */
void dyno_allowance_load(struct dyno_allowance *allowance, int64_t day,
                         const struct dyno_use *day_use, const struct dyno_use *month_use);
/* What was counted and is not written, a row a day; returns how many rows. */
size_t dyno_allowance_unwritten(struct dyno_allowance *allowance, int64_t tenant,
                                struct dyno_use_row rows_out[DYNO_ALLOWANCE_ROWS]);
/* A row of these is written. */
void dyno_allowance_written(struct dyno_allowance *allowance, const struct dyno_use_row *row);

#endif /* DYNO_SERVE_GATE_ALLOWANCE_H */
