/* quota.h - budgets at the door: reserved before a request runs, posted with its record.
 *
 * Counters are made by the gate, which knows the tenants (dyno_quota_counters); admission goes
 * through them and touches no disk and no lock that tenants share.  A thread of the quota's own
 * leases slices of the budgets and tells the store what was used (control/lease.h): nobody waits
 * for it.  When the store cannot be reached, what was leased can still be spent.
 *
 * The ledger has the last word.  A server that starts reads of it what its store does not have yet;
 * so a budget has been used by exactly what a statement over the same requests says, whatever was
 * killed when.
 */
#ifndef DYNO_QUOTA_QUOTA_H
#define DYNO_QUOTA_QUOTA_H

#include "base/strbuf.h"
#include "meter/account/record.h"
#include "rate/charge.h"

#define DYNO_SPEND_BUDGETS_MAX \
    24 /* of one request: 2 scopes of models, of classes; 2 units; 3 periods */

struct dyno_budget_slot;
struct dyno_counter; /* one budget of one tenant: counter.h */
struct dyno_quota;
struct dyno_tenant;
struct dyno_tenant_budget;

struct dyno_quota_options {
    const char *control_db;   /* the budgets, and the store of shares; NULL: there are none */
    const char *budget_db;    /* PostgreSQL: the store of a fleet's shares; NULL: control_db */
    const char *tariffs;      /* a book; NULL: budgets of money cannot be kept */
    const char *ledger;       /* NULL: no budget can be kept */
    const char *certificates; /* folder; may be NULL */
    const char *factors;      /* the table of devices; NULL: all are the reference device */
    uint32_t node;
};

/* Reads the book of tariffs, opens the store.  Errors of both. */
enum dyno_status dyno_quota_create(const struct dyno_quota_options *options,
                                   struct dyno_quota **quota_out, struct dyno_err *err);

/* The ledger is open, and nothing of `epoch` is in it: settle what it has of epochs before, lease,
 * start the thread. */
enum dyno_status dyno_quota_start(struct dyno_quota *quota, uint32_t epoch, struct dyno_err *err);
/* The same for a node that does not come back: its ledger is settled, and its slices are free. */
enum dyno_status dyno_quota_reconcile(struct dyno_quota *quota, uint32_t epoch,
                                      struct dyno_err *err);
/* End the thread.  Records may still come. */
void dyno_quota_stop(struct dyno_quota *quota);
/* No record comes any more: tell the store the last of it, give all slices back.  Accepts NULL. */
void dyno_quota_destroy(struct dyno_quota *quota);

/* --- the book --- */

/* Read the book when its file is not the one that was read last; is_new_out: another one is in
 * force from now on.  A bad one is told of once, and the one before stays: errors of
 * dyno_tariff_book_parse with the path, E_NOT_FOUND, E_IO, E_ARG: another currency than budgets
 * have. */
enum dyno_status dyno_quota_read_book(struct dyno_quota *quota, bool *is_new_out,
                                      struct dyno_err *err);
/* Another one for each book of this process; 0: there is none. */
uint64_t dyno_quota_book_id(const struct dyno_quota *quota);
/* The version of a tenant's tariff by the book in force, and before which time it has no other;
 * NULL: none.  The texts stay as long as the quota. */
const struct dyno_tariff *dyno_quota_tariff(const struct dyno_quota *quota, const char *tenant,
                                            int64_t start_s, int64_t *until_s_out);

/* --- the gate's --- */

/* Can these budgets be kept here?  E_ARG says why one cannot. */
enum dyno_status dyno_quota_check(const struct dyno_quota *quota,
                                  const struct dyno_tenant_budget *budgets, size_t count,
                                  struct dyno_err *err);
/* The counters of a tenant, into counters_out[2 * DYNO_TENANT_BUDGETS_MAX]: new ones, and those
 * that there are with the amounts of now.  `budgets` as dyno_control_read_budgets gives all. */
enum dyno_status dyno_quota_counters(struct dyno_quota *quota, const struct dyno_tenant *tenant,
                                     const struct dyno_tenant_budget *budgets, size_t budget_count,
                                     struct dyno_counter **counters_out, size_t *count_out,
                                     struct dyno_err *err);
/* There are new counters: they want their slices. */
void dyno_quota_wake(struct dyno_quota *quota);

/* --- requests; any thread --- */

/* What a request will take, as well as that is known before it runs. */
struct dyno_spend {
    const char *model, *class_name;
    int class_idx;
    const void *subject; /* stands for precision and speed-up: another one, others */
    const char *precision;
    int64_t speed_up_ppm;
    const char *device_class; /* that the record will be of; "": the reference device */
    uint64_t reference_ns, core_ns;
    bool is_device;    /* core_ns are those of a whole device, not of cores */
    uint64_t start_ns; /* when it came, since 1970 */
};

/* What was taken of which budgets.  Its owner releases or posts it, once. */
struct dyno_reservation {
    struct dyno_quota *quota; /* NULL: nothing was taken */
    uint32_t count, money_mask;
    int64_t work, money; /* of each slot of its kind */
    uint64_t factor_1e9; /* of the device; reference-ns are divided by it */
    bool is_posted;
    struct dyno_rate rate, cold;
    dyno_u128 posted_work, posted_money; /* 2^-32 */
    struct dyno_budget_slot *slots[DYNO_SPEND_BUDGETS_MAX];
};

/* The owner changes.  Most are of nothing, and as little is moved. */
static inline void dyno_reservation_move(struct dyno_reservation *to, struct dyno_reservation *from)
{
    to->quota = NULL;
    to->count = 0;
    if (from->count == 0)
        return;
    *to = *from;
    from->quota = NULL;
    from->count = 0;
}

/* Why not, for machines; texts are fields of HTTP (draft-ietf-httpapi-ratelimit-headers). */
struct dyno_quota_refusal {
    uint32_t retry_s;
    char policy[160], limit[96];
};

/* Take from every budget that applies, or from none (E_QUOTA with the sentence; E_BUSY: it cannot
 * be priced here). */
enum dyno_status dyno_quota_reserve(struct dyno_counter *const *counters, size_t count,
                                    const struct dyno_spend *spend,
                                    struct dyno_reservation *reservation,
                                    struct dyno_quota_refusal *refusal, struct dyno_err *err);
/* Is anything left of every budget that applies?  Of `spend` model, class and start count: before
 * an engine is loaded for who may use none.  E_QUOTA. */
enum dyno_status dyno_quota_has_left(struct dyno_counter *const *counters, size_t count,
                                     const struct dyno_spend *spend,
                                     struct dyno_quota_refusal *refusal, struct dyno_err *err);
void dyno_quota_release(struct dyno_reservation *reservation); /* accepts one of nothing */
/* What is posted with the record of an engine's load that the request of `of` waited for: nothing
 * was taken for it, for nobody knows before how long it takes. */
struct dyno_reservation dyno_quota_cold_start(const struct dyno_reservation *of);

/* --- records; the thread that makes them durable --- */

/* A group of records is durable: what is said of them lies between these two.  All up to last_seq
 * are said then; answers up to settled_seq have left, or their voids are said. */
void dyno_quota_group_begins(struct dyno_quota *quota);
void dyno_quota_group_ends(struct dyno_quota *quota, uint64_t last_seq, uint64_t settled_seq);
/* A record, of a request or of a cold start, is what came of this reservation (which may be of
 * nothing). */
void dyno_quota_post(const struct dyno_record *record, struct dyno_reservation *reservation);
/* The record of this reservation, which was posted, was voided. */
void dyno_quota_void(struct dyno_reservation *reservation);

/* --- metrics --- */

void dyno_quota_print(struct dyno_quota *quota, struct dyno_strbuf *out); /* accepts NULL */

#endif /* DYNO_QUOTA_QUOTA_H */
