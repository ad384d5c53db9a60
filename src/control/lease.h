/* lease.h - slices of budgets: what each node has used, and what it may use before it asks again.
 *
 * A share is what one node says of one budget of one tenant in one period: used, reserved for what
 * runs, and granted: as far as used and reserved may go.  The shares of all nodes never have more
 * granted than the budget's amount, so no node can spend what another one might.  A node asks for
 * all its shares in one exchange, on a thread that no request waits for.
 *
 * With its shares a node keeps a mark: how far its ledger is in them.  A node that comes back reads
 * its ledger from there, and what had been granted beyond that is free again.
 *
 * A store is the control database, or a PostgreSQL database that the nodes of a fleet share.  One
 * thread at a time uses one.
 */
#ifndef DYNO_CONTROL_LEASE_H
#define DYNO_CONTROL_LEASE_H

#include <stdatomic.h>

#include "control/budget.h"

#define DYNO_LEASE_ALIVE_S 60 /* a node that was not heard of for so long takes no slices */

/* Which share. */
struct dyno_share_key {
    int64_t budget, tenant; /* ids */
    int64_t first_day;      /* of the period */
};

/* What a node has of a budget, and wants.  Amounts are in the budget's unit; `rest` in 2^-32 of it.
 */
struct dyno_lease_ask {
    struct dyno_share_key key;
    const char *name; /* dyno_lease_name: what a fleet knows it by, whose databases differ in ids */
    int64_t limit;    /* the budget's amount */
    int64_t used;
    uint32_t rest;
    bool is_soft; /* it grants without end */
    bool is_idle; /* nobody asked for it lately: others may have its slice */
    bool is_last; /* the node ends: nothing is wanted */
    int64_t reserved;
    int64_t held;  /* granted before, and taken of at this moment: the share keeps at least that */
    int64_t floor; /* least slice that is of use */
    uint16_t alerts[DYNO_BUDGET_ALERTS_MAX];
    size_t alert_count;
    /* The answer. */
    int64_t granted; /* may be less than is held: who takes no more of the rest says so next time */
    int64_t all_used, all_reserved; /* of all nodes, this one included */
    uint32_t alerted; /* a bit for each of `alerts` that was reached, and not before */
    bool is_gone;     /* there is no such budget or tenant */
};

/* How far a node's ledger is in its shares: the records of an epoch up to `posted_seq`; the answers
 * of those up to `settled_seq` had left, or been voided, before. */
struct dyno_lease_mark {
    uint32_t node, epoch; /* epoch 0: nothing is known of the node */
    uint64_t posted_seq, settled_seq;
    bool is_known; /* this epoch was told before: then it is there, or the number is another's, too
                    */
};

struct dyno_lease_store;

/* A share or several, added up. */
struct dyno_lease_sums {
    int64_t used, reserved, leased; /* leased: granted, and free */
    uint32_t rest;
    int64_t node_count;
};

struct dyno_lease_ops {
    enum dyno_status (*read_mark)(struct dyno_lease_store *store, struct dyno_lease_mark *mark,
                                  struct dyno_err *err);
    enum dyno_status (*exchange)(struct dyno_lease_store *store, const struct dyno_lease_mark *mark,
                                 int64_t now_s, struct dyno_lease_ask *asks, size_t count,
                                 struct dyno_err *err);
    enum dyno_status (*sum)(struct dyno_lease_store *store, const struct dyno_share_key *key,
                            const char *name, int64_t node, struct dyno_lease_sums *sums,
                            struct dyno_err *err);
    enum dyno_status (*forget)(struct dyno_lease_store *store, int64_t before_day,
                               struct dyno_err *err);
    void (*close)(struct dyno_lease_store *store);
};

struct dyno_lease_store {
    const struct dyno_lease_ops *ops; /* first of what a store is */
};

/* The shares in the control database; opens it for itself.  As dyno_control_open. */
enum dyno_status dyno_lease_open_control(const char *path, uint32_t busy_ms,
                                         struct dyno_lease_store **store_out, struct dyno_err *err);
/* Those of a fleet; `conninfo` and `is_ending` (may be NULL) as struct dyno_pg_options has them,
 * and they outlive the store.  A connection that is lost is made again by the next call.  Errors of
 * dyno_pg_open. */
enum dyno_status dyno_lease_open_pg(const char *conninfo, const atomic_bool *is_ending,
                                    struct dyno_lease_store **store_out, struct dyno_err *err);
void dyno_lease_close(struct dyno_lease_store *store); /* accepts NULL */

#define DYNO_LEASE_NAME_ROOM (3 * (DYNO_CONTROL_NAME_BYTES_MAX + 1) + 16)
/* "acme/m/batch/EPU/month"; what is for all is empty. */
const char *dyno_lease_name(const struct dyno_tenant_budget *budget, const char *tenant,
                            char out[DYNO_LEASE_NAME_ROOM]);

/* The mark of mark->node, as it was exchanged last. */
enum dyno_status dyno_lease_read_mark(struct dyno_lease_store *store, struct dyno_lease_mark *mark,
                                      struct dyno_err *err);
/* What is known of a budget, tenant and period: of one node, or of all (node < 0). */
enum dyno_status dyno_lease_sum(struct dyno_lease_store *store, const struct dyno_share_key *key,
                                const char *name, int64_t node, struct dyno_lease_sums *sums_out,
                                struct dyno_err *err);
/* Tell and ask, all or nothing;to do it again, when nobody knows whether it was done, is no harm.
 * E_MISMATCH: another server has the same node number. */
enum dyno_status dyno_lease_exchange(struct dyno_lease_store *store,
                                     const struct dyno_lease_mark *mark, int64_t now_s,
                                     struct dyno_lease_ask *asks, size_t count,
                                     struct dyno_err *err);
/* Forget periods that began before that day, but for those without an end. */
enum dyno_status dyno_lease_forget(struct dyno_lease_store *store, int64_t before_day,
                                   struct dyno_err *err);

/* --- the rule, which stores share --- */

/* What others have of the same budget, tenant and period. */
struct dyno_lease_others {
    int64_t granted, used, reserved;
    int64_t node_count; /* that are alive, and have a share */
};
/* Sets ask->granted and the sums. */
void dyno_lease_grant(struct dyno_lease_ask *ask, const struct dyno_lease_others *others);
/* What the share of an answered ask says is granted. */
int64_t dyno_lease_kept(const struct dyno_lease_ask *ask);

/* The sentence of E_MISMATCH. */
enum dyno_status dyno_lease_refuse_node(uint32_t node, struct dyno_err *err);

/* Is the i-th of its alerts reached? */
bool dyno_lease_is_reached(const struct dyno_lease_ask *ask, size_t i);

/* --- for reports --- */

/* A budget of a tenant in its present period, over all nodes. */
struct dyno_budget_state {
    const struct dyno_tenant_budget *budget;
    int64_t tenant;
    const char *tenant_name;
    struct dyno_term_span span;
    struct dyno_lease_sums sums;
};
/* Of one tenant, or of all (NULL): each of its budgets, and those of every tenant that stand for
 * it. In the arena. */
enum dyno_status dyno_control_read_states(struct dyno_control *control,
                                          struct dyno_lease_store *store, const char *tenant,
                                          int64_t now_s, struct dyno_arena *arena,
                                          struct dyno_budget_state **states_out, size_t *count_out,
                                          struct dyno_err *err);

/* Does a budget of every tenant give way to one of the tenant's own? */
bool dyno_budget_same_scope(const struct dyno_tenant_budget *a, const struct dyno_tenant_budget *b);
/* The budgets that are a tenant's out of a list as dyno_control_read_budgets gives it, into
 * found_out[2 * DYNO_TENANT_BUDGETS_MAX]; how many. */
size_t dyno_budgets_of(const struct dyno_tenant_budget *budgets, size_t count, int64_t tenant,
                       const struct dyno_tenant_budget **found_out);

#endif /* DYNO_CONTROL_LEASE_H */
