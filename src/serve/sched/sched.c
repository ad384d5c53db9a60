/* sched.c - a queue a variant, contexts lent to tasks in order. */
#include "serve/sched/sched.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

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
    task->output_memory = task->input_memory = NULL;
}

/* --- running --- */

/* The next task that may have the context, or the context goes back.  Tasks that are cancelled or
 * too late come out, too, linked in *dropped. */
static struct dyno_task *next_task(struct dyno_variant *variant, struct dyno_context *context,
                                   struct dyno_task **dropped)
{
    const uint64_t now_ns = dyno_clock_ns();
    struct dyno_task *task = NULL;
    (void)pthread_mutex_lock(&variant->lock);
    while ((task = variant->queue_first) != NULL) {
        variant->queue_first = task->next;
        if (task->next == NULL)
            variant->queue_last = NULL;
        variant->queue_count--;
        task->next = NULL;
        const bool is_late = task->deadline_ns != 0 && now_ns > task->deadline_ns;
        if (!is_late && !atomic_load_explicit(&task->is_cancelled, memory_order_relaxed))
            break;
        task->next = *dropped;
        *dropped = task;
    }
    if (task == NULL)
        variant->idle[variant->idle_count++] = context;
    (void)pthread_mutex_unlock(&variant->lock);
    return task;
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
        const bool is_cancelled = atomic_load(&dropped->is_cancelled);
        fail(dropped, is_cancelled
                          ? DYNO_FAIL(&dropped->err, DYNO_E_CANCELLED, "the request was cancelled")
                          : DYNO_FAIL(&dropped->err, DYNO_E_BUSY, "Request timeout expired"));
        dropped = next;
    }
}

static void on_done(void *arg, enum dyno_status status, const struct dyno_run_times *times,
                    const struct dyno_err *err);

static enum dyno_status prepare(struct dyno_task *task)
{
    DYNO_TRY(align_inputs(task));
    return place_outputs(task);
}

static enum dyno_status start(struct dyno_task *task)
{
    DYNO_TRY(prepare(task));
    return dyno_context_submit(task->context, task->inputs, task->outputs, on_done, task,
                               &task->err);
}

/* The context is free: whoever waits gets it.  The caller holds the variant by another task. */
static void hand_on(struct dyno_variant *variant, struct dyno_context *context)
{
    struct dyno_task *dropped = NULL;
    for (;;) {
        struct dyno_task *next = next_task(variant, context, &dropped);
        if (next == NULL)
            break;
        next->context = context;
        const enum dyno_status status = start(next);
        if (status == DYNO_OK)
            break;
        fail(next, status);
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
    if (status != DYNO_OK)
        task->err = *err;
    else
        task->status = keep_outputs(task);
    hand_on(task->variant, task->context);
    task->done(task);
}

/* On this thread, without the engine's queue. */
static void run_here(struct dyno_task *task)
{
    enum dyno_status status = prepare(task);
    task->start_ns = dyno_clock_ns();
    if (status == DYNO_OK)
        status = dyno_context_run(task->context, task->inputs, task->outputs, &task->err);
    task->end_ns = dyno_clock_ns();
    task->status = status == DYNO_OK ? keep_outputs(task) : status;
    hand_on(task->variant, task->context);
    task->done(task);
}

void dyno_sched_submit(const struct dyno_sched_options *options, struct dyno_task *task)
{
    struct dyno_variant *variant = task->variant;
    bool is_full = false;
    task->queue_ns = dyno_clock_ns();
    task->next = NULL;
    task->context = NULL;
    (void)pthread_mutex_lock(&variant->lock);
    if (variant->queue_first == NULL && variant->idle_count > 0) {
        task->context = variant->idle[--variant->idle_count];
    } else if (variant->queue_count >= options->queue_max) {
        is_full = true;
    } else {
        if (variant->queue_last != NULL)
            variant->queue_last->next = task;
        else
            variant->queue_first = task;
        variant->queue_last = task;
        variant->queue_count++;
    }
    /* A queued task may be done, and gone, from here on. */
    struct dyno_context *context = task->context;
    (void)pthread_mutex_unlock(&variant->lock);
    if (is_full) {
        fail(task, DYNO_FAIL(&task->err, DYNO_E_BUSY, "Exceeds maximum queue size"));
    } else if (context != NULL && variant->run_ns < options->inline_ns_max) {
        run_here(task);
    } else if (context != NULL) {
        const enum dyno_status status = start(task);
        if (status == DYNO_OK)
            return;
        hand_on(variant, context);
        fail(task, status);
    }
}

void dyno_sched_cancel(struct dyno_task *task)
{
    atomic_store_explicit(&task->is_cancelled, true, memory_order_relaxed);
}
