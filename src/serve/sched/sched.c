/* sched.c - a queue a variant: contexts lent to tasks in order, to several at once where rows are
 * independent. */
#include "serve/sched/sched.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "serve/sched/batch.h"

static size_t round_up(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

/* --- memory of a run --- */

static bool is_aligned(const struct dyno_array *array)
{
    const uintptr_t item_bytes = dyno_dtype_bits((enum dyno_dtype)array->dtype) / 8;
    return item_bytes <= 1 || (uintptr_t)array->data % item_bytes == 0;
}

/* Kernels read elements at their natural alignment; a body may hold them at any byte. */
static enum dyno_status align_inputs(struct dyno_task *task)
{
    const size_t count = task->variant->input_count;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += is_aligned(&task->inputs[i]) ? 0 : round_up(task->inputs[i].bytes);
    if (bytes == 0)
        return DYNO_OK;
    char *at = dyno_alloc_raw(bytes, 1);
    task->input_memory = at;
    if (at == NULL)
        return DYNO_NOMEM(&task->err);
    for (size_t i = 0; i < count; i++) {
        struct dyno_array *array = &task->inputs[i];
        if (is_aligned(array))
            continue;
        memcpy(at, array->data, array->bytes);
        array->data = at;
        at += round_up(array->bytes);
    }
    return DYNO_OK;
}

/* Outputs whose shapes are known get memory that outlives the context's next run. */
static enum dyno_status place_outputs(struct dyno_task *task)
{
    const size_t count = task->variant->output_count;
    size_t bytes = 0;
    DYNO_TRY(dyno_context_bind(task->context, task->inputs, task->outputs, &task->err));
    for (size_t i = 0; i < count; i++)
        bytes += task->outputs[i].rank >= 0 ? round_up(task->outputs[i].bytes) : 0;
    char *at = (char *)task->small;
    if (bytes > sizeof(task->small))
        at = task->output_memory = dyno_alloc_raw(bytes, 1);
    if (at == NULL)
        return DYNO_NOMEM(&task->err);
    for (size_t i = 0; i < count; i++) {
        struct dyno_array *array = &task->outputs[i];
        if (array->rank < 0) {
            array->data = NULL;
            continue;
        }
        array->data = at;
        array->bytes = round_up(array->bytes);
        at += array->bytes;
    }
    return DYNO_OK;
}

/* Outputs of unknown shape lie in the context: copy them before it runs again. */
static enum dyno_status keep_outputs(struct dyno_task *task)
{
    const size_t count = task->variant->output_count;
    size_t bytes = 0;
    if (!task->variant->has_open_outputs)
        return DYNO_OK;
    for (size_t i = 0; i < count; i++)
        bytes += round_up(task->outputs[i].bytes);
    char *at = dyno_alloc_raw(bytes + 1, 1);
    if (at == NULL)
        return DYNO_NOMEM(&task->err);
    void *old = task->output_memory;
    task->output_memory = at;
    for (size_t i = 0; i < count; i++) {
        struct dyno_array *array = &task->outputs[i];
        if (array->bytes != 0)
            memcpy(at, array->data, array->bytes);
        array->data = at;
        at += round_up(array->bytes);
    }
    dyno_free(old);
    return DYNO_OK;
}

void dyno_task_fini(struct dyno_task *task)
{
    dyno_free(task->output_memory);
    dyno_free(task->input_memory);
    if (task->batch != NULL)
        dyno_batch_unref(task->batch);
    task->output_memory = task->input_memory = NULL;
    task->batch = NULL;
}

/* --- what runs cost --- */

static int64_t rows_of(const struct dyno_task *task)
{
    return task->variant->max_batch > 0 ? task->inputs[0].dims[0] : 1;
}

/* Under the lock.  What a run of so many rows will take: what such runs took, or what the nearest
 * smaller one took, in proportion. */
static uint64_t predict(const struct dyno_variant *variant, int64_t rows)
{
    int64_t seen = rows < DYNO_BATCH_COSTS ? rows : DYNO_BATCH_COSTS;
    while (seen > 1 && variant->cost_ns[seen] == 0)
        seen--;
    const uint64_t ns =
        seen > 0 && variant->cost_ns[seen] != 0 ? variant->cost_ns[seen] : variant->run_ns;
    return seen > 0 ? ns * (uint64_t)rows / (uint64_t)seen : ns;
}

static void note_run(struct dyno_variant *variant, int64_t rows, uint64_t ns)
{
    struct dyno_variant_stats *stats = &variant->stats;
    const int64_t idx = rows <= DYNO_BATCH_COSTS ? rows : 0;
    (void)pthread_mutex_lock(&variant->lock);
    uint64_t *mean = &variant->cost_ns[idx];
    *mean = *mean == 0 ? ns : *mean - *mean / 8 + ns / 8;
    (void)pthread_mutex_unlock(&variant->lock);
    atomic_fetch_add_explicit(&stats->batch_count[idx], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&stats->batch_ns[idx], ns, memory_order_relaxed);
}

/* --- the queue --- */

/* Tasks that were taken out together. */
struct picked {
    struct dyno_task *tasks, *last; /* to run, linked in order */
    struct dyno_task *dropped;      /* cancelled or too late */
    uint32_t count;
    int64_t rows;
    uint64_t deadline_ns; /* the earliest of tasks; UINT64_MAX: none */
};

static uint64_t deadline_of(const struct dyno_task *task)
{
    return task->deadline_ns != 0 ? task->deadline_ns : UINT64_MAX;
}

static bool is_over(const struct dyno_task *task, uint64_t now_ns)
{
    return now_ns > deadline_of(task) ||
           atomic_load_explicit(&task->is_cancelled, memory_order_relaxed);
}

/* False when this one would make the batch too large, or too late for one of its tasks. */
static bool may_join(const struct dyno_variant *variant, const struct picked *picked,
                     const struct dyno_task *task, uint64_t now_ns)
{
    if (picked->count == 0)
        return true;
    const int64_t rows = picked->rows + rows_of(task);
    if (rows > variant->max_batch || !dyno_batch_fits(picked->tasks, task))
        return false;
    const uint64_t deadline_ns =
        deadline_of(task) < picked->deadline_ns ? deadline_of(task) : picked->deadline_ns;
    return now_ns + predict(variant, rows) <= deadline_ns;
}

static void add(struct picked *picked, struct dyno_task *task)
{
    if (picked->last != NULL)
        picked->last->next = task;
    else
        picked->tasks = task;
    picked->last = task;
    picked->count++;
    picked->rows += rows_of(task);
    if (deadline_of(task) < picked->deadline_ns)
        picked->deadline_ns = deadline_of(task);
}

/* Under the lock: the oldest task and those that may run with it, in their order. */
static void pick(struct dyno_variant *variant, uint64_t now_ns, struct picked *picked)
{
    struct dyno_task *at = variant->queue_first;
    struct dyno_task **link = &variant->queue_first;
    bool is_full = false;
    variant->queue_last = NULL;
    while (at != NULL) {
        struct dyno_task *next = at->next;
        if (is_over(at, now_ns)) {
            at->next = picked->dropped;
            picked->dropped = at;
            variant->queue_count--;
        } else if (!is_full && may_join(variant, picked, at, now_ns)) {
            at->next = NULL;
            add(picked, at);
            variant->queue_count--;
            is_full = picked->rows >= variant->max_batch;
        } else {
            *link = variant->queue_last = at;
            link = &at->next;
        }
        at = next;
    }
    *link = NULL;
}

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

/* --- running --- */

static void on_done(void *arg, enum dyno_status status, const struct dyno_run_times *times,
                    const struct dyno_err *err);
static void on_batch_done(void *arg, enum dyno_status status, const struct dyno_run_times *times,
                          const struct dyno_err *err);

static enum dyno_status prepare(struct dyno_task *task)
{
    DYNO_TRY(align_inputs(task));
    return place_outputs(task);
}

static enum dyno_status start_one(struct dyno_task *task, struct dyno_context *context)
{
    task->context = context;
    task->is_lead = true;
    DYNO_TRY(prepare(task));
    return dyno_context_submit(context, task->inputs, task->outputs, on_done, task, &task->err);
}

static enum dyno_status start_batch(const struct picked *picked, struct dyno_context *context,
                                    struct dyno_err *err)
{
    struct dyno_batch *batch = dyno_batch_create(picked->tasks, picked->count, context, err);
    if (batch == NULL)
        return err->status;
    picked->tasks->is_lead = true;
    return dyno_context_submit(context, batch->inputs, batch->outputs, on_batch_done, batch, err);
}

/* Under the lock: who gets the context that is free, or it goes back.  was_batch: it is given up by
 * the one run that a variant with batches has in flight beside those on I/O threads. */
static void next_for(struct dyno_variant *variant, struct dyno_context *context, bool was_batch,
                     struct picked *picked)
{
    if (was_batch)
        variant->is_running = false;
    if (variant->max_batch == 0 || !variant->is_running)
        pick(variant, dyno_clock_ns(), picked);
    if (picked->tasks == NULL)
        variant->idle[variant->idle_count++] = context;
    else
        variant->is_running = true;
}

/* A run is over.  The caller holds the variant by a task that is not done yet. */
static void hand_on(struct dyno_variant *variant, struct dyno_context *context, bool was_batch)
{
    struct dyno_task *dropped = NULL;
    for (bool started = false; !started;) {
        struct picked picked = {.dropped = dropped, .deadline_ns = UINT64_MAX};
        struct dyno_err err = {0};
        (void)pthread_mutex_lock(&variant->lock);
        next_for(variant, context, was_batch, &picked);
        (void)pthread_mutex_unlock(&variant->lock);
        dropped = picked.dropped;
        if (picked.tasks == NULL)
            break;
        const enum dyno_status status = picked.count == 1 ? start_one(picked.tasks, context)
                                                          : start_batch(&picked, context, &err);
        started = status == DYNO_OK;
        was_batch = true;
        if (!started)
            fail_all(picked.tasks, status, &err);
    }
    finish_dropped(dropped);
}

static void on_done(void *arg, enum dyno_status status, const struct dyno_run_times *times,
                    const struct dyno_err *err)
{
    struct dyno_task *task = arg;
    task->start_ns = times->start_ns;
    task->end_ns = times->end_ns;
    task->status = status;
    if (status != DYNO_OK) {
        task->err = *err;
    } else {
        task->status = keep_outputs(task);
        note_run(task->variant, rows_of(task), times->end_ns - times->start_ns);
    }
    hand_on(task->variant, task->context, true);
    task->done(task);
}

static void on_batch_done(void *arg, enum dyno_status status, const struct dyno_run_times *times,
                          const struct dyno_err *err)
{
    struct dyno_batch *batch = arg;
    struct dyno_variant *variant = batch->variant;
    struct dyno_task *task = batch->tasks;
    if (status == DYNO_OK) {
        dyno_batch_scatter(batch);
        note_run(variant, batch->rows, times->end_ns - times->start_ns);
    }
    hand_on(variant, batch->context, true);
    /* The batch goes with its last task, and so may the variant. */
    while (task != NULL) {
        struct dyno_task *next = task->next;
        task->start_ns = times->start_ns;
        task->end_ns = times->end_ns;
        task->status = status;
        if (status != DYNO_OK)
            task->err = *err;
        task->done(task);
        task = next;
    }
}

/* On this thread, without the engine's queue. */
static void run_here(struct dyno_task *task)
{
    enum dyno_status status = prepare(task);
    task->is_lead = true;
    task->start_ns = dyno_clock_ns();
    if (status == DYNO_OK)
        status = dyno_context_run(task->context, task->inputs, task->outputs, &task->err);
    task->end_ns = dyno_clock_ns();
    task->status = status == DYNO_OK ? keep_outputs(task) : status;
    if (task->status == DYNO_OK)
        note_run(task->variant, rows_of(task), task->end_ns - task->start_ns);
    hand_on(task->variant, task->context, false);
    task->done(task);
}

/* Under the lock: a context for a task that comes now, NULL: it has to wait.  While a batch runs
 * the next one gathers: a second context would only take requests away from it. */
static struct dyno_context *lend(struct dyno_variant *variant, bool here)
{
    if (variant->queue_first != NULL || variant->idle_count == 0 ||
        (!here && variant->max_batch > 0 && variant->is_running))
        return NULL;
    variant->is_running = variant->is_running || !here;
    return variant->idle[--variant->idle_count];
}

static void enqueue(struct dyno_variant *variant, struct dyno_task *task)
{
    if (variant->queue_last != NULL)
        variant->queue_last->next = task;
    else
        variant->queue_first = task;
    variant->queue_last = task;
    variant->queue_count++;
}

void dyno_sched_submit(const struct dyno_sched_options *options, struct dyno_task *task)
{
    struct dyno_variant *variant = task->variant;
    bool is_full = false;
    task->queue_ns = dyno_clock_ns();
    task->next = NULL;
    task->is_lead = false;
    (void)pthread_mutex_lock(&variant->lock);
    const bool here = predict(variant, rows_of(task)) < options->inline_ns_max;
    /* A queued task may be done, and gone, once the lock is free. */
    struct dyno_context *context = task->context = lend(variant, here);
    if (context == NULL) {
        is_full = variant->queue_count >= options->queue_max;
        if (!is_full)
            enqueue(variant, task);
    }
    (void)pthread_mutex_unlock(&variant->lock);
    if (is_full) {
        fail(task, DYNO_FAIL(&task->err, DYNO_E_BUSY, "Exceeds maximum queue size"));
    } else if (context != NULL && here) {
        run_here(task);
    } else if (context != NULL) {
        const enum dyno_status status = start_one(task, context);
        if (status == DYNO_OK)
            return;
        hand_on(variant, context, true);
        fail(task, status);
    }
}

void dyno_sched_cancel(struct dyno_task *task)
{
    atomic_store_explicit(&task->is_cancelled, true, memory_order_relaxed);
}
