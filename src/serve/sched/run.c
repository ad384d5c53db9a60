/* run.c - memory of a run: inputs where kernels can read them, outputs that outlive the instance.
 */
#include "serve/sched/run.h"

#include <string.h>

#include "serve/sched/batch.h"

static size_t round_up(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static enum dyno_status no_room(struct dyno_task *task)
{
    return DYNO_FAIL(&task->err, DYNO_E_BUSY, "the server has too many bytes in flight");
}

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
    char *at = dyno_budget_alloc(task->budget, bytes);
    task->input_memory = at;
    if (at == NULL)
        return no_room(task);
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

/* Outputs whose shapes are known get memory that outlives the instance's next run. */
static enum dyno_status place_outputs(struct dyno_task *task)
{
    const size_t count = task->variant->output_count;
    size_t bytes = 0;
    DYNO_TRY(dyno_instance_bind(task->instance, task->inputs, task->outputs, &task->err));
    for (size_t i = 0; i < count; i++)
        bytes += task->outputs[i].rank >= 0 ? round_up(task->outputs[i].bytes) : 0;
    char *at = (char *)task->small;
    if (bytes > sizeof(task->small))
        at = task->output_memory = dyno_budget_alloc(task->budget, bytes);
    if (at == NULL)
        return no_room(task);
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

enum dyno_status dyno_task_keep(struct dyno_task *task)
{
    const size_t count = task->variant->output_count;
    const bool is_remote = dyno_instance_is_remote(task->instance);
    size_t bytes = 0;
    if (!task->variant->has_open_outputs && !is_remote)
        return DYNO_OK;
    for (size_t i = 0; i < count; i++)
        bytes += round_up(task->outputs[i].bytes);
    void *old = task->output_memory;
    char *at = (char *)task->small;
    if (!is_remote || bytes > sizeof(task->small)) { /* of one here, some may be in `small` */
        at = dyno_budget_alloc(task->budget, bytes);
        if (at == NULL)
            return no_room(task);
        task->output_memory = at;
    }
    for (size_t i = 0; i < count; i++) {
        struct dyno_array *array = &task->outputs[i];
        if (array->bytes != 0)
            memcpy(at, array->data, array->bytes);
        array->data = at;
        at += round_up(array->bytes);
    }
    dyno_budget_free(task->budget, old);
    return DYNO_OK;
}

enum dyno_status dyno_task_place(struct dyno_task *task)
{
    if (dyno_instance_is_remote(task->instance))
        return DYNO_OK; /* which has room for both */
    DYNO_TRY(align_inputs(task));
    return place_outputs(task);
}

void dyno_task_fini(struct dyno_task *task)
{
    dyno_budget_free(task->budget, task->output_memory);
    dyno_budget_free(task->budget, task->input_memory);
    if (task->batch != NULL)
        dyno_batch_unref(task->batch);
    task->output_memory = task->input_memory = NULL;
    task->batch = NULL;
}
