/* fair.h - who is next: weighted fair queueing between classes, and between tenants inside one.
 *
 * A flow is what one tenant asks for in one class. Each flow, and each class, has a virtual time:
 * the device time it was given, by its weight. Who has the least is next, so whoever waits is given
 * his share of the device and nobody starves; who comes back after a pause begins where the others
 * are. (Start-time fair queueing: Goyal, Vin, Cheng, SIGCOMM 1996, on predicted device time, mended
 * when the run's own time is known.)
 *
 * Inside a flow tasks wait in lines, one a variant, ordered by deadline; one without a deadline
 * stands as if it had DYNO_PATIENCE_NS.
 *
 * Under the scheduler's lock, all of it.
 */
#ifndef DYNO_SERVE_SCHED_FAIR_H
#define DYNO_SERVE_SCHED_FAIR_H

#include "serve/sched/class.h"
#include "serve/sched/sched.h"

#define DYNO_PATIENCE_NS UINT64_C(10000000000)

struct dyno_flow;

/* The tasks of one flow for one variant. */
struct dyno_line {
    struct dyno_flow *flow;
    struct dyno_variant *variant;
    struct dyno_line *next, *prev;           /* of the flow */
    struct dyno_line *next_here, *prev_here; /* of the variant */
    struct dyno_task *first, *last;          /* linked by next and prev */
    uint64_t passed_round;                   /* passed over in this round of choosing */
};

struct dyno_flow {
    struct dyno_flow *next;
    uint64_t tenant;
    int class_idx;
    struct dyno_line *lines;
    double virtual_ns;
    uint64_t backlog_ns; /* predicted, of what waits */
};

/* One class while the server runs. */
struct dyno_fair_share {
    struct dyno_flow *flows; /* those that wait, and those that were given more than the others */
    uint32_t waiting_count;
    double virtual_ns; /* of the class among classes */
    double now_ns;     /* virtual time among its flows */
    uint64_t backlog_ns;
    uint64_t seen_ns;    /* when a request of it came last */
    uint64_t typical_ns; /* moving mean of what one takes */
};

struct dyno_fair {
    const struct dyno_classes *classes;
    struct dyno_fair_share shares[DYNO_CLASSES_MAX];
    double now_ns; /* virtual time among classes */
    uint64_t round;
    uint64_t backlog_ns;
    uint32_t waiting_count;
};

void dyno_fair_fini(struct dyno_fair *fair); /* nothing waits */

/* Let a task wait; its class, tenant, deadline, cost and queue time are set.  E_NOMEM. */
enum dyno_status dyno_fair_join(struct dyno_fair *fair, struct dyno_task *task,
                                struct dyno_err *err);
/* It waits no more: it runs, or it is given up.  A line without tasks is freed. */
void dyno_fair_leave(struct dyno_fair *fair, struct dyno_task *task);

/* Begin a round of choosing; then the fairest line that was not passed over, NULL: none is left.
 * A line that is not served is passed over by setting passed_round to the round. */
void dyno_fair_begin(struct dyno_fair *fair);
struct dyno_line *dyno_fair_next(struct dyno_fair *fair);

/* The task's flow and class were given `ns` of the device; a negative number gives back. */
void dyno_fair_charge(struct dyno_fair *fair, int class_idx, uint64_t tenant, int64_t ns);

/* How long a task that joins now would wait for those before it, on one lane. */
uint64_t dyno_fair_wait_ns(const struct dyno_fair *fair, int class_idx, uint64_t tenant);

/* The longest run that leaves every class in use the time to meet its deadline; UINT64_MAX: any. */
uint64_t dyno_fair_run_ns_max(const struct dyno_fair *fair, uint64_t now_ns);

#endif /* DYNO_SERVE_SCHED_FAIR_H */
