/* form.c - the lead, those that join, and waiting for more. */
#include "serve/sched/form.h"

#include "serve/sched/batch.h"

#define LINES_MAX       64    /* of one variant that are looked at for one run */
#define SCAN_MAX        64    /* tasks of one line that are looked at for one that fits */
#define GAIN_MIN_NS     20000 /* less is not worth a wait */
#define GAPS            4     /* after so many times the usual gap nobody comes */
#define USE_MIN         0.25  /* holding back is of use that often, or it is tried */
#define TRY_EVERY       16    /* ... every so many times */
#define EXPLORE_EVERY   32    /* so many runs are formed, and one against what was measured */
#define GAP_NS_MAX      UINT64_C(1000000000)
#define JOIN_TOLERANCE  1.1 /* timings are that noisy */
#define LATE_PREDICTION 0.8 /* a run may be that much quicker than predicted */

/* --- variants --- */

struct dyno_instance *dyno_variant_lend(struct dyno_variant *variant, int lane, int lane_count)
{
    struct dyno_instance *instance = NULL;
    (void)pthread_mutex_lock(&variant->lock);
    for (int i = variant->idle_count - 1; i >= 0 && instance == NULL; i--) {
        const int idx = variant->idle[i];
        if (lane >= 0 && idx % lane_count != lane)
            continue;
        instance = variant->instances[idx];
        variant->idle[i] = variant->idle[--variant->idle_count];
    }
    (void)pthread_mutex_unlock(&variant->lock);
    return instance;
}

void dyno_variant_return(struct dyno_variant *variant, struct dyno_instance *instance)
{
    int idx = 0;
    while (variant->instances[idx] != instance)
        idx++;
    (void)pthread_mutex_lock(&variant->lock);
    variant->idle[variant->idle_count++] = (uint8_t)idx;
    (void)pthread_mutex_unlock(&variant->lock);
}

uint64_t dyno_variant_predict(struct dyno_variant *variant, const struct dyno_cost_key *key,
                              int64_t rows)
{
    (void)pthread_mutex_lock(&variant->lock);
    const uint64_t ns = dyno_cost_predict(&variant->cost, key, rows);
    (void)pthread_mutex_unlock(&variant->lock);
    return ns;
}

void dyno_variant_cost(struct dyno_variant *variant, const struct dyno_cost_key *key,
                       uint64_t *fixed_ns_out, uint64_t *row_ns_out)
{
    (void)pthread_mutex_lock(&variant->lock);
    dyno_cost_parts(&variant->cost, key, fixed_ns_out, row_ns_out);
    (void)pthread_mutex_unlock(&variant->lock);
}

void dyno_variant_note(struct dyno_variant *variant, const struct dyno_cost_key *key, int64_t rows,
                       uint64_t ns)
{
    struct dyno_variant_stats *stats = &variant->stats;
    const int64_t idx = rows <= DYNO_BATCH_COSTS ? rows : 0;
    (void)pthread_mutex_lock(&variant->lock);
    dyno_cost_note(&variant->cost, key, rows, ns);
    (void)pthread_mutex_unlock(&variant->lock);
    atomic_fetch_add_explicit(&stats->execution_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&stats->batch_count[idx], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&stats->batch_ns[idx], ns, memory_order_relaxed);
    if (variant->gpu != NULL)
        atomic_fetch_add_explicit(&variant->gpu->item_count, (uint64_t)rows, memory_order_relaxed);
}

void dyno_form_arrived(struct dyno_variant *variant, uint64_t now_ns)
{
    struct dyno_gather *gather = &variant->gather;
    const bool is_first = gather->came_ns == 0;
    uint64_t gap_ns = now_ns - gather->came_ns;
    gap_ns = gap_ns < GAP_NS_MAX ? gap_ns : GAP_NS_MAX;
    gather->came_ns = now_ns;
    if (is_first)
        return;
    /* The median: a burst's gaps count, the pause between two bursts does not. */
    if (gather->gap_ns == 0)
        gather->gap_ns = gap_ns;
    else if (gap_ns > gather->gap_ns)
        gather->gap_ns += gather->gap_ns / 8 + 1;
    else
        gather->gap_ns -= gather->gap_ns / 8;
}

/* --- who is too late --- */

static uint64_t deadline_of(const struct dyno_task *task)
{
    return task->deadline_ns != 0 ? task->deadline_ns : UINT64_MAX;
}

static bool is_over(const struct dyno_task *task, uint64_t now_ns)
{
    if (atomic_load_explicit(&task->is_cancelled, memory_order_relaxed))
        return true;
    if (task->deadline_ns == 0)
        return false;
    return now_ns + (uint64_t)((double)task->alone_ns * LATE_PREDICTION) > task->deadline_ns;
}

static void drop(struct dyno_fair *fair, struct dyno_task *task, struct dyno_task **dropped)
{
    dyno_fair_leave(fair, task);
    task->next = *dropped;
    *dropped = task;
}

/* The tasks of a line; it may be freed. */
static uint64_t sweep_line(struct dyno_fair *fair, struct dyno_line *line, uint64_t now_ns,
                           struct dyno_task **dropped)
{
    uint64_t deadline_ns = UINT64_MAX;
    struct dyno_task *next = NULL;
    for (struct dyno_task *task = line->first; task != NULL; task = next) {
        next = task->next;
        if (is_over(task, now_ns))
            drop(fair, task, dropped);
        else if (deadline_of(task) < deadline_ns)
            deadline_ns = deadline_of(task);
    }
    return deadline_ns;
}

uint64_t dyno_form_sweep(struct dyno_fair *fair, uint64_t now_ns, struct dyno_task **dropped)
{
    uint64_t deadline_ns = UINT64_MAX;
    for (int i = 0; i < fair->classes->count; i++)
        for (struct dyno_flow *flow = fair->shares[i].flows; flow != NULL; flow = flow->next) {
            struct dyno_line *next = NULL;
            for (struct dyno_line *line = flow->lines; line != NULL; line = next) {
                next = line->next;
                const uint64_t ns = sweep_line(fair, line, now_ns, dropped);
                deadline_ns = ns < deadline_ns ? ns : deadline_ns;
            }
        }
    return deadline_ns;
}

/* --- joining --- */

static void add(struct dyno_fair *fair, struct dyno_form *form, struct dyno_task *task)
{
    dyno_fair_leave(fair, task);
    dyno_fair_charge(fair, task->class_idx, task->tenant, (int64_t)task->cost_ns);
    if (form->last != NULL)
        form->last->next = task;
    else
        form->tasks = task;
    form->last = task;
    form->count++;
    form->rows += task->rows;
    if (deadline_of(task) < form->deadline_ns)
        form->deadline_ns = deadline_of(task);
}

/* Would the run still be one that all its tasks, and the classes that wait, can live with? */
static bool may_join(const struct dyno_form *form, struct dyno_task *task, uint64_t now_ns,
                     uint64_t run_ns_max, bool explores)
{
    struct dyno_variant *variant = task->variant;
    const int64_t rows = form->rows + task->rows;
    if (rows > variant->max_batch || is_over(task, now_ns) || !dyno_batch_fits(form->tasks, task))
        return false;
    const uint64_t run_ns = dyno_variant_predict(variant, &task->key, rows);
    const uint64_t deadline_ns =
        deadline_of(task) < form->deadline_ns ? deadline_of(task) : form->deadline_ns;
    if (run_ns > run_ns_max || now_ns + run_ns > deadline_ns)
        return false;
    const uint64_t apart_ns = form->run_ns + task->alone_ns;
    return explores || (double)run_ns <= (double)apart_ns * JOIN_TOLERANCE;
}

static bool is_fairer(const struct dyno_fair *fair, const struct dyno_line *a,
                      const struct dyno_line *b)
{
    const double class_a = fair->shares[a->flow->class_idx].virtual_ns;
    const double class_b = fair->shares[b->flow->class_idx].virtual_ns;
    if (a->flow->class_idx != b->flow->class_idx && (class_a < class_b || class_a > class_b))
        return class_a < class_b;
    return a->flow->virtual_ns < b->flow->virtual_ns;
}

/* The first task of the fairest line that may join. */
static struct dyno_task *find_joining(const struct dyno_fair *fair, const struct dyno_form *form,
                                      uint64_t now_ns, uint64_t run_ns_max, bool explores)
{
    struct dyno_task *best = NULL;
    int lines = 0;
    for (const struct dyno_line *line = form->tasks->variant->lines;
         line != NULL && lines < LINES_MAX; line = line->next_here, lines++) {
        int seen = 0;
        if (best != NULL && !is_fairer(fair, line, best->line))
            continue;
        for (struct dyno_task *task = line->first; task != NULL && seen < SCAN_MAX;
             task = task->next, seen++)
            if (may_join(form, task, now_ns, run_ns_max, explores)) {
                best = task;
                break;
            }
    }
    return best;
}

static void gather(struct dyno_fair *fair, struct dyno_task *lead, uint64_t now_ns,
                   struct dyno_form *form)
{
    struct dyno_variant *variant = lead->variant;
    const uint64_t run_ns_max = dyno_fair_run_ns_max(fair, now_ns);
    const bool explores = ++variant->gather.formed_count % EXPLORE_EVERY == 0;
    form->deadline_ns = UINT64_MAX;
    for (struct dyno_task *task = lead; task != NULL;) {
        add(fair, form, task);
        form->run_ns = dyno_variant_predict(variant, &task->key, form->rows);
        task = form->rows < variant->max_batch
                   ? find_joining(fair, form, now_ns, run_ns_max, explores)
                   : NULL;
    }
}

/* --- holding back --- */

/* Rows that wait and could run with `lead`, up to the largest batch. */
static int64_t fitting_rows(const struct dyno_task *lead)
{
    const struct dyno_variant *variant = lead->variant;
    int64_t rows = 0;
    int lines = 0;
    for (const struct dyno_line *line = variant->lines; line != NULL && lines < LINES_MAX;
         line = line->next_here, lines++) {
        int seen = 0;
        for (const struct dyno_task *task = line->first;
             task != NULL && seen < SCAN_MAX && rows < variant->max_batch;
             task = task->next, seen++)
            rows += dyno_batch_fits(lead, task) ? task->rows : 0;
    }
    return rows;
}

static bool is_worth_trying(struct dyno_gather *gather)
{
    return gather->use >= USE_MIN || ++gather->skipped_count % TRY_EVERY == 0;
}

static void end_hold(struct dyno_gather *gather, int64_t rows)
{
    if (gather->held_ns == 0)
        return;
    gather->use += ((rows > gather->held_rows ? 1.0 : 0.0) - gather->use) / 8.0;
    gather->held_ns = 0;
}

/* Until when the run that `lead` would lead is held back; 0: it is not. */
static uint64_t hold(struct dyno_task *lead, uint64_t now_ns)
{
    struct dyno_variant *variant = lead->variant;
    struct dyno_gather *gather = &variant->gather;
    if (variant->max_batch < 2)
        return 0;
    const int64_t rows = fitting_rows(lead);
    const uint64_t more_ns = dyno_variant_predict(variant, &lead->key, rows + lead->rows);
    const uint64_t apart_ns =
        dyno_variant_predict(variant, &lead->key, rows) + lead->alone_ns; /* two runs */
    const uint64_t gain_ns = apart_ns > more_ns ? apart_ns - more_ns : 0;
    const uint64_t patience_ns = GAPS * gather->gap_ns < gain_ns ? GAPS * gather->gap_ns : gain_ns;
    uint64_t until_ns = gather->came_ns + patience_ns;
    if (deadline_of(lead) < until_ns + more_ns)
        until_ns = deadline_of(lead) > more_ns ? deadline_of(lead) - more_ns : 0;
    const bool is_full = rows + lead->rows > variant->max_batch;
    if (is_full || gain_ns < GAIN_MIN_NS || 2 * gather->gap_ns > gain_ns || now_ns >= until_ns ||
        (gather->held_ns == 0 && !is_worth_trying(gather))) {
        end_hold(gather, rows);
        return 0;
    }
    if (gather->held_ns == 0) {
        gather->held_ns = now_ns;
        gather->held_rows = rows;
    }
    return until_ns;
}

static void pass_over(const struct dyno_fair *fair, const struct dyno_variant *variant)
{
    for (struct dyno_line *line = variant->lines; line != NULL; line = line->next_here)
        line->passed_round = fair->round;
}

/* --- the whole --- */

bool dyno_form_next(struct dyno_fair *fair, uint64_t now_ns, int lane_count, struct dyno_form *form,
                    uint64_t *wake_ns_out)
{
    struct dyno_line *line = NULL;
    *wake_ns_out = UINT64_MAX;
    dyno_fair_begin(fair);
    while ((line = dyno_fair_next(fair)) != NULL) {
        struct dyno_task *lead = line->first;
        struct dyno_variant *variant = line->variant;
        if (is_over(lead, now_ns)) {
            drop(fair, lead, &form->dropped);
            continue;
        }
        const uint64_t until_ns = hold(lead, now_ns);
        if (until_ns == 0)
            form->instance = dyno_variant_lend(variant, form->lane, lane_count);
        else if (until_ns < *wake_ns_out)
            *wake_ns_out = until_ns;
        if (form->instance != NULL) {
            gather(fair, lead, now_ns, form);
            return true;
        }
        pass_over(fair, variant);
    }
    return false;
}
