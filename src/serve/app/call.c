/* call.c - an inference from its decoded request to its result. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/app/http.h"
#include "serve/app/metering.h"
#include "serve/app/rpc.h"
#include "serve/app/spending.h"
#include "serve/app/usage.h"
#include "serve/sched/router.h"

#define SPARE_MAX 256
#define WAITS_MAX 4 /* of one request: what was loaded for it may be evicted before it runs */

/* Memory of a call beside its arena; its data follow. */
struct dyno_block {
    _Alignas(64) struct dyno_block *next;
};

static void *take_memory(struct dyno_v2_memory *memory, size_t bytes)
{
    struct dyno_call *call =
        (struct dyno_call *)(void *)((char *)memory - offsetof(struct dyno_call, memory));
    size_t total = 0;
    if (__builtin_add_overflow(bytes, sizeof(struct dyno_block), &total))
        return NULL;
    struct dyno_block *block = dyno_budget_alloc(&call->io->server->budget, total);
    if (block == NULL)
        return NULL;
    block->next = call->blocks;
    call->blocks = block;
    return block + 1;
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

void dyno_call_release(struct dyno_call *call)
{
    if (call->task.variant == NULL)
        return;
    dyno_task_fini(&call->task);
    dyno_variant_unref(call->task.variant);
    call->task.variant = NULL;
}

void dyno_call_destroy(struct dyno_call *call)
{
    struct dyno_io *io = call->io;
    dyno_call_settle(call);
    dyno_quota_release(&call->reservation);
    if (call->guest != NULL) {
        dyno_guest_end(call->guest, call->task.device_ns);
        dyno_guest_unref(call->guest);
        call->guest = NULL;
    }
    dyno_call_release(call);
    if (call->seg != NULL)
        dyno_seg_destroy(dyno_loop_slab(io->loop), call->seg);
    call->seg = NULL;
    call->kept_model = call->kept_version = call->kept_variant = NULL;
    while (call->blocks != NULL) {
        struct dyno_block *next = call->blocks->next;
        dyno_budget_free(&io->server->budget, call->blocks);
        call->blocks = next;
    }
    dyno_call_let_go(call);
    dyno_body_fini(&call->body);
    call->task.deadline_ns = call->task.retry_ns = call->task.device_ns = 0;
    atomic_store_explicit(&call->task.is_cancelled, false, memory_order_relaxed);
    call->task.err.status = DYNO_OK;
    call->task.err.text[0] = 0;
    call->err.status = DYNO_OK;
    call->err.text[0] = 0;
    call->status = DYNO_OK;
    call->infer = (struct dyno_infer){0};
    call->visit = NULL;
    call->rpc = NULL;
    call->is_done = call->was_submitted = false;
    call->tally = NULL;
    call->came_ns = 0;
    call->limit_policy = call->limit = NULL;
    call->wait = (struct dyno_wait){0};
    call->wait_count = 0;
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

static enum dyno_fail_reason fail_reason(enum dyno_status status)
{
    switch (status) {
    case DYNO_E_BUSY:
    case DYNO_E_QUOTA:
        return DYNO_FAIL_REJECTED;
    case DYNO_E_CANCELLED:
        return DYNO_FAIL_CANCELED;
    case DYNO_E_ARG:
    case DYNO_E_FORMAT:
    case DYNO_E_LIMIT:
    case DYNO_E_NOT_FOUND:
    case DYNO_E_UNSUPPORTED:
    case DYNO_E_UNKNOWN_CALLER:
    case DYNO_E_DENIED:
    case DYNO_E_EXISTS:
        return DYNO_FAIL_OTHER;
    case DYNO_OK:
    case DYNO_E_NOMEM:
    case DYNO_E_IO:
    case DYNO_E_CORRUPT:
    case DYNO_E_TARGET:
    case DYNO_E_MISMATCH:
        break;
    }
    return DYNO_FAIL_BACKEND;
}

static void count(struct dyno_call *call)
{
    struct dyno_tally *tally = call->tally;
    const struct dyno_task *task = &call->task;
    const uint64_t now_ns = dyno_clock_ns();
    struct timespec now;
    if (tally == NULL)
        return;
    if (call->status != DYNO_OK) {
        dyno_tally_add(&tally->fail_count[fail_reason(call->status)], 1);
        dyno_tally_add(&tally->fail_ns, now_ns - call->start_ns);
        return;
    }
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    dyno_tally_add(&tally->success_count, 1);
    dyno_tally_add(&tally->success_ns, now_ns - call->start_ns);
    dyno_tally_add(&tally->queue_ns, task->start_ns - task->queue_ns);
    dyno_tally_add(&tally->input_ns, task->queue_ns - call->start_ns);
    dyno_tally_add(&tally->infer_ns, task->end_ns - task->start_ns);
    dyno_tally_add(&tally->output_ns, now_ns - task->end_ns);
    dyno_tally_add(&tally->inference_count, (uint64_t)task->rows);
    dyno_tally_add(&tally->device_ns, task->device_ns);
    dyno_histogram_add(&tally->request, now_ns - call->start_ns);
    dyno_histogram_add(&tally->queue, task->start_ns - task->queue_ns);
    dyno_histogram_add(&tally->compute, task->end_ns - task->start_ns);
    atomic_store_explicit(&tally->last_ms,
                          (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000,
                          memory_order_relaxed);
}

static void finish(struct dyno_call *call)
{
    count(call);
    if (call->visit != NULL)
        dyno_call_answer_http(call);
    else
        dyno_call_answer_grpc(call);
}

static void deliver(struct dyno_mail *mail)
{
    finish((struct dyno_call *)(void *)((char *)mail - offsetof(struct dyno_call, mail)));
}

static void to_its_thread(struct dyno_call *call)
{
    if (dyno_io_here == call->io) {
        finish(call);
        return;
    }
    call->mail.deliver = deliver;
    dyno_loop_post(call->io->loop, &call->mail);
}

static void deliver_held(struct dyno_mail *mail)
{
    struct dyno_call *call =
        (struct dyno_call *)(void *)((char *)mail - offsetof(struct dyno_call, mail));
    dyno_call_record_held(call, deliver);
}

static void on_done(struct dyno_task *task)
{
    struct dyno_call *call = (struct dyno_call *)(void *)task; /* its first member */
    call->status = task->status;
    if (!dyno_call_is_held(call)) {
        if (!dyno_call_record(call, deliver))
            to_its_thread(call);
        return;
    }
    if (dyno_io_here == call->io) {
        dyno_call_record_held(call, deliver);
        return;
    }
    call->mail.deliver = deliver_held;
    dyno_loop_post(call->io->loop, &call->mail);
}

/* --- waiting for a variant to be loaded --- */

static void end_early(struct dyno_call *call)
{
    call->task.queue_ns = call->task.start_ns = call->task.end_ns = dyno_clock_ns();
    finish(call);
}

/* On the call's own thread: what it waited for is there, or will not be. */
static void deliver_wait(struct dyno_mail *mail)
{
    struct dyno_call *call =
        (struct dyno_call *)(void *)((char *)mail - offsetof(struct dyno_call, mail));
    struct dyno_variant *came = call->wait.variant;
    dyno_loop_disarm(call->io->loop, &call->wait_timer);
    call->wait.variant = NULL;
    call->is_waiting = false;
    call->wait.is_again = true;
    call->task.retry_ns = call->wait.retry_ns;
    call->status = call->wait.status;
    if (call->status == DYNO_OK)
        call->resume(call); /* and perhaps gone */
    else
        end_early(call);
    if (came != NULL)
        dyno_variant_unref(came);
}

static void on_wait_done(struct dyno_wait *wait)
{
    struct dyno_call *call =
        (struct dyno_call *)(void *)((char *)wait - offsetof(struct dyno_call, wait));
    call->mail.deliver = deliver_wait;
    dyno_loop_post(call->io->loop, &call->mail);
}

/* It ends, unless what it waits for has just come. */
static void stop_waiting(struct dyno_call *call, enum dyno_status status, const char *why)
{
    if (!call->is_waiting || !dyno_catalog_unwait(call->io->server->catalog, &call->wait))
        return;
    call->wait.status = DYNO_FAIL(&call->err, status, "%s", why);
    on_wait_done(&call->wait);
}

static void on_wait_timer(struct dyno_timer *timer)
{
    struct dyno_call *call =
        (struct dyno_call *)(void *)((char *)timer - offsetof(struct dyno_call, wait_timer));
    stop_waiting(call, DYNO_E_BUSY, "Request timeout expired");
}

void dyno_call_cancel(struct dyno_call *call)
{
    dyno_sched_cancel(call->io->server->sched, &call->task);
    stop_waiting(call, DYNO_E_CANCELLED, "the request was cancelled");
}

/* What it may wait by; NULL: it has waited often enough. */
static struct dyno_wait *wait_of(struct dyno_call *call)
{
    call->wait.done = on_wait_done;
    call->wait.err = &call->err;
    call->wait.retry_ns = 0;
    return call->wait_count < WAITS_MAX ? &call->wait : NULL;
}

/* It waits, and its deadline with it. */
static void begin_waiting(struct dyno_call *call, void (*resume)(struct dyno_call *call))
{
    call->resume = resume;
    call->is_waiting = true;
    call->wait_count++;
    call->wait_timer.fire = on_wait_timer;
    if (call->task.deadline_ns != 0 &&
        !dyno_loop_arm(call->io->loop, &call->wait_timer, call->task.deadline_ns))
        stop_waiting(call, DYNO_E_NOMEM, "out of memory");
}

enum dyno_status dyno_call_find(struct dyno_call *call, void (*resume)(struct dyno_call *call),
                                struct dyno_variant **variant_out)
{
    DYNO_TRY(dyno_catalog_choose(call->io->server->catalog, call->infer.model, call->infer.version,
                                 dyno_choose_first, NULL, wait_of(call), variant_out, &call->err));
    if (*variant_out == NULL)
        begin_waiting(call, resume);
    return DYNO_OK;
}

/* --- class, variant, inputs --- */

static const char *header(const struct dyno_call *call, const char *name)
{
    return call->visit != NULL ? dyno_http_header(&call->visit->request, name)
                               : dyno_grpc_header(&call->rpc->grpc, name);
}

/* A parameter of the request that must be a text; NULL: it is not there. */
static enum dyno_status text_param(struct dyno_call *call, const char *name, const char **text_out)
{
    const struct dyno_v2_param *param = dyno_v2_param_find(call->infer.params, name);
    *text_out = NULL;
    if (param == NULL)
        return DYNO_OK;
    if (param->kind != DYNO_V2_PARAM_TEXT)
        return DYNO_FAIL(&call->err, DYNO_E_ARG, "parameter '%s' must be a string", name);
    *text_out = param->text;
    return DYNO_OK;
}

/* The best class that the caller may use: any, where nobody is asked.  One that this server does
 * not have counts as what others get who ask for none. */
static int best_class(const struct dyno_call *call)
{
    const struct dyno_classes *classes = &call->io->server->classes;
    const char *name = call->guest->class_name;
    const int found = name[0] != 0 ? dyno_class_find(classes, name) : 0;
    return found >= 0 ? found : classes->fallback;
}

static enum dyno_status choose_class(struct dyno_call *call)
{
    struct dyno_class_wish wish = {.priority = call->infer.priority};
    DYNO_TRY(text_param(call, "sla", &wish.sla));
    if (wish.sla == NULL)
        wish.sla = header(call, "sla");
    return dyno_class_choose(&call->io->server->classes, best_class(call), &wish,
                             &call->task.class_idx, &call->err);
}

static void narrow(uint64_t *deadline_ns, uint64_t ns)
{
    if (*deadline_ns == 0 || ns < *deadline_ns)
        *deadline_ns = ns;
}

/* The class's, the request's own, gRPC's: the earliest. */
static void set_deadline(struct dyno_call *call)
{
    const struct dyno_class *row = &call->io->server->classes.rows[call->task.class_idx];
    uint64_t deadline_ns = 0;
    if (row->deadline_ns != 0)
        narrow(&deadline_ns, call->start_ns + row->deadline_ns);
    if (call->infer.timeout_us != 0 && call->infer.timeout_us < UINT64_MAX / 2000)
        narrow(&deadline_ns, call->start_ns + call->infer.timeout_us * 1000);
    if (call->rpc != NULL && call->rpc->grpc.deadline_ns != 0)
        narrow(&deadline_ns, call->rpc->grpc.deadline_ns);
    call->task.deadline_ns = deadline_ns;
}

static enum dyno_status choose_variant(struct dyno_call *call)
{
    const struct dyno_infer *infer = &call->infer;
    struct dyno_array arrays[DYNO_V2_TENSORS_MAX];
    struct dyno_route_ask ask = {
        .sched = call->io->server->sched,
        .row = &call->io->server->classes.rows[call->task.class_idx],
        .class_idx = call->task.class_idx,
        .tenant = call->task.tenant,
        .deadline_ns = call->task.deadline_ns,
        .infer = infer,
        .arrays = arrays,
    };
    DYNO_TRY(text_param(call, "variant", &ask.variant));
    const enum dyno_status status = dyno_catalog_choose(
        call->io->server->catalog, infer->model, infer->version, dyno_router_choose, &ask,
        wait_of(call), &call->task.variant, &call->err);
    if (status == DYNO_OK)
        return DYNO_OK; /* or it waits, and what it waits by is others' */
    call->task.retry_ns = call->wait.retry_ns;
    if (ask.is_unnamed || ask.is_too_coarse)
        call->err = (struct dyno_err){0};
    if (ask.is_unnamed)
        return DYNO_FAIL(&call->err, DYNO_E_NOT_FOUND, "model '%.128s' has no variant '%.128s'",
                         infer->model, ask.variant);
    if (ask.is_too_coarse)
        return DYNO_FAIL(&call->err, DYNO_E_BUSY,
                         "no variant of model '%.128s' that is loaded has the accuracy of service "
                         "class '%s', %g",
                         infer->model, ask.row->name, ask.row->accuracy);
    return status;
}

/* The variant is found. */
static enum dyno_status prepare_task(struct dyno_call *call)
{
    struct dyno_task *task = &call->task;
    struct dyno_variant *variant = task->variant;
    call->tally = dyno_variant_tally(variant, call->io->idx, task->class_idx);
    if (call->tally != NULL)
        dyno_tally_add(&call->tally->begun_count, 1);
    task->inputs = dyno_arena_alloc(call->arena, variant->input_count + 1, sizeof(*task->inputs));
    task->outputs =
        dyno_arena_alloc(call->arena, variant->output_count + 1, sizeof(*task->outputs));
    if (task->inputs == NULL || task->outputs == NULL)
        return DYNO_NOMEM(&call->err);
    DYNO_TRY(dyno_call_take_tensors(call, &call->err));
    DYNO_TRY(dyno_variant_arrange(variant, &call->infer, task->inputs, &call->err));
    return dyno_call_reserve(call);
}

static enum dyno_status prepare(struct dyno_call *call)
{
    call->task.tenant = call->guest->tenant;
    DYNO_TRY(dyno_call_may_run(call));
    DYNO_TRY(choose_class(call));
    DYNO_TRY(dyno_call_may_spend(call));
    set_deadline(call);
    DYNO_TRY(choose_variant(call));
    return call->task.variant != NULL ? prepare_task(call) : DYNO_OK;
}

void dyno_call_run(struct dyno_call *call)
{
    call->status = prepare(call);
    if (call->status != DYNO_OK) {
        end_early(call);
        return;
    }
    if (call->task.variant == NULL) {
        begin_waiting(call, dyno_call_run);
        return;
    }
    call->task.done = on_done;
    call->was_submitted = true;
    dyno_sched_submit(call->io->server->sched, &call->task);
}

/* --- results --- */

const char *dyno_call_error(const struct dyno_call *call)
{
    const char *text = call->err.text[0] != 0        ? call->err.text
                       : call->task.err.text[0] != 0 ? call->task.err.text
                                                     : dyno_status_text(call->status);
    dyno_log(DYNO_LOG_DEBUG, "an inference of model '%.128s' failed: %s", call->infer.model, text);
    return text;
}

/* The id of its record, where there is one. */
static const char *record_of(struct dyno_call *call)
{
    char *text = NULL;
    const struct dyno_record_id id =
        call->usage != NULL ? call->usage->entry.record.id : call->entry.record.id;
    if ((call->usage != NULL || call->has_entry) && id.seq != 0)
        text = dyno_arena_alloc(call->arena, DYNO_RECORD_TEXT_ROOM, 1);
    return text != NULL ? dyno_record_id_text(id, text) : NULL;
}

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
        if (infer->wanted_count > 0)
            DYNO_TRY(dyno_call_give_tensor(call, i, &outputs[i], err));
    }
    *answer_out = (struct dyno_infer_answer){.model = variant->model,
                                             .version = variant->version,
                                             .variant = variant->name,
                                             .record = record_of(call),
                                             .id = infer->id,
                                             .outputs = outputs,
                                             .wanted = wanted,
                                             .output_count = count};
    return DYNO_OK;
}
