/* call.c - an inference from its decoded request to its result. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "serve/app/server.h"

#define SPARE_MAX 64

struct dyno_block {
    struct dyno_block *next;
    size_t bytes;
    _Alignas(64) char data[];
};

static void *take_memory(struct dyno_v2_memory *memory, size_t bytes)
{
    struct dyno_call *call =
        (struct dyno_call *)(void *)((char *)memory - offsetof(struct dyno_call, memory));
    struct dyno_budget *budget = &call->io->server->budget;
    if (!dyno_budget_take(budget, bytes))
        return NULL;
    struct dyno_block *block = dyno_alloc_raw(1, sizeof(*block) + bytes);
    if (block == NULL) {
        dyno_budget_give(budget, bytes);
        return NULL;
    }
    block->bytes = bytes;
    block->next = call->blocks;
    call->blocks = block;
    return block->data;
}

struct dyno_call *dyno_call_create(struct dyno_io *io)
{
    struct dyno_call *call = io->spare_calls;
    if (call != NULL) {
        io->spare_calls = call->next;
        io->spare_count--;
    } else {
        call = dyno_alloc(1, sizeof(*call));
        if (call == NULL)
            return NULL;
        call->arena = dyno_arena_create();
        if (call->arena == NULL) {
            dyno_free(call);
            return NULL;
        }
        call->io = io;
        call->memory.take = take_memory;
    }
    call->next = NULL;
    call->start_ns = dyno_loop_now_ns(io->loop);
    atomic_fetch_add_explicit(&io->open_count, 1, memory_order_relaxed);
    return call;
}

static void free_call(struct dyno_call *call)
{
    dyno_arena_destroy(call->arena);
    dyno_free(call);
}

void dyno_call_destroy(struct dyno_call *call)
{
    struct dyno_io *io = call->io;
    if (call->task.variant != NULL) {
        dyno_task_fini(&call->task);
        dyno_variant_unref(call->task.variant);
    }
    while (call->blocks != NULL) {
        struct dyno_block *next = call->blocks->next;
        dyno_budget_give(&io->server->budget, call->blocks->bytes);
        dyno_free(call->blocks);
        call->blocks = next;
    }
    dyno_body_fini(&call->body);
    call->task.variant = NULL;
    call->task.deadline_ns = 0;
    atomic_store_explicit(&call->task.is_cancelled, false, memory_order_relaxed);
    call->task.err.status = DYNO_OK;
    call->task.err.text[0] = 0;
    call->err.status = DYNO_OK;
    call->err.text[0] = 0;
    call->status = DYNO_OK;
    call->visit = NULL;
    call->rpc = NULL;
    call->is_done = false;
    dyno_arena_reset(call->arena);
    atomic_fetch_sub_explicit(&io->open_count, 1, memory_order_relaxed);
    if (io->spare_count == SPARE_MAX) {
        free_call(call);
        return;
    }
    call->next = io->spare_calls;
    io->spare_calls = call;
    io->spare_count++;
}

/* --- running --- */

static void count(struct dyno_call *call)
{
    struct dyno_variant_stats *stats = &call->task.variant->stats;
    const struct dyno_task *task = &call->task;
    const uint64_t now_ns = dyno_clock_ns();
    struct timespec now;
    if (call->status != DYNO_OK) {
        atomic_fetch_add_explicit(&stats->fail_count, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&stats->fail_ns, now_ns - call->start_ns, memory_order_relaxed);
        return;
    }
    const int64_t rows = call->task.variant->max_batch > 0 ? task->inputs[0].dims[0] : 1;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    atomic_fetch_add_explicit(&stats->success_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&stats->success_ns, now_ns - call->start_ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&stats->queue_ns, task->start_ns - task->queue_ns,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&stats->input_ns, task->queue_ns - call->start_ns,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&stats->infer_ns, task->end_ns - task->start_ns,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&stats->output_ns, now_ns - task->end_ns, memory_order_relaxed);
    dyno_histogram_add(&stats->request, now_ns - call->start_ns);
    dyno_histogram_add(&stats->queue, task->start_ns - task->queue_ns);
    dyno_histogram_add(&stats->compute, task->end_ns - task->start_ns);
    atomic_fetch_add_explicit(&stats->inference_count, (uint64_t)rows, memory_order_relaxed);
    if (task->is_lead)
        atomic_fetch_add_explicit(&stats->execution_count, 1, memory_order_relaxed);
    atomic_store_explicit(&stats->last_ms,
                          (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000,
                          memory_order_relaxed);
}

static void finish(struct dyno_call *call)
{
    if (call->task.variant != NULL) {
        atomic_fetch_sub_explicit(&call->task.variant->stats.pending_count, 1,
                                  memory_order_relaxed);
        count(call);
    }
    if (call->visit != NULL)
        dyno_call_answer_http(call);
    else
        dyno_call_answer_grpc(call);
}

static void deliver(struct dyno_mail *mail)
{
    finish((struct dyno_call *)(void *)((char *)mail - offsetof(struct dyno_call, mail)));
}

static void on_done(struct dyno_task *task)
{
    struct dyno_call *call = (struct dyno_call *)(void *)task; /* its first member */
    call->status = task->status;
    if (dyno_io_here == call->io) {
        finish(call);
        return;
    }
    call->mail.deliver = deliver;
    dyno_loop_post(call->io->loop, &call->mail);
}

static enum dyno_status prepare(struct dyno_call *call)
{
    struct dyno_task *task = &call->task;
    struct dyno_infer *infer = &call->infer;
    struct dyno_variant *variant = NULL;
    DYNO_TRY(dyno_manager_find(call->io->server->manager, infer->model, infer->version, &variant,
                               &call->err));
    task->variant = variant;
    atomic_fetch_add_explicit(&variant->stats.pending_count, 1, memory_order_relaxed);
    task->inputs = dyno_arena_alloc(call->arena, variant->input_count + 1, sizeof(*task->inputs));
    task->outputs =
        dyno_arena_alloc(call->arena, variant->output_count + 1, sizeof(*task->outputs));
    if (task->inputs == NULL || task->outputs == NULL)
        return DYNO_NOMEM(&call->err);
    for (size_t i = 0; i < infer->input_count; i++)
        if (infer->inputs[i].region != NULL)
            return DYNO_FAIL(&call->err, DYNO_E_UNSUPPORTED,
                             "input '%s': shared memory is not available", infer->inputs[i].name);
    for (size_t i = 0; i < infer->wanted_count; i++) {
        if (dyno_variant_output(variant, infer->wanted[i].name) < 0)
            return DYNO_FAIL(&call->err, DYNO_E_ARG,
                             "unexpected inference output '%s' for model '%s'",
                             infer->wanted[i].name, variant->model);
        if (infer->wanted[i].classifications != 0)
            return DYNO_FAIL(&call->err, DYNO_E_UNSUPPORTED,
                             "output '%s': classification is not available", infer->wanted[i].name);
    }
    return dyno_variant_arrange(variant, infer, task->inputs, &call->err);
}

void dyno_call_run(struct dyno_call *call)
{
    call->status = prepare(call);
    if (call->status != DYNO_OK) {
        call->task.queue_ns = call->task.start_ns = call->task.end_ns = dyno_clock_ns();
        finish(call);
        return;
    }
    call->task.done = on_done;
    if (call->infer.timeout_us != 0 && call->infer.timeout_us < UINT64_MAX / 2000)
        call->task.deadline_ns = call->start_ns + call->infer.timeout_us * 1000;
    dyno_sched_submit(&call->io->server->sched, &call->task);
}

/* --- results --- */

enum dyno_status dyno_call_result(struct dyno_call *call, struct dyno_infer_answer *answer_out,
                                  struct dyno_err *err)
{
    const struct dyno_variant *variant = call->task.variant;
    const struct dyno_infer *infer = &call->infer;
    const size_t count = infer->wanted_count > 0 ? infer->wanted_count : variant->output_count;
    struct dyno_v2_tensor *outputs = dyno_arena_alloc(call->arena, count + 1, sizeof(*outputs));
    struct dyno_v2_wanted *wanted = dyno_arena_alloc(call->arena, count + 1, sizeof(*wanted));
    if (outputs == NULL || wanted == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < count; i++) {
        const int idx =
            infer->wanted_count > 0 ? dyno_variant_output(variant, infer->wanted[i].name) : (int)i;
        const struct dyno_array *array = &call->task.outputs[idx];
        wanted[i] = infer->wanted_count > 0
                        ? infer->wanted[i]
                        : (struct dyno_v2_wanted){.is_binary = infer->wants_binary};
        outputs[i] = (struct dyno_v2_tensor){.name = variant->outputs[idx].name,
                                             .dtype = (enum dyno_dtype)array->dtype,
                                             .rank = array->rank,
                                             .data = array->data};
        memcpy(outputs[i].dims, array->dims, sizeof(outputs[i].dims));
        uint64_t elements = 0;
        DYNO_TRY(dyno_v2_size(&outputs[i], &elements, &outputs[i].bytes, err));
    }
    *answer_out = (struct dyno_infer_answer){.model = variant->model,
                                             .version = variant->version,
                                             .variant = variant->name,
                                             .id = infer->id,
                                             .outputs = outputs,
                                             .wanted = wanted,
                                             .output_count = count};
    return DYNO_OK;
}
