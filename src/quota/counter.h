/* counter.h - one budget of one tenant, counted in memory.
 *
 * Whoever admits takes an amount before a request runs (dyno_slot_take), without a lock; the
 * thread that makes records durable posts what it was in the end; what does not come to that is
 * given back.  `taken` is what is posted and what is taken; it stays within `granted`, which one
 * thread raises and lowers as it leases slices (control/lease.h).
 *
 * A counter has a slot a period: this one, the one before, and the next, which is made ready before
 * it begins.  Counters live as long as the quota that they are of.
 */
#ifndef DYNO_QUOTA_COUNTER_H
#define DYNO_QUOTA_COUNTER_H

#include <stdatomic.h>

#include "base/wide.h"
#include "control/lease.h"

#define DYNO_SLOTS      4
#define DYNO_SLOT_NONE  INT64_MIN
#define DYNO_GRANT_SOFT INT64_C(8000000000000000000)
#define DYNO_SPEND_MAX  (INT64_C(1) << 59) /* of one request */
#define DYNO_SPEND_BITS 32                 /* of an amount after its point */

struct dyno_budget_slot {
    atomic_int_fast64_t number; /* of its period; DYNO_SLOT_NONE: it is not in use */
    int64_t first_day;
    atomic_int_fast64_t taken, granted;
    atomic_int_fast64_t low;    /* of what is free: then another slice is wanted */
    atomic_int_fast64_t used;   /* changed under the quota's lock of posts */
    uint32_t rest;              /* of used, 2^-32; under that lock */
    atomic_int_fast64_t others; /* used and reserved by other nodes, as was known last */
    /* The leasing thread's: what the store was told. */
    bool is_loaded; /* what the store has of it is in it */
    bool is_told;   /* the store was told of it */
    int64_t told_used, told_reserved, told_granted;
    uint32_t told_rest;
    uint64_t empty_ns; /* when it was told that there is nothing more; 0: it was not */
};

struct dyno_quota;

struct dyno_counter {
    struct dyno_counter *next, *next_of_tenant;
    struct dyno_quota *quota;
    struct {
        int64_t budget, tenant, created_s;
    } key; /* of the quota's map */
    char tenant_name[DYNO_CONTROL_NAME_BYTES_MAX + 1];
    char model[DYNO_CONTROL_NAME_BYTES_MAX + 1], class_name[DYNO_CONTROL_NAME_BYTES_MAX + 1];
    char name[DYNO_LEASE_NAME_ROOM]; /* to the store of a fleet */
    char unit[4];
    enum dyno_term term;
    bool is_work; /* EPU; else money */
    atomic_int_fast64_t limit;
    atomic_bool is_hard;
    atomic_bool wants;                /* a slice */
    atomic_bool was_asked;            /* since the last look */
    atomic_bool has_changed;          /* its amount, or whether it is hard */
    atomic_int_fast64_t largest;      /* amount that was asked for */
    atomic_uint_fast32_t alert_count; /* that were told */
    /* The leasing thread's, and under the quota's lock. */
    uint16_t alerts[DYNO_BUDGET_ALERTS_MAX];
    size_t alert_idx_count;
    uint64_t asked_ns; /* when it was asked last, about */
    bool is_gone;
    struct dyno_budget_slot slots[DYNO_SLOTS];
};

void dyno_slot_begin(struct dyno_budget_slot *slot, int64_t number, int64_t first_day,
                     bool is_hard);

/* The slot of that period; NULL: it is not in use. */
struct dyno_budget_slot *dyno_counter_slot(struct dyno_counter *counter, int64_t number);

/* Take `amount`, or nothing (false): it stays within what is granted.  Any thread. */
bool dyno_slot_take(struct dyno_budget_slot *slot, int64_t amount);
void dyno_slot_give(struct dyno_budget_slot *slot, int64_t amount);

/* What was taken has become this, 2^-32; negative takes back what was posted.  One thread at a
 * time. */
void dyno_slot_post(struct dyno_budget_slot *slot, int64_t taken, dyno_i128 amount);

/* Grant less: nobody takes more than that any more when this returns, and what is taken is
 * returned. */
int64_t dyno_slot_lower(struct dyno_budget_slot *slot, int64_t granted);

#endif /* DYNO_QUOTA_COUNTER_H */
