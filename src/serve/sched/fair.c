/* fair.c - flows, lines and virtual time. */
#include "serve/sched/fair.h"

#include "base/mem.h"

#define IN_USE_NS                                                                  \
    UINT64_C(10000000000) /* a class that was asked for within this time is in use \
                           */
#define TYPICAL_SHIFT 4

/* --- flows --- */

static struct dyno_flow *find_flow(const struct dyno_fair_share *share, uint64_t tenant)
{
    for (struct dyno_flow *flow = share->flows; flow != NULL; flow = flow->next)
        if (flow->tenant == tenant)
            return flow;
    return NULL;
}

static struct dyno_flow *make_flow(struct dyno_fair_share *share, int class_idx, uint64_t tenant)
{
    struct dyno_flow *flow = find_flow(share, tenant);
    if (flow != NULL)
        return flow;
    flow = dyno_alloc(1, sizeof(*flow));
    if (flow == NULL)
        return NULL;
    flow->tenant = tenant;
    flow->class_idx = class_idx;
    flow->next = share->flows;
    share->flows = flow;
    return flow;
}

/* A flow that does not wait and is not ahead of the others says nothing: free such. */
static void forget_flows(struct dyno_fair_share *share)
{
    struct dyno_flow **at = &share->flows;
    while (*at != NULL) {
        struct dyno_flow *flow = *at;
        if (flow->lines != NULL || flow->virtual_ns > share->now_ns) {
            at = &flow->next;
            continue;
        }
        *at = flow->next;
        dyno_free(flow);
    }
}

void dyno_fair_fini(struct dyno_fair *fair)
{
    for (int i = 0; i < DYNO_CLASSES_MAX; i++)
        while (fair->shares[i].flows != NULL) {
            struct dyno_flow *next = fair->shares[i].flows->next;
            DYNO_ASSERT(fair->shares[i].flows->lines == NULL);
            dyno_free(fair->shares[i].flows);
            fair->shares[i].flows = next;
        }
}

/* --- lines --- */

static struct dyno_line *make_line(struct dyno_flow *flow, struct dyno_variant *variant)
{
    struct dyno_line *line = flow->lines;
    while (line != NULL && line->variant != variant)
        line = line->next;
    if (line != NULL)
        return line;
    line = dyno_alloc(1, sizeof(*line));
    if (line == NULL)
        return NULL;
    line->flow = flow;
    line->variant = variant;
    line->next = flow->lines;
    if (flow->lines != NULL)
        flow->lines->prev = line;
    flow->lines = line;
    line->next_here = variant->lines;
    if (variant->lines != NULL)
        variant->lines->prev_here = line;
    variant->lines = line;
    return line;
}

static void free_line(struct dyno_line *line)
{
    if (line->prev != NULL)
        line->prev->next = line->next;
    else
        line->flow->lines = line->next;
    if (line->next != NULL)
        line->next->prev = line->prev;
    if (line->prev_here != NULL)
        line->prev_here->next_here = line->next_here;
    else
        line->variant->lines = line->next_here;
    if (line->next_here != NULL)
        line->next_here->prev_here = line->prev_here;
    dyno_free(line);
}

/* By deadline; from the end, where most belong. */
static void put(struct dyno_line *line, struct dyno_task *task)
{
    struct dyno_task *before = line->last;
    while (before != NULL && before->order_ns > task->order_ns)
        before = before->prev;
    task->prev = before;
    task->next = before != NULL ? before->next : line->first;
    if (task->next != NULL)
        task->next->prev = task;
    else
        line->last = task;
    if (before != NULL)
        before->next = task;
    else
        line->first = task;
    task->line = line;
}

/* --- joining and leaving --- */

enum dyno_status dyno_fair_join(struct dyno_fair *fair, struct dyno_task *task,
                                struct dyno_err *err)
{
    struct dyno_fair_share *share = &fair->shares[task->class_idx];
    struct dyno_flow *flow = make_flow(share, task->class_idx, task->tenant);
    if (flow == NULL)
        return DYNO_NOMEM(err);
    const bool was_waiting = flow->lines != NULL;
    struct dyno_line *line = make_line(flow, task->variant);
    if (line == NULL)
        return DYNO_NOMEM(err);
    if (!was_waiting && flow->virtual_ns < share->now_ns)
        flow->virtual_ns = share->now_ns;
    if (share->waiting_count == 0 && share->virtual_ns < fair->now_ns)
        share->virtual_ns = fair->now_ns;
    task->order_ns = task->deadline_ns != 0 ? task->deadline_ns : task->queue_ns + DYNO_PATIENCE_NS;
    put(line, task);
    flow->backlog_ns += task->cost_ns;
    share->backlog_ns += task->cost_ns;
    fair->backlog_ns += task->cost_ns;
    share->waiting_count++;
    fair->waiting_count++;
    share->seen_ns = task->queue_ns;
    share->typical_ns = share->typical_ns == 0
                            ? task->alone_ns
                            : share->typical_ns - (share->typical_ns >> TYPICAL_SHIFT) +
                                  (task->alone_ns >> TYPICAL_SHIFT);
    return DYNO_OK;
}

void dyno_fair_leave(struct dyno_fair *fair, struct dyno_task *task)
{
    struct dyno_line *line = task->line;
    struct dyno_flow *flow = line->flow;
    struct dyno_fair_share *share = &fair->shares[flow->class_idx];
    if (task->prev != NULL)
        task->prev->next = task->next;
    else
        line->first = task->next;
    if (task->next != NULL)
        task->next->prev = task->prev;
    else
        line->last = task->prev;
    task->line = NULL;
    task->next = task->prev = NULL;
    flow->backlog_ns -= task->cost_ns;
    share->backlog_ns -= task->cost_ns;
    fair->backlog_ns -= task->cost_ns;
    share->waiting_count--;
    fair->waiting_count--;
    if (line->first == NULL)
        free_line(line);
}

/* --- choosing --- */

void dyno_fair_begin(struct dyno_fair *fair)
{
    fair->round++;
    for (int i = 0; i < fair->classes->count; i++)
        forget_flows(&fair->shares[i]);
}

/* The line of the flow whose first task is most urgent. */
static struct dyno_line *urgent_line(const struct dyno_fair *fair, const struct dyno_flow *flow)
{
    struct dyno_line *best = NULL;
    for (struct dyno_line *line = flow->lines; line != NULL; line = line->next)
        if (line->passed_round != fair->round &&
            (best == NULL || line->first->order_ns < best->first->order_ns))
            best = line;
    return best;
}

static struct dyno_line *fairest_line(const struct dyno_fair *fair,
                                      const struct dyno_fair_share *share)
{
    struct dyno_line *best = NULL;
    for (const struct dyno_flow *flow = share->flows; flow != NULL; flow = flow->next) {
        if (best != NULL && flow->virtual_ns >= best->flow->virtual_ns)
            continue;
        struct dyno_line *line = urgent_line(fair, flow);
        best = line != NULL ? line : best;
    }
    return best;
}

struct dyno_line *dyno_fair_next(struct dyno_fair *fair)
{
    struct dyno_line *best = NULL;
    double best_ns = 0.0;
    for (int i = 0; i < fair->classes->count; i++) {
        const struct dyno_fair_share *share = &fair->shares[i];
        if (share->waiting_count == 0 || (best != NULL && share->virtual_ns >= best_ns))
            continue;
        struct dyno_line *line = fairest_line(fair, share);
        if (line == NULL)
            continue;
        best = line;
        best_ns = share->virtual_ns;
    }
    return best;
}

void dyno_fair_charge(struct dyno_fair *fair, int class_idx, uint64_t tenant, int64_t ns)
{
    struct dyno_fair_share *share = &fair->shares[class_idx];
    struct dyno_flow *flow = find_flow(share, tenant);
    if (ns > 0 && share->virtual_ns > fair->now_ns)
        fair->now_ns = share->virtual_ns;
    share->virtual_ns += (double)ns / (double)fair->classes->rows[class_idx].weight;
    if (flow == NULL) /* it waited for nothing else and was forgotten */
        return;
    if (ns > 0 && flow->virtual_ns > share->now_ns)
        share->now_ns = flow->virtual_ns;
    flow->virtual_ns += (double)ns;
}

/* --- looking ahead --- */

uint64_t dyno_fair_wait_ns(const struct dyno_fair *fair, int class_idx, uint64_t tenant)
{
    const struct dyno_fair_share *share = &fair->shares[class_idx];
    const struct dyno_flow *flow = find_flow(share, tenant);
    const double own_weight = fair->classes->rows[class_idx].weight;
    double weights = share->waiting_count > 0 ? 0.0 : own_weight;
    double flows = flow != NULL && flow->lines != NULL ? 0.0 : 1.0;
    for (int i = 0; i < fair->classes->count; i++)
        weights += fair->shares[i].waiting_count > 0 ? (double)fair->classes->rows[i].weight : 0.0;
    for (const struct dyno_flow *at = share->flows; at != NULL; at = at->next)
        flows += at->lines != NULL ? 1.0 : 0.0;
    /* Of what waits before it: its flow's own, slowed down by the share that the others have. */
    const double own_ns = flow != NULL ? (double)flow->backlog_ns : 0.0;
    const double in_class_ns =
        own_ns * flows < (double)share->backlog_ns ? own_ns * flows : (double)share->backlog_ns;
    const double ns = in_class_ns * weights / own_weight;
    return ns < (double)fair->backlog_ns ? (uint64_t)ns : fair->backlog_ns;
}

uint64_t dyno_fair_run_ns_max(const struct dyno_fair *fair, uint64_t now_ns)
{
    uint64_t most_ns = UINT64_MAX;
    for (int i = 0; i < fair->classes->count; i++) {
        const struct dyno_fair_share *share = &fair->shares[i];
        const uint64_t deadline_ns = fair->classes->rows[i].deadline_ns;
        if (deadline_ns == 0 || share->seen_ns == 0 || now_ns - share->seen_ns > IN_USE_NS)
            continue;
        const uint64_t slack_ns =
            deadline_ns > share->typical_ns ? deadline_ns - share->typical_ns : 0;
        most_ns = slack_ns < most_ns ? slack_ns : most_ns;
    }
    return most_ns;
}
