/* sched.c - lanes, and the thread that wakes for what waits too long. */
#include "serve/sched/sched.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "serve/sched/batch.h"
#include "serve/sched/form.h"
#include "serve/sched/run.h"

#define SWEEP_GAP_NS   UINT64_C(2000000) /* what waits is looked through no more often */
#define FINISH_POLL_NS 100000
#define HANDS_MAX      16

struct dyno_lane {
    bool is_busy;
    uint64_t end_ns; /* predicted */
};

/* One device: who waits for it, and where it runs things. */
struct dyno_queue {
    const struct dyno_sched_device *device;
    struct dyno_fair fair;
    struct dyno_lane lanes[DYNO_LANES_MAX];
};

struct dyno_sched {
    struct dyno_sched_options options;
    pthread_mutex_t lock;
    struct dyno_queue queues[DYNO_DEVICES_MAX];
    struct dyno_hands *hands; /* for GPUs; NULL: there are none */

    /* The clock: wakes at wake_ns, sweeps, and asks the lanes again. */
    pthread_t clock;
    bool has_clock, is_ending;
    atomic_uint_fast64_t run_count;
    atomic_uint finishing; /* ends of runs that are told just now: who was told may be gone */
    pthread_cond_t tick;
    uint64_t wake_ns;
    atomic_bool has_cancelled;
};

static struct dyno_queue *queue_of(struct dyno_sched *sched, const struct dyno_variant *variant)
{
    return &sched->queues[variant->device];
}

static const struct dyno_sched_device *device_of(const struct dyno_task *task)
{
    return &task->sched->options.devices[task->variant->device];
}

/* --- done --- */

static void fail(struct dyno_task *task, enum dyno_status status)
{
    task->status = status;
    task->start_ns = task->end_ns = dyno_clock_ns();
    task->done(task);
}

static void finish_dropped(struct dyno_task *dropped)
{
    while (dropped != NULL) {
        struct dyno_task *next = dropped->next;
        struct dyno_variant *variant = dropped->variant;
        atomic_fetch_sub_explicit(&variant->waiting_count, 1, memory_order_relaxed);
        fail(dropped, atomic_load(&dropped->is_cancelled)
                          ? DYNO_FAIL(&dropped->err, DYNO_E_CANCELLED, "the request was cancelled")
                          : DYNO_FAIL(&dropped->err, DYNO_E_BUSY, "Request timeout expired"));
        dropped = next;
    }
}

static void fail_all(struct dyno_task *tasks, enum dyno_status status, const struct dyno_err *err)
{
    while (tasks != NULL) {
        struct dyno_task *next = tasks->next;
        if (tasks->err.text[0] == 0)
            tasks->err = *err;
        fail(tasks, status);
        tasks = next;
    }
}

/* --- lanes --- */

/* Under the lock: wake the clock no later than that. */
static void wake_at(struct dyno_sched *sched, uint64_t ns)
{
    if (ns >= sched->wake_ns)
        return;
    sched->wake_ns = ns;
    (void)pthread_cond_signal(&sched->tick);
}

/* Under the lock: when one more run would begin, as predicted. */
static uint64_t begin_ns(const struct dyno_queue *queue, uint64_t now_ns)
{
    uint64_t first_ns = UINT64_MAX;
    uint64_t last_ns = now_ns;
    for (int i = 0; i < queue->device->lane_count; i++) {
        const struct dyno_lane *lane = &queue->lanes[i];
        const uint64_t ns = lane->is_busy && lane->end_ns > now_ns ? lane->end_ns : now_ns;
        first_ns = ns < first_ns ? ns : first_ns;
        last_ns = ns > last_ns ? ns : last_ns;
    }
    return queue->device->is_serial ? last_ns : first_ns;
}

/* Under the lock: something for a lane that is free, which is busy from now on. */
static bool take_from(struct dyno_sched *sched, struct dyno_queue *queue, struct dyno_form *form)
{
    const uint64_t now_ns = dyno_clock_ns();
    const int lane_count = queue->device->lane_count;
    bool found = false;
    for (int i = 0; i < lane_count && !found && queue->fair.waiting_count > 0; i++) {
        uint64_t wake_ns = UINT64_MAX;
        struct dyno_lane *lane = &queue->lanes[i];
        if (lane->is_busy)
            continue;
        *form = (struct dyno_form){.lane = i, .dropped = form->dropped};
        found = dyno_form_next(&queue->fair, now_ns, lane_count, form, &wake_ns);
        wake_at(sched, wake_ns);
        lane->end_ns = begin_ns(queue, now_ns) + form->run_ns;
        lane->is_busy = found;
    }
    return found;
}

/* Under the lock: the same of all devices. */
static bool take_next(struct dyno_sched *sched, struct dyno_form *form)
{
    bool found = false;
    for (int i = 0; i < sched->options.device_count && !found; i++)
        found = take_from(sched, &sched->queues[i], form);
    return found;
}

static void on_done(void *arg, enum dyno_status status, const struct dyno_instance_times *times,
                    const struct dyno_err *err);
static void on_batch_done(void *arg, enum dyno_status status,
                          const struct dyno_instance_times *times, const struct dyno_err *err);

static enum dyno_status start_one(struct dyno_task *task, struct dyno_instance *instance)
{
    DYNO_ASSERT(task != NULL);
    task->instance = instance;
    DYNO_TRY(dyno_task_place(task));
    const struct dyno_sched_device *device = device_of(task);
    dyno_device_begin(device->account, device->lane_threads[task->lane], false, &task->mark);
    const enum dyno_status status =
        dyno_instance_submit(instance, task->inputs, task->outputs, on_done, task, &task->err);
    if (status != DYNO_OK)
        (void)dyno_device_end(device->account, &task->mark, 0, 0);
    return status;
}

static uint64_t next_run(struct dyno_sched *sched)
{
    return atomic_fetch_add_explicit(&sched->run_count, 1, memory_order_relaxed) + 1;
}

static enum dyno_status start_batch(struct dyno_batch *batch, struct dyno_err *err)
{
    const struct dyno_sched_device *device = device_of(batch->tasks);
    dyno_device_begin(device->account, device->lane_threads[batch->tasks->lane], false,
                      &batch->mark);
    const enum dyno_status status = dyno_instance_submit(batch->instance, batch->inputs,
                                                         batch->outputs, on_batch_done, batch, err);
    if (status != DYNO_OK)
        (void)dyno_device_end(device->account, &batch->mark, 0, 0);
    return status;
}

static enum dyno_status start(const struct dyno_form *form, struct dyno_err *err)
{
    const uint64_t batch_id = next_run(form->tasks->sched);
    for (struct dyno_task *task = form->tasks; task != NULL; task = task->next) {
        task->lane = form->lane;
        task->batch_rows = form->rows;
        task->batch_id = batch_id;
        task->batch_count = form->count;
        atomic_fetch_sub_explicit(&task->variant->waiting_count, 1, memory_order_relaxed);
    }
    if (form->count == 1)
        return start_one(form->tasks, form->instance);
    struct dyno_batch *batch = dyno_batch_create(form->tasks, form->count, form->instance, err);
    if (batch == NULL)
        return err->status;
    return start_batch(batch, err);
}

static void free_lane(struct dyno_sched *sched, const struct dyno_variant *variant, int lane)
{
    (void)pthread_mutex_lock(&sched->lock);
    queue_of(sched, variant)->lanes[lane].is_busy = false;
    (void)pthread_mutex_unlock(&sched->lock);
}

/* Give free lanes what waits.  Whoever made a lane free, or put something in, calls this. */
static void dispatch(struct dyno_sched *sched)
{
    for (bool found = true; found;) {
        struct dyno_form form = {0};
        struct dyno_err err = {0};
        (void)pthread_mutex_lock(&sched->lock);
        found = take_next(sched, &form);
        (void)pthread_mutex_unlock(&sched->lock);
        finish_dropped(form.dropped);
        if (!found)
            break;
        const enum dyno_status status = start(&form, &err);
        if (status == DYNO_OK)
            continue;
        dyno_variant_return(form.tasks->variant, form.instance);
        free_lane(sched, form.tasks->variant, form.lane);
        fail_all(form.tasks, status, &err);
    }
}

/* --- after a run --- */

static void begin_finish(struct dyno_sched *sched)
{
    atomic_fetch_add_explicit(&sched->finishing, 1, memory_order_relaxed);
}

static void end_finish(struct dyno_sched *sched)
{
    atomic_fetch_sub_explicit(&sched->finishing, 1, memory_order_release);
}

/* What was charged was predicted; from now on it is what was. */
static void correct(struct dyno_sched *sched, const struct dyno_task *task)
{
    dyno_fair_charge(&queue_of(sched, task->variant)->fair, task->class_idx, task->tenant,
                     (int64_t)task->device_ns - (int64_t)task->cost_ns);
}

/* On the thread that hears of runs, or beside it. */
static void follow_up(struct dyno_sched *sched, const struct dyno_variant *variant,
                      struct dyno_hand_work *work, void (*carry_out)(struct dyno_hand_work *work))
{
    work->carry_out = carry_out;
    if (variant->device != 0)
        dyno_hands_give(sched->hands, work);
    else
        carry_out(work);
}

static void finish_one(struct dyno_hand_work *work)
{
    struct dyno_task *task =
        (struct dyno_task *)(void *)((char *)work - offsetof(struct dyno_task, finish));
    struct dyno_variant *variant = task->variant;
    struct dyno_sched *sched = task->sched;
    if (task->status == DYNO_OK) {
        task->status = dyno_task_keep(task);
        dyno_variant_note(variant, &task->key, task->rows, task->device_ns);
    }
    dyno_variant_return(variant, task->instance);
    (void)pthread_mutex_lock(&sched->lock);
    queue_of(sched, variant)->lanes[task->lane].is_busy = false;
    correct(sched, task);
    (void)pthread_mutex_unlock(&sched->lock);
    dispatch(sched);
    task->done(task);
    end_finish(sched);
}

static void on_done(void *arg, enum dyno_status status, const struct dyno_instance_times *times,
                    const struct dyno_err *err)
{
    struct dyno_task *task = arg;
    begin_finish(task->sched);
    task->core_ns =
        dyno_device_end(device_of(task)->account, &task->mark, times->end_ns, times->busy_ns);
    task->start_ns = times->start_ns;
    task->end_ns = times->end_ns;
    task->device_ns = times->end_ns - times->start_ns;
    task->status = status;
    if (status != DYNO_OK)
        task->err = *err;
    follow_up(task->sched, task->variant, &task->finish, finish_one);
}

static void finish_batch(struct dyno_hand_work *work)
{
    struct dyno_batch *batch =
        (struct dyno_batch *)(void *)((char *)work - offsetof(struct dyno_batch, finish));
    const struct dyno_instance_times times = batch->times;
    struct dyno_variant *variant = batch->variant;
    struct dyno_task *task = batch->tasks;
    struct dyno_sched *sched = task->sched;
    enum dyno_status status = batch->status;
    if (status == DYNO_OK)
        status = dyno_batch_keep(batch, &batch->err);
    if (status == DYNO_OK) {
        dyno_batch_scatter(batch);
        dyno_variant_note(variant, &task->key, batch->rows, times.end_ns - times.start_ns);
    }
    dyno_batch_share(batch, times.end_ns - times.start_ns, batch->core_ns);
    dyno_variant_return(variant, batch->instance);
    (void)pthread_mutex_lock(&sched->lock);
    queue_of(sched, variant)->lanes[task->lane].is_busy = false;
    for (const struct dyno_task *at = task; at != NULL; at = at->next)
        correct(sched, at);
    (void)pthread_mutex_unlock(&sched->lock);
    dispatch(sched);
    /* The batch goes with its last task, and so may the variant. */
    const struct dyno_err err = batch->err;
    while (task != NULL) {
        struct dyno_task *next = task->next;
        task->start_ns = times.start_ns;
        task->end_ns = times.end_ns;
        task->status = status;
        if (status != DYNO_OK)
            task->err = err;
        task->done(task);
        task = next;
    }
    end_finish(sched);
}

static void on_batch_done(void *arg, enum dyno_status status,
                          const struct dyno_instance_times *times, const struct dyno_err *err)
{
    struct dyno_batch *batch = arg;
    struct dyno_task *task = batch->tasks;
    begin_finish(task->sched);
    batch->core_ns =
        dyno_device_end(device_of(task)->account, &batch->mark, times->end_ns, times->busy_ns);
    batch->status = status;
    batch->times = *times;
    batch->err = *err;
    follow_up(task->sched, batch->variant, &batch->finish, finish_batch);
}

/* --- submitting --- */

/* On this thread, without a lane. */
static void run_here(struct dyno_sched *sched, struct dyno_task *task)
{
    struct dyno_variant *variant = task->variant;
    task->lane = -1;
    task->batch_rows = task->rows;
    task->batch_id = next_run(sched);
    task->batch_count = 1;
    enum dyno_status status = dyno_task_place(task);
    dyno_device_begin(device_of(task)->account, 1, false, &task->mark);
    task->start_ns = dyno_clock_ns();
    if (status == DYNO_OK)
        status = dyno_instance_run(task->instance, task->inputs, task->outputs, NULL, &task->err);
    task->end_ns = dyno_clock_ns();
    task->core_ns = dyno_device_end(device_of(task)->account, &task->mark, 0, 0);
    task->device_ns = task->end_ns - task->start_ns;
    task->status = status == DYNO_OK ? dyno_task_keep(task) : status;
    if (task->status == DYNO_OK)
        dyno_variant_note(variant, &task->key, task->rows, task->device_ns);
    dyno_variant_return(variant, task->instance);
    if (atomic_load_explicit(&variant->waiting_count, memory_order_relaxed) != 0)
        dispatch(sched); /* somebody may have found this instance lent */
    task->done(task);
}

/* Under the lock. */
static uint64_t predict_end(const struct dyno_queue *queue, int class_idx, uint64_t tenant,
                            uint64_t run_ns, uint64_t now_ns)
{
    const int at_once = queue->device->is_serial ? 1 : queue->device->lane_count;
    return begin_ns(queue, now_ns) + run_ns +
           dyno_fair_wait_ns(&queue->fair, class_idx, tenant) / (uint64_t)at_once;
}

uint64_t dyno_sched_predict_end(struct dyno_sched *sched, int class_idx, uint64_t tenant,
                                struct dyno_variant *variant, const struct dyno_cost_key *key,
                                int64_t rows)
{
    const uint64_t run_ns = dyno_variant_predict(variant, key, rows);
    (void)pthread_mutex_lock(&sched->lock);
    const uint64_t end_ns =
        predict_end(queue_of(sched, variant), class_idx, tenant, run_ns, dyno_clock_ns());
    (void)pthread_mutex_unlock(&sched->lock);
    return end_ns;
}

/* Its part of a run together with those that wait already. */
static uint64_t shared_ns(const struct dyno_task *task)
{
    struct dyno_variant *variant = task->variant;
    int64_t rows =
        (int64_t)atomic_load_explicit(&variant->waiting_count, memory_order_relaxed) * task->rows +
        task->rows;
    rows = rows < variant->max_batch ? rows : variant->max_batch;
    if (rows <= task->rows)
        return task->alone_ns;
    return dyno_variant_predict(variant, &task->key, rows) * (uint64_t)task->rows / (uint64_t)rows;
}

/* Under the lock: let it wait, or say why not. */
static enum dyno_status enqueue(struct dyno_sched *sched, struct dyno_task *task)
{
    struct dyno_variant *variant = task->variant;
    struct dyno_queue *queue = queue_of(sched, variant);
    if (atomic_load_explicit(&variant->waiting_count, memory_order_relaxed) >=
        sched->options.queue_max)
        return DYNO_FAIL(&task->err, DYNO_E_BUSY, "Exceeds maximum queue size");
    if (task->deadline_ns != 0) {
        const uint64_t end_ns =
            predict_end(queue, task->class_idx, task->tenant, task->alone_ns, task->queue_ns);
        if (end_ns > task->deadline_ns) {
            task->retry_ns = end_ns - task->deadline_ns;
            return DYNO_FAIL(&task->err, DYNO_E_BUSY,
                             "the deadline cannot be met: it would be missed by %.1f ms",
                             (double)task->retry_ns * 1e-6);
        }
    }
    task->cost_ns = shared_ns(task);
    dyno_form_arrived(variant, task->queue_ns);
    DYNO_TRY(dyno_fair_join(&queue->fair, task, &task->err));
    atomic_fetch_add_explicit(&variant->waiting_count, 1, memory_order_relaxed);
    if (task->deadline_ns != 0)
        wake_at(sched, task->deadline_ns);
    return DYNO_OK;
}

void dyno_sched_submit(struct dyno_sched *sched, struct dyno_task *task)
{
    struct dyno_variant *variant = task->variant;
    task->sched = sched;
    task->budget = sched->options.budget;
    task->queue_ns = dyno_clock_ns();
    task->retry_ns = task->device_ns = task->core_ns = task->batch_id = 0;
    task->batch_count = 0;
    task->batch_rows = 0;
    task->rows = dyno_variant_rows(variant, task->inputs, &task->key);
    task->alone_ns = dyno_variant_predict(variant, &task->key, task->rows);
    if (variant->device == 0 && task->alone_ns < sched->options.inline_ns_max &&
        atomic_load_explicit(&variant->waiting_count, memory_order_relaxed) == 0) {
        task->instance = dyno_variant_lend(variant, -1, 1);
        if (task->instance != NULL) {
            run_here(sched, task);
            return;
        }
    }
    (void)pthread_mutex_lock(&sched->lock);
    const enum dyno_status status = enqueue(sched, task);
    (void)pthread_mutex_unlock(&sched->lock);
    if (status == DYNO_OK)
        dispatch(sched); /* the task may be done, and gone */
    else
        fail(task, status);
}

void dyno_sched_cancel(struct dyno_sched *sched, struct dyno_task *task)
{
    atomic_store_explicit(&task->is_cancelled, true, memory_order_relaxed);
    if (atomic_exchange(&sched->has_cancelled, true))
        return;
    (void)pthread_mutex_lock(&sched->lock);
    wake_at(sched, dyno_clock_ns());
    (void)pthread_mutex_unlock(&sched->lock);
}

/* --- the clock --- */

/* Under the lock: sleep until wake_ns or until that is sooner. */
static void sleep_until_woken(struct dyno_sched *sched)
{
    while (!sched->is_ending && dyno_clock_ns() < sched->wake_ns) {
        const uint64_t ns = sched->wake_ns;
        if (ns == UINT64_MAX) {
            (void)pthread_cond_wait(&sched->tick, &sched->lock);
        } else {
            const struct timespec at = {.tv_sec = (time_t)(ns / 1000000000U),
                                        .tv_nsec = (long)(ns % 1000000000U)};
            (void)pthread_cond_timedwait(&sched->tick, &sched->lock, &at);
        }
    }
}

/* Under the lock: who waits too long is taken out; the earliest deadline that is left. */
static uint64_t sweep(struct dyno_sched *sched, uint64_t now_ns, struct dyno_task **dropped_out)
{
    uint64_t deadline_ns = UINT64_MAX;
    *dropped_out = NULL;
    for (int i = 0; i < sched->options.device_count; i++) {
        const uint64_t ns = dyno_form_sweep(&sched->queues[i].fair, now_ns, dropped_out);
        deadline_ns = ns < deadline_ns ? ns : deadline_ns;
    }
    return deadline_ns;
}

static void *keep_time(void *arg)
{
    struct dyno_sched *sched = arg;
    uint64_t swept_ns = 0;
    (void)pthread_mutex_lock(&sched->lock);
    for (;;) {
        struct dyno_task *dropped = NULL;
        sleep_until_woken(sched);
        if (sched->is_ending)
            break;
        const uint64_t now_ns = dyno_clock_ns();
        sched->wake_ns = UINT64_MAX;
        if (now_ns - swept_ns >= SWEEP_GAP_NS) {
            swept_ns = now_ns;
            atomic_store(&sched->has_cancelled, false);
            const uint64_t deadline_ns = sweep(sched, now_ns, &dropped);
            sched->wake_ns = deadline_ns > now_ns ? deadline_ns : now_ns + SWEEP_GAP_NS;
        } else {
            sched->wake_ns = swept_ns + SWEEP_GAP_NS;
        }
        (void)pthread_mutex_unlock(&sched->lock);
        finish_dropped(dropped);
        dispatch(sched);
        (void)pthread_mutex_lock(&sched->lock);
    }
    (void)pthread_mutex_unlock(&sched->lock);
    return NULL;
}

/* --- the whole --- */

enum dyno_status dyno_sched_create(const struct dyno_sched_options *options,
                                   struct dyno_sched **sched_out, struct dyno_err *err)
{
    pthread_condattr_t monotonic;
    *sched_out = NULL;
    DYNO_ASSERT(options->device_count > 0 && options->device_count <= DYNO_DEVICES_MAX);
    struct dyno_sched *sched = dyno_alloc(1, sizeof(*sched));
    if (sched == NULL)
        return DYNO_NOMEM(err);
    sched->options = *options;
    for (int i = 0; i < options->device_count; i++) {
        const int lane_count = options->devices[i].lane_count;
        DYNO_ASSERT(lane_count > 0 && lane_count <= DYNO_LANES_MAX);
        sched->queues[i].device = &sched->options.devices[i];
        sched->queues[i].fair.classes = options->classes;
    }
    sched->wake_ns = UINT64_MAX;
    (void)pthread_mutex_init(&sched->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&sched->tick, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    const int code = pthread_create(&sched->clock, NULL, keep_time, sched);
    sched->has_clock = code == 0;
    enum dyno_status status = DYNO_OK;
    if (code != 0)
        status = DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start a thread: %s", strerror(code));
    const int gpu_count = options->device_count - 1;
    if (status == DYNO_OK && gpu_count > 0) {
        const int most = gpu_count * DYNO_GPU_LANES;
        status = dyno_hands_create(most < HANDS_MAX ? most : HANDS_MAX, &sched->hands, err);
    }
    if (status != DYNO_OK) {
        dyno_sched_destroy(sched);
        return status;
    }
    *sched_out = sched;
    return DYNO_OK;
}

void dyno_sched_destroy(struct dyno_sched *sched)
{
    if (sched == NULL)
        return;
    (void)pthread_mutex_lock(&sched->lock);
    sched->is_ending = true;
    (void)pthread_cond_signal(&sched->tick);
    (void)pthread_mutex_unlock(&sched->lock);
    if (sched->has_clock)
        (void)pthread_join(sched->clock, NULL);
    /* Whose task was the last knows that it is over before the thread that told it has come back.
     */
    while (atomic_load_explicit(&sched->finishing, memory_order_acquire) > 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = FINISH_POLL_NS}, NULL);
    dyno_hands_destroy(sched->hands);
    for (int i = 0; i < sched->options.device_count; i++)
        dyno_fair_fini(&sched->queues[i].fair);
    (void)pthread_cond_destroy(&sched->tick);
    (void)pthread_mutex_destroy(&sched->lock);
    dyno_free(sched);
}
