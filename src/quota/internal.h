/* internal.h - the quota itself: shared by quota.c (its life), book.c (its tariffs), lease.c
 * (its thread), reserve.c (requests), settle.c (the ledger). */
#ifndef DYNO_QUOTA_INTERNAL_H
#define DYNO_QUOTA_INTERNAL_H

#include <pthread.h>

#include "base/arena.h"
#include "base/map.h"
#include "meter/cert/factor.h"
#include "quota/counter.h"
#include "quota/quota.h"

#define DYNO_QUOTA_KEPT_DAYS 400

/* A book of tariffs that is in force, or was. */
struct dyno_quota_book {
    struct dyno_quota_book *next; /* the one before */
    struct dyno_arena *arena;     /* of all of it, this included */
    const struct dyno_tariff_book *book;
    uint64_t id; /* of this process's books: no two are the same */
};

struct dyno_quota {
    struct dyno_quota_options options;
    struct dyno_arena *arena;
    _Atomic(struct dyno_quota_book *) book; /* the newest; NULL: none */
    pthread_mutex_t book_lock;              /* of who reads the next one, and of its stamp */
    bool has_stamp;
    uint64_t book_stamp;            /* of its file, before it was last read */
    struct dyno_factors factors;    /* of options.factors */
    struct dyno_lease_store *store; /* NULL: nothing is counted */
    uint32_t epoch;                 /* of the ledger that is written; 0: not started */

    pthread_mutex_t lock; /* of counters and their budgets' fields */
    struct dyno_map by_key;
    struct dyno_counter *counters;        /* the newest first */
    _Atomic(struct dyno_counter *) first; /* the same, for who only walks along */
    size_t counter_count;

    pthread_mutex_t post_lock; /* of what is posted: used and rest of slots, and this */
    uint64_t posted_seq, settled_seq;

    /* The thread's. */
    struct dyno_lease_mark mark; /* that was told */
    uint64_t told_ns, beat_ns;
    int64_t forgotten_day;
    bool complained;
    struct dyno_lease_ask *asks;
    struct dyno_budget_slot **ask_slots;
    struct dyno_counter **ask_counters;
    size_t ask_room;

    pthread_t thread;
    bool has_thread;
    pthread_mutex_t wake_lock;
    pthread_cond_t wake;
    bool is_woken, is_ending;
    atomic_bool is_hurried; /* calls of the store end at once */
};

/* book.c: what is in force now; NULL: none. */
const struct dyno_tariff_book *dyno_quota_book(const struct dyno_quota *quota);
void dyno_quota_free_books(struct dyno_quota *quota);

/* lease.c: one exchange of what is to be told; `is_last`: everything is given back. */
enum dyno_status dyno_quota_exchange(struct dyno_quota *quota, bool is_last, struct dyno_err *err);
void *dyno_quota_keep(void *arg);
/* Each counter has the slots of this moment. */
void dyno_quota_roll(struct dyno_quota *quota, int64_t now_s);

/* settle.c: what the ledger has after the mark goes into the slots. */
enum dyno_status dyno_quota_settle(struct dyno_quota *quota, const struct dyno_lease_mark *mark,
                                   struct dyno_err *err);

/* reserve.c: an amount of a unit as text; what a request comes to, in 2^-32 of the unit. */
const char *dyno_quota_amount_text(const char *unit, dyno_i128 amount, char out[DYNO_MONEY_ROOM]);
dyno_u128 dyno_quota_work(uint64_t reference_ns);
dyno_u128 dyno_quota_money(const struct dyno_rate *rate, uint64_t reference_ns, uint64_t core_ns);
/* ns of cores that a record is of, at this price. */
uint64_t dyno_quota_core_ns(const struct dyno_record *record, const struct dyno_rate *rate);
/* The factor of a device; 0: the table has none.  And reference-ns in those of the reference
 * device, rounded down as an invoice does. */
uint64_t dyno_quota_factor(const struct dyno_quota *quota, const char *device_class);
uint64_t dyno_quota_tied(uint64_t reference_ns, uint64_t factor_1e9);

#endif /* DYNO_QUOTA_INTERNAL_H */
