/* timeline.h - the time of one device, charged to what ran on it.
 *
 * A device has a capacity: 1 for a GPU, its cores for a CPU.  A run demands some of it (1, or its
 * threads).  While the demands fit, each run is charged its demand times the time; while they do
 * not, the capacity is divided in proportion: m contexts that overlap on a GPU are charged 1/m
 * each.  So the charges add up to the busy time, to the nanosecond, and
 *
 *     tenants + platform + running + idle = wall x capacity
 *
 * where each term is summed on its own, and dyno_timeline_check compares.  Times are those of one
 * clock of the device and should not decrease; one that does counts as the one before
 * (`late_ns` says by how much in all).  One thread at a time.
 */
#ifndef DYNO_METER_ACCOUNT_TIMELINE_H
#define DYNO_METER_ACCOUNT_TIMELINE_H

#include "base/err.h"
#include "base/wide.h"

#define DYNO_CAPACITY_MAX 65536U

struct dyno_timeline {
    uint32_t capacity;
    uint64_t demand; /* of all that run */
    uint64_t run_count;
    uint64_t start_ns, now_ns;
    uint64_t late_ns;
    dyno_u128 per_demand; /* what a run of demand 1 would have been charged since the start; in
                             units of 2^-32 ns, as the next two are */
    dyno_u128 running;    /* charged to what runs, not told yet */
    uint64_t carry;       /* fractions that nobody was charged yet */
    dyno_u128 tenants_ns, platform_ns, idle_ns;
};

struct dyno_timeline_run {
    dyno_u128 begin; /* per_demand then */
    uint32_t demand;
    bool is_platform;
};

struct dyno_timeline_sums {
    dyno_u128 wall_ns; /* times the capacity */
    dyno_u128 tenants_ns, platform_ns, idle_ns;
    dyno_u128 running_ns; /* of what runs; a part of a nanosecond counts as one that is missing */
};

/* 1 <= capacity <= DYNO_CAPACITY_MAX. */
void dyno_timeline_init(struct dyno_timeline *timeline, uint32_t capacity, uint64_t now_ns);

/* 1 <= demand <= DYNO_CAPACITY_MAX; `run` is written, and stays the caller's. */
void dyno_timeline_begin(struct dyno_timeline *timeline, uint64_t now_ns, uint32_t demand,
                         bool is_platform, struct dyno_timeline_run *run);

/* The run is over: its nanoseconds, which the account of its kind gets. */
uint64_t dyno_timeline_end(struct dyno_timeline *timeline, uint64_t now_ns,
                           const struct dyno_timeline_run *run);

/* The sums until now. */
void dyno_timeline_read(struct dyno_timeline *timeline, uint64_t now_ns,
                        struct dyno_timeline_sums *sums_out);

/* E_MISMATCH, with the figures, when the identity does not hold (a nanosecond of what runs may be
 * on its way). */
enum dyno_status dyno_timeline_check(const struct dyno_timeline_sums *sums, struct dyno_err *err);

#endif /* DYNO_METER_ACCOUNT_TIMELINE_H */
