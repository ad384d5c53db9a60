/* context.c - runs: bound, queued, executed, completed. */
#include <string.h>

#include "base/clock.h"
#include "base/fp.h"
#include "base/mem.h"
#include "engine/context.h"
#include "engine/gpu.h"
#include "engine/open.h"

#define BINDINGS_MAX 16 /* sets of input shapes a context keeps prepared */
#define KEY_MAX      ((size_t)64 * DYNO_RANK_MAX)

static void run_job(struct dyno_job *job);

static struct dyno_executor *executor_of(const struct dyno_context *context)
{
    return context->pool != NULL ? dyno_pool_executor(context->pool) : context->engine->executor;
}

static enum dyno_status create(struct dyno_engine *engine, struct dyno_pool *pool,
                               struct dyno_context **context_out, struct dyno_err *err)
{
    const struct dyno_plan *plan = engine->plan;
    if (plan->gpu.compute != 0 && engine->gpu == NULL)
        return DYNO_FAIL(err, DYNO_E_TARGET,
                         "the engine is for the GPU '%s' and was opened to be looked at: it does "
                         "not run",
                         plan->gpu.name);
    struct dyno_context *context = dyno_alloc(1, sizeof(*context));
    if (context == NULL)
        return DYNO_NOMEM(err);
    (void)pthread_mutex_init(&context->lock, NULL);
    (void)pthread_cond_init(&context->done_cond, NULL);
    context->engine = engine;
    context->pool = pool;
    context->job.run = run_job;
    context->scratch = dyno_arena_create();
    context->open = dyno_arena_create();
    context->addresses = dyno_alloc(plan->tensor_count + 1U, sizeof(void *));
    context->own_outputs = dyno_alloc(plan->output_count + 1U, sizeof(void *));
    context->own_output_bytes = dyno_alloc(plan->output_count + 1U, sizeof(size_t));
    context->inputs = dyno_alloc(plan->input_count + 1U, sizeof(struct dyno_array));
    context->given = dyno_alloc(plan->output_count + 1U, sizeof(struct dyno_array));
    if (context->scratch == NULL || context->open == NULL || context->addresses == NULL ||
        context->own_outputs == NULL || context->own_output_bytes == NULL ||
        context->inputs == NULL || context->given == NULL) {
        dyno_context_destroy(context);
        return DYNO_NOMEM(err);
    }
    if (engine->gpu != NULL) {
        const enum dyno_status status = dyno_context_gpu_create(engine, &context->gpu, err);
        if (status != DYNO_OK) {
            dyno_context_destroy(context);
            return status;
        }
    }
    *context_out = context;
    return DYNO_OK;
}

enum dyno_status dyno_context_create(struct dyno_engine *engine, struct dyno_pool *pool,
                                     struct dyno_context **context_out, struct dyno_err *err)
{
    struct dyno_mem_account *before = dyno_mem_enter(&engine->account);
    *context_out = NULL;
    const enum dyno_status status = create(engine, pool, context_out, err);
    dyno_mem_leave(before);
    return status;
}

void dyno_context_destroy(struct dyno_context *context)
{
    if (context == NULL)
        return;
    /* Also when nothing is in flight: whoever completed the last run may still hold the lock. */
    const enum dyno_status ignored = dyno_context_wait(context, NULL, NULL);
    (void)ignored;
    while (context->bindings != NULL) {
        struct dyno_binding *next = context->bindings->next;
        dyno_binding_destroy(context->bindings);
        context->bindings = next;
    }
    for (uint32_t i = 0; context->own_outputs != NULL && i < context->engine->plan->output_count;
         i++)
        dyno_engine_free(context->engine, context->own_outputs[i]);
    dyno_context_gpu_destroy(context->gpu);
    dyno_free(context->step_us);
    dyno_free(context->given);
    dyno_free(context->inputs);
    dyno_free(context->own_output_bytes);
    dyno_free(context->own_outputs);
    dyno_free(context->addresses);
    dyno_arena_destroy(context->open);
    dyno_arena_destroy(context->scratch);
    dyno_free(context->arena);
    (void)pthread_cond_destroy(&context->done_cond);
    (void)pthread_mutex_destroy(&context->lock);
    dyno_free(context);
}

/* --- shapes --- */

static enum dyno_status make_key(const struct dyno_plan *plan, const struct dyno_array *inputs,
                                 int64_t *key, size_t *count_out, struct dyno_err *err)
{
    size_t count = 0;
    for (uint32_t i = 0; i < plan->input_count; i++) {
        const struct dyno_io *io = &plan->inputs[i];
        const struct dyno_plan_tensor *tensor = &plan->tensors[io->tensor];
        if (inputs[i].dtype != (int)tensor->dtype)
            return DYNO_FAIL(err, DYNO_E_ARG, "input '%s': is %s, wants %s", io->name,
                             dyno_dtype_text((enum dyno_dtype)inputs[i].dtype),
                             dyno_dtype_text(tensor->dtype));
        if (inputs[i].rank != tensor->rank)
            return DYNO_FAIL(err, DYNO_E_ARG, "input '%s': has %d dimensions, wants %d", io->name,
                             inputs[i].rank, tensor->rank);
        if (count + (size_t)tensor->rank > KEY_MAX)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "too many input dimensions");
        memcpy(key + count, inputs[i].dims, (size_t)tensor->rank * sizeof(*key));
        count += (size_t)tensor->rank;
    }
    *count_out = count;
    return DYNO_OK;
}

static struct dyno_binding *find_binding(struct dyno_context *context, const int64_t *key,
                                         size_t count)
{
    struct dyno_binding **at = &context->bindings;
    for (; *at != NULL; at = &(*at)->next) {
        struct dyno_binding *binding = *at;
        if (binding->key_count == count && memcmp(binding->key, key, count * sizeof(*key)) == 0) {
            *at = binding->next; /* to the front */
            binding->next = context->bindings;
            context->bindings = binding;
            return binding;
        }
    }
    return NULL;
}

static void drop_oldest(struct dyno_context *context)
{
    struct dyno_binding **at = &context->bindings;
    for (int kept = 0; *at != NULL && kept < BINDINGS_MAX - 1; kept++)
        at = &(*at)->next;
    struct dyno_binding *old = *at;
    *at = NULL;
    while (old != NULL) {
        struct dyno_binding *next = old->next;
        if (context->current == old)
            context->current = NULL;
        if (context->bound == old)
            context->bound = NULL;
        dyno_binding_destroy(old);
        old = next;
    }
}

static enum dyno_status bind(struct dyno_context *context, const struct dyno_array *inputs,
                             struct dyno_binding **binding_out, struct dyno_err *err)
{
    int64_t key[KEY_MAX];
    size_t count = 0;
    DYNO_TRY(make_key(context->engine->plan, inputs, key, &count, err));
    struct dyno_binding *binding = find_binding(context, key, count);
    if (binding == NULL) {
        const int threads = context->pool != NULL ? dyno_pool_thread_count(context->pool) : 1;
        DYNO_TRY(
            dyno_binding_create(context->engine, context->gpu, threads, key, count, &binding, err));
        drop_oldest(context);
        binding->next = context->bindings;
        context->bindings = binding;
    }
    *binding_out = context->bound = binding;
    return DYNO_OK;
}

/* Make `binding` the one whose tensors lie in the arena. */
static enum dyno_status place(struct dyno_context *context, struct dyno_binding *binding,
                              struct dyno_err *err)
{
    if (context->arena == NULL || binding->arena_bytes > context->arena_bytes) {
        dyno_free(context->arena);
        context->current = NULL;
        context->arena_bytes = 0;
        context->arena = dyno_alloc_raw(binding->arena_bytes + 1, 1);
        if (context->arena == NULL)
            return DYNO_FAIL(err, DYNO_E_NOMEM, "no room for an arena of %llu bytes",
                             (unsigned long long)binding->arena_bytes);
        context->arena_bytes = binding->arena_bytes;
        for (struct dyno_binding *at = context->bindings; at != NULL; at = at->next)
            dyno_binding_place(at, context->engine->plan, context->arena);
    } else if (context->current != binding) {
        dyno_binding_place(binding, context->engine->plan, context->arena);
    }
    context->current = binding;
    return DYNO_OK;
}
enum dyno_status dyno_context_bind(struct dyno_context *context, const struct dyno_array *inputs,
                                   struct dyno_array *outputs, struct dyno_err *err)
{
    struct dyno_binding *binding = NULL;
    struct dyno_mem_account *before = dyno_mem_enter(&context->engine->account);
    const enum dyno_status status = bind(context, inputs, &binding, err);
    dyno_mem_leave(before);
    if (status != DYNO_OK)
        return status;
    for (uint32_t i = 0; i < context->engine->plan->output_count; i++)
        dyno_binding_describe(binding, context->engine->plan->outputs[i].tensor, &outputs[i]);
    return DYNO_OK;
}

/* --- inputs and outputs --- */

/* An input or output of the caller's that may lie on the GPU: note whether it does. */
static enum dyno_status take_place(struct dyno_context *context, const struct dyno_io *io,
                                   const char *what, const struct dyno_array *array,
                                   struct dyno_err *err)
{
    const struct dyno_engine *engine = context->engine;
    if (array->location != DYNO_IN_HOST && array->location != DYNO_IN_DEVICE)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s '%s': there is no location %d", what, io->name,
                         (int)array->location);
    if (context->gpu != NULL)
        context->gpu->is_there[dyno_plan_root(engine->plan, io->tensor)] =
            array->location == DYNO_IN_DEVICE;
    if (array->location == DYNO_IN_HOST)
        return DYNO_OK;
    if (context->gpu == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "%s '%s': lies in memory of a GPU, and the engine is for the CPU", what,
                         io->name);
    const uint32_t step = engine->schedule.cpu_step[dyno_plan_root(engine->plan, io->tensor)];
    if (step != UINT32_MAX)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "%s '%s': step '%s' touches it on the CPU, so it cannot lie in memory of "
                         "the GPU",
                         what, io->name, engine->plan->steps[step].name);
    return DYNO_OK;
}

static enum dyno_status take_inputs(struct dyno_context *context,
                                    const struct dyno_binding *binding, struct dyno_err *err)
{
    const struct dyno_plan *plan = context->engine->plan;
    for (uint32_t i = 0; i < plan->input_count; i++) {
        const struct dyno_buf *buf = &binding->bufs[plan->inputs[i].tensor];
        uint64_t bytes = 0;
        DYNO_TRY(take_place(context, &plan->inputs[i], "input", &context->inputs[i], err));
        (void)dyno_layout_bytes(buf->layout, buf->dtype, buf->rank, buf->dims, &bytes);
        if (context->inputs[i].bytes < bytes || (bytes != 0 && context->inputs[i].data == NULL))
            return DYNO_FAIL(err, DYNO_E_ARG, "input '%s': holds %zu bytes, its shape wants %llu",
                             plan->inputs[i].name, context->inputs[i].bytes,
                             (unsigned long long)bytes);
        /* Never NULL: kernels add offsets to it, if only 0. */
        context->addresses[plan->inputs[i].tensor] =
            context->inputs[i].data != NULL ? context->inputs[i].data : context;
    }
    return DYNO_OK;
}

static enum dyno_status own_output(struct dyno_context *context, uint32_t idx, size_t bytes,
                                   struct dyno_err *err)
{
    if (context->own_output_bytes[idx] < bytes || context->own_outputs[idx] == NULL) {
        dyno_engine_free(context->engine, context->own_outputs[idx]);
        context->own_output_bytes[idx] = 0;
        context->own_outputs[idx] = NULL;
        const enum dyno_status status =
            dyno_engine_alloc(context->engine, bytes + 1, &context->own_outputs[idx], err);
        if (status != DYNO_OK) {
            dyno_err_prefix(err, "no room for output '%s' of %zu bytes",
                            context->engine->plan->outputs[idx].name, bytes);
            return status;
        }
        context->own_output_bytes[idx] = bytes;
    }
    return DYNO_OK;
}

static enum dyno_status take_outputs(struct dyno_context *context,
                                     const struct dyno_binding *binding, struct dyno_err *err)
{
    const struct dyno_plan *plan = context->engine->plan;
    for (uint32_t i = 0; i < plan->output_count; i++) {
        struct dyno_array *array = &context->outputs[i];
        void *const given = array->data;
        const size_t room = array->bytes;
        context->given[i] = *array;
        DYNO_TRY(take_place(context, &plan->outputs[i], "output", array, err));
        if (array->location == DYNO_IN_DEVICE && given == NULL)
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "output '%s': lies in memory of the GPU, and its address is not given",
                             plan->outputs[i].name);
        dyno_binding_describe(binding, plan->outputs[i].tensor, array);
        if (array->rank < 0 && array->location == DYNO_IN_DEVICE)
            return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                             "output '%s': its shape is known only when it is made, so it cannot "
                             "lie in memory of the GPU",
                             plan->outputs[i].name);
        if (array->rank < 0)
            continue; /* placed when it is made */
        if (given != NULL && room < array->bytes)
            return DYNO_FAIL(err, DYNO_E_ARG, "output '%s': room for %zu bytes, needs %zu",
                             plan->outputs[i].name, room, array->bytes);
        if (given == NULL) {
            DYNO_TRY(own_output(context, i, array->bytes, err));
            array->data = context->own_outputs[i];
        }
        context->addresses[plan->outputs[i].tensor] = array->data;
    }
    return DYNO_OK;
}
/* --- running --- */

static void show_outputs(const struct dyno_context *context, const struct dyno_step *step,
                         const struct dyno_buf *outs)
{
    for (uint32_t i = 0; i < step->out_count; i++) {
        if (step->outs[i] != DYNO_NO_TENSOR)
            context->tap(context->tap_arg, &context->engine->plan->tensors[step->outs[i]],
                         &outs[i]);
    }
}

static enum dyno_status run_step(struct dyno_context *context, struct dyno_binding *binding,
                                 uint32_t idx, struct dyno_err *err)
{
    const struct dyno_step *step = &context->engine->plan->steps[idx];
    struct dyno_bound_step *bound = &binding->steps[idx];
    struct dyno_run_args args = {.step = step,
                                 .ins = bound->ins,
                                 .outs = bound->outs,
                                 .packed = step->packed,
                                 .state = bound->state,
                                 .workspace = (char *)context->arena + bound->workspace_offset,
                                 .pool = context->pool,
                                 .scratch = context->scratch,
                                 .err = err};
    const enum dyno_status status = context->engine->kernels[idx]->run(&args);
    if ((step->tactic.flags & DYNO_TACTIC_REFERENCE) != 0) {
        for (uint32_t i = 0; i < step->out_count; i++)
            context->has_texts = context->has_texts || bound->outs[i].dtype == DYNO_STR;
        if (!context->has_texts)
            dyno_arena_reset(context->scratch);
    }
    if (status != DYNO_OK)
        dyno_err_prefix(err, "step '%s' (%s)", step->name, dyno_ops[step->op]->onnx_name);
    else if (context->tap != NULL)
        show_outputs(context, step, bound->outs);
    return status;
}

/* Steps [first, last) on the CPU. */
static enum dyno_status run_steps(struct dyno_context *context, struct dyno_binding *binding,
                                  uint32_t first, uint32_t last, struct dyno_err *err)
{
    if (context->step_us == NULL) {
        for (uint32_t s = first; s < last; s++)
            DYNO_TRY(run_step(context, binding, s, err));
        return DYNO_OK;
    }
    uint64_t before_ns = dyno_clock_ns();
    for (uint32_t s = first; s < last; s++) {
        DYNO_TRY(run_step(context, binding, s, err));
        const uint64_t after_ns = dyno_clock_ns();
        context->step_us[s] = (float)(after_ns - before_ns) * 1e-3F;
        before_ns = after_ns;
    }
    return DYNO_OK;
}

/* Segment by segment; what only the run tells shapes of comes after all of them, on the CPU. */
static enum dyno_status run_segments(struct dyno_context *context, struct dyno_binding *binding,
                                     struct dyno_err *err)
{
    const struct dyno_schedule *schedule = &context->engine->schedule;
    const struct dyno_gpu_watch watch = {
        .step_us = context->step_us, .tap = context->tap, .tap_arg = context->tap_arg};
    context->gpu->ran = false;
    context->gpu->us = 0.0;
    for (uint32_t i = 0; i < schedule->segment_count; i++) {
        const struct dyno_segment *segment = &schedule->segments[i];
        if (segment->place == DYNO_ON_GPU) {
            DYNO_TRY(dyno_gpu_run(context->gpu, binding, i, &watch, err));
            continue;
        }
        uint32_t last = segment->first_step + segment->step_count;
        last = last < binding->fixed_step_count ? last : binding->fixed_step_count;
        DYNO_TRY(dyno_gpu_bring(context->gpu, binding, i, err));
        DYNO_TRY(run_steps(context, binding, segment->first_step, last, err));
    }
    return DYNO_OK;
}

static enum dyno_status run_open(struct dyno_context *context, struct dyno_binding *binding,
                                 struct dyno_err *err)
{
    const struct dyno_plan *plan = context->engine->plan;
    const struct dyno_open_run run = {.plan = plan,
                                      .binding = binding,
                                      .memory = context->open,
                                      .step_us = context->step_us,
                                      .outputs = context->outputs,
                                      .given = context->given};
    const enum dyno_status status = dyno_open_run(&run, err);
    /* Nothing points at what the next run frees. */
    dyno_binding_place(binding, plan, context->arena);
    return status;
}

static enum dyno_status execute(struct dyno_context *context, struct dyno_err *err)
{
    const struct dyno_plan *plan = context->engine->plan;
    struct dyno_binding *binding = NULL;
    DYNO_TRY(bind(context, context->inputs, &binding, err));
    DYNO_TRY(place(context, binding, err));
    DYNO_TRY(take_inputs(context, binding, err));
    DYNO_TRY(take_outputs(context, binding, err));
    dyno_binding_place_io(binding, plan, context->addresses);
    dyno_arena_reset(context->scratch);
    context->has_texts = false;
    if (context->gpu != NULL)
        DYNO_TRY(run_segments(context, binding, err));
    else
        DYNO_TRY(run_steps(context, binding, 0, binding->fixed_step_count, err));
    if (binding->fixed_step_count < plan->step_count)
        return run_open(context, binding, err);
    return DYNO_OK;
}

/* The completion of whatever way a run ended.  Nothing of the context may be touched after the
 * callback, which may submit again. */
static void complete(struct dyno_context *context, enum dyno_status status)
{
    (void)pthread_mutex_lock(&context->lock);
    context->status = status;
    dyno_run_done_fn *const done = context->done;
    void *const done_arg = context->done_arg;
    const struct dyno_run_times times = context->times;
    const struct dyno_err err = context->err;
    context->state = done != NULL ? RUN_IDLE : RUN_DONE;
    (void)pthread_cond_broadcast(&context->done_cond);
    (void)pthread_mutex_unlock(&context->lock);
    if (done != NULL)
        done(done_arg, status, &times, &err);
}

static void run_now(struct dyno_context *context)
{
    (void)pthread_mutex_lock(&context->lock);
    context->state = RUN_STARTED;
    (void)pthread_mutex_unlock(&context->lock);
    context->times.start_ns = dyno_clock_ns();
    struct dyno_mem_account *before = dyno_mem_enter(&context->engine->account);
    const unsigned fp_control = dyno_fp_flush();
    const enum dyno_status status = execute(context, &context->err);
    dyno_fp_set(fp_control);
    dyno_mem_leave(before);
    context->times.end_ns = dyno_clock_ns();
    complete(context, status);
}

static void run_job(struct dyno_job *job)
{
    run_now((struct dyno_context *)(void *)((char *)job - offsetof(struct dyno_context, job)));
}

static enum dyno_status begin(struct dyno_context *context, const struct dyno_array *inputs,
                              struct dyno_array *outputs, dyno_run_done_fn *done, void *done_arg,
                              struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    (void)pthread_mutex_lock(&context->lock);
    if (context->state == RUN_QUEUED || context->state == RUN_STARTED)
        status = DYNO_FAIL(err, DYNO_E_ARG, "this context has a run in flight already");
    else
        context->state = RUN_QUEUED;
    (void)pthread_mutex_unlock(&context->lock);
    if (status != DYNO_OK)
        return status;
    const uint32_t input_count = context->engine->plan->input_count;
    if (input_count != 0)
        memcpy(context->inputs, inputs, input_count * sizeof(*inputs));
    context->outputs = outputs;
    context->done = done;
    context->done_arg = done_arg;
    context->err = (struct dyno_err){0};
    context->times = (struct dyno_run_times){.submit_ns = dyno_clock_ns()};
    return DYNO_OK;
}

enum dyno_status dyno_context_submit(struct dyno_context *context, const struct dyno_array *inputs,
                                     struct dyno_array *outputs, dyno_run_done_fn *done,
                                     void *done_arg, struct dyno_err *err)
{
    DYNO_TRY(begin(context, inputs, outputs, done, done_arg, err));
    const enum dyno_status status = dyno_executor_queue(executor_of(context), &context->job, err);
    if (status != DYNO_OK) {
        (void)pthread_mutex_lock(&context->lock);
        context->state = RUN_IDLE;
        (void)pthread_mutex_unlock(&context->lock);
    }
    return status;
}

int dyno_context_poll(struct dyno_context *context)
{
    (void)pthread_mutex_lock(&context->lock);
    const int idle = context->state == RUN_IDLE || context->state == RUN_DONE;
    (void)pthread_mutex_unlock(&context->lock);
    return idle;
}

enum dyno_status dyno_context_wait(struct dyno_context *context, struct dyno_run_times *times_out,
                                   struct dyno_err *err)
{
    if (dyno_executor_take_back(executor_of(context), &context->job))
        run_now(context);
    (void)pthread_mutex_lock(&context->lock);
    while (context->state == RUN_QUEUED || context->state == RUN_STARTED)
        (void)pthread_cond_wait(&context->done_cond, &context->lock);
    context->state = RUN_IDLE;
    const enum dyno_status status = context->status;
    if (times_out != NULL)
        *times_out = context->times;
    if (err != NULL && err->status == DYNO_OK)
        *err = context->err;
    (void)pthread_mutex_unlock(&context->lock);
    return status;
}

enum dyno_status dyno_context_run(struct dyno_context *context, const struct dyno_array *inputs,
                                  struct dyno_array *outputs, struct dyno_err *err)
{
    DYNO_TRY(begin(context, inputs, outputs, NULL, NULL, err));
    run_now(context); /* what wait would do, without the queue between */
    return dyno_context_wait(context, NULL, err);
}

enum dyno_status dyno_context_run_in_turn(struct dyno_context *context, struct dyno_turns *turns,
                                          uint64_t number, const struct dyno_array *inputs,
                                          struct dyno_array *outputs, struct dyno_err *err)
{
    if (context->gpu == NULL) {
        dyno_turns_pass(turns, number);
        return dyno_context_run(context, inputs, outputs, err);
    }
    context->gpu->turns = turns;
    context->gpu->turn = number;
    const enum dyno_status status = dyno_context_run(context, inputs, outputs, err);
    /* It failed before its last kernels, or has none. */
    const enum dyno_status ended = dyno_gpu_end_turn(context->gpu, status == DYNO_OK ? err : NULL);
    return status != DYNO_OK ? status : ended;
}

int dyno_context_cancel(struct dyno_context *context)
{
    if (!dyno_executor_take_back(executor_of(context), &context->job))
        return 0;
    const enum dyno_status status =
        DYNO_FAIL(&context->err, DYNO_E_CANCELLED, "cancelled before it started");
    complete(context, status);
    return 1;
}
