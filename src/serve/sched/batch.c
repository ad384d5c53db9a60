/* batch.c - gathering and scattering along the first dimension. */
#include "serve/sched/batch.h"

#include <string.h>

#include "base/mem.h"
#include "serve/sched/form.h"

static size_t round_up(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

bool dyno_batch_fits(const struct dyno_task *a, const struct dyno_task *b)
{
    if (a->key.hash != b->key.hash)
        return false;
    for (size_t i = 0; i < a->variant->input_count; i++) {
        const struct dyno_array *x = &a->inputs[i];
        const struct dyno_array *y = &b->inputs[i];
        if (x->rank != y->rank)
            return false;
        for (int d = 1; d < x->rank; d++)
            if (x->dims[d] != y->dims[d])
                return false;
    }
    return true;
}

static enum dyno_status no_room(struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_BUSY, "the server has too many bytes in flight");
}

static enum dyno_status gather(struct dyno_batch *batch, struct dyno_err *err)
{
    const size_t count = batch->variant->input_count;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        batch->inputs[i] = batch->tasks->inputs[i];
        batch->inputs[i].bytes = 0;
        for (const struct dyno_task *task = batch->tasks; task != NULL; task = task->next)
            batch->inputs[i].bytes += task->inputs[i].bytes;
        batch->inputs[i].dims[0] = batch->rows;
        bytes += round_up(batch->inputs[i].bytes);
    }
    char *at = NULL;
    if (dyno_instance_is_remote(batch->instance))
        at = dyno_instance_room(batch->instance, bytes);
    else
        at = batch->input_memory = dyno_budget_alloc(batch->budget, bytes);
    if (at == NULL)
        return no_room(err);
    for (size_t i = 0; i < count; i++) {
        char *to = batch->inputs[i].data = at;
        for (const struct dyno_task *task = batch->tasks; task != NULL; task = task->next) {
            memcpy(to, task->inputs[i].data, task->inputs[i].bytes);
            to += task->inputs[i].bytes;
        }
        at += round_up(batch->inputs[i].bytes);
    }
    return DYNO_OK;
}

/* Memory for outputs whose shapes are known. */
static enum dyno_status make_room(struct dyno_batch *batch, struct dyno_err *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < batch->variant->output_count; i++) {
        /* Proved at warm-up for one and two rows; here it is checked for what is at hand. */
        if (batch->outputs[i].rank < 1 || batch->outputs[i].dims[0] != batch->rows)
            return DYNO_FAIL(err, DYNO_E_MISMATCH, "output %zu has another batch than the inputs",
                             i);
        bytes += round_up(batch->outputs[i].bytes);
    }
    batch->output_memory = dyno_budget_alloc(batch->budget, bytes);
    return batch->output_memory != NULL ? DYNO_OK : no_room(err);
}

static enum dyno_status place(struct dyno_batch *batch, struct dyno_err *err)
{
    if (dyno_instance_is_remote(batch->instance))
        return DYNO_OK;
    DYNO_TRY(dyno_instance_bind(batch->instance, batch->inputs, batch->outputs, err));
    DYNO_TRY(make_room(batch, err));
    char *at = batch->output_memory;
    for (size_t i = 0; i < batch->variant->output_count; i++) {
        batch->outputs[i].data = at;
        batch->outputs[i].bytes = round_up(batch->outputs[i].bytes);
        at += batch->outputs[i].bytes;
    }
    return DYNO_OK;
}

enum dyno_status dyno_batch_keep(struct dyno_batch *batch, struct dyno_err *err)
{
    if (!dyno_instance_is_remote(batch->instance))
        return DYNO_OK;
    DYNO_TRY(make_room(batch, err));
    char *at = batch->output_memory;
    for (size_t i = 0; i < batch->variant->output_count; i++) {
        struct dyno_array *array = &batch->outputs[i];
        if (array->bytes != 0)
            memcpy(at, array->data, array->bytes);
        array->data = at;
        at += round_up(array->bytes);
    }
    return DYNO_OK;
}

static void destroy(struct dyno_batch *batch)
{
    dyno_budget_free(batch->budget, batch->input_memory);
    dyno_budget_free(batch->budget, batch->output_memory);
    dyno_free(batch->shares);
    dyno_free(batch->inputs);
    dyno_free(batch);
}

struct dyno_batch *dyno_batch_create(struct dyno_task *tasks, uint32_t count,
                                     struct dyno_instance *instance, struct dyno_err *err)
{
    const struct dyno_variant *variant = tasks->variant;
    struct dyno_batch *batch = dyno_alloc(1, sizeof(*batch));
    if (batch == NULL) {
        (void)DYNO_NOMEM(err);
        return NULL;
    }
    batch->inputs =
        dyno_alloc(variant->input_count + variant->output_count, sizeof(*batch->inputs));
    batch->outputs = batch->inputs + variant->input_count;
    batch->shares = dyno_alloc(count, sizeof(*batch->shares));
    batch->variant = tasks->variant;
    batch->budget = tasks->budget;
    batch->instance = instance;
    batch->tasks = tasks;
    batch->task_count = count;
    for (const struct dyno_task *task = tasks; task != NULL; task = task->next)
        batch->rows += task->rows;
    enum dyno_status status =
        batch->inputs != NULL && batch->shares != NULL ? gather(batch, err) : DYNO_NOMEM(err);
    if (status == DYNO_OK)
        status = place(batch, err);
    if (status != DYNO_OK) {
        destroy(batch);
        return NULL;
    }
    atomic_store(&batch->ref_count, count);
    for (struct dyno_task *task = tasks; task != NULL; task = task->next)
        task->batch = batch;
    return batch;
}

void dyno_batch_scatter(struct dyno_batch *batch)
{
    int64_t row = 0;
    for (struct dyno_task *task = batch->tasks; task != NULL; task = task->next) {
        const int64_t rows = task->rows;
        for (size_t i = 0; i < batch->variant->output_count; i++) {
            const struct dyno_array *whole = &batch->outputs[i];
            /* Exact bytes: place() rounded the room up. */
            int64_t elements = 1;
            for (int d = 1; d < whole->rank; d++)
                elements *= whole->dims[d];
            const size_t row_bytes =
                (size_t)elements * (dyno_dtype_bits((enum dyno_dtype)whole->dtype) / 8);
            task->outputs[i] = *whole;
            task->outputs[i].dims[0] = rows;
            task->outputs[i].data = (char *)whole->data + (size_t)row * row_bytes;
            task->outputs[i].bytes = (size_t)rows * row_bytes;
        }
        row += rows;
    }
}

/* Equal requests are told apart by their place. */
static void share_cores(struct dyno_batch *batch, uint64_t core_ns)
{
    struct dyno_share *shares = batch->shares;
    struct dyno_share_cost cost = {0};
    size_t count = 0;
    dyno_variant_cost(batch->variant, &batch->tasks->key, &cost.fixed, &cost.per_item);
    for (const struct dyno_task *task = batch->tasks; task != NULL; task = task->next) {
        shares[count] = (struct dyno_share){.key = count, .size = (uint64_t)task->rows};
        count++;
    }
    dyno_share_affine(core_ns, cost, shares, count);
    count = 0;
    for (struct dyno_task *task = batch->tasks; task != NULL; task = task->next)
        task->core_ns = (uint64_t)shares[count++].part;
}

void dyno_batch_share(struct dyno_batch *batch, uint64_t ns, uint64_t core_ns)
{
    const uint64_t row_ns = ns / (uint64_t)batch->rows;
    uint64_t left_ns =
        ns % (uint64_t)batch->rows; /* a nanosecond to each row, while there are any */
    for (struct dyno_task *task = batch->tasks; task != NULL; task = task->next) {
        const uint64_t rows = (uint64_t)task->rows;
        const uint64_t more_ns = left_ns < rows ? left_ns : rows;
        task->device_ns = row_ns * rows + more_ns;
        left_ns -= more_ns;
    }
    share_cores(batch, core_ns);
}

void dyno_batch_unref(struct dyno_batch *batch)
{
    if (atomic_fetch_sub_explicit(&batch->ref_count, 1, memory_order_acq_rel) == 1)
        destroy(batch);
}
