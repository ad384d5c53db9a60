/* gpu.c - streams, bindings, graphs. */
#include <string.h>

#include "backend/cuda/libraries.h"
#include "backend/cuda/program.h"
#include "base/mem.h"
#include "engine/binding.h"
#include "engine/gpu_account.h"
#include "engine/gpu_capture.h"

/* --- contexts --- */

static enum dyno_status make_stream(struct dyno_context_gpu *gpu, struct dyno_err *err)
{
    const struct dyno_cuda *cuda = gpu->engine->gpu->cuda;
    const struct dyno_cu *cu = cuda->cu;
    DYNO_TRY(dyno_cuda_enter(cuda, err));
    int code = cu->stream_create(&gpu->stream, DYNO_CU_STREAM_NON_BLOCKING);
    if (code == DYNO_CU_OK)
        code = cu->event_create(&gpu->start, 0);
    if (code == DYNO_CU_OK)
        code = cu->event_create(&gpu->end, 0);
    DYNO_TRY(dyno_cu_check(cu, code, "to make a stream", err));
    if (gpu->engine->gpu->has_libraries) {
        gpu->libraries = dyno_cuda_libraries_create(cuda, gpu->stream);
        if (gpu->libraries == NULL)
            return DYNO_NOMEM(err);
    }
    return DYNO_OK;
}

enum dyno_status dyno_context_gpu_create(const struct dyno_engine *engine,
                                         struct dyno_context_gpu **gpu_out, struct dyno_err *err)
{
    struct dyno_context_gpu *gpu = dyno_alloc(1, sizeof(*gpu));
    *gpu_out = NULL;
    if (gpu == NULL)
        return DYNO_NOMEM(err);
    gpu->engine = engine;
    gpu->is_there = dyno_alloc(engine->plan->tensor_count + 1U, sizeof(*gpu->is_there));
    const enum dyno_status status = gpu->is_there != NULL ? make_stream(gpu, err) : DYNO_NOMEM(err);
    if (status == DYNO_OK)
        *gpu_out = gpu;
    else
        dyno_context_gpu_destroy(gpu);
    return status;
}

void dyno_context_gpu_destroy(struct dyno_context_gpu *gpu)
{
    if (gpu == NULL)
        return;
    const struct dyno_cuda *cuda = gpu->engine->gpu->cuda;
    dyno_gpu_leave(cuda);
    dyno_cuda_libraries_destroy(gpu->libraries);
    if (gpu->start != NULL)
        (void)cuda->cu->event_destroy(gpu->start);
    if (gpu->end != NULL)
        (void)cuda->cu->event_destroy(gpu->end);
    if (gpu->arena != 0) { /* a run that failed may have left work that is not done */
        (void)cuda->cu->stream_wait(gpu->stream);
        dyno_cuda_free(cuda, gpu->arena);
        dyno_cuda_pool_trim(cuda);
    }
    if (gpu->stream != NULL)
        (void)cuda->cu->stream_destroy(gpu->stream);
    dyno_gpu_let_go(gpu->engine, gpu->arena_bytes);
    dyno_free(gpu->is_there);
    dyno_free(gpu);
}

/* --- bindings --- */

enum dyno_status dyno_gpu_check_program(const struct dyno_engine *engine,
                                        const struct dyno_kernel *kernel,
                                        const struct dyno_site *site, struct dyno_err *err)
{
    if (!dyno_kernel_has_program(kernel, &site->step->tactic))
        return DYNO_OK;
    const struct dyno_program *program = &engine->plan->programs[site->step->program - 1];
    struct dyno_strbuf choices = {0};
    const char *source = "";
    enum dyno_status status =
        dyno_cuda_program_choices(kernel, site, &site->step->tactic, &source, &choices, err);
    if (status == DYNO_OK && (strcmp(source, program->source) != 0 ||
                              strcmp(dyno_strbuf_text(&choices), program->choices) != 0))
        status = DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                           "its program in the engine is not the one of kernel %s here, for these "
                           "shapes: tune for them, or rebuild the engine with this version",
                           kernel->name);
    dyno_strbuf_fini(&choices);
    return status;
}

static void drop_graphs(struct dyno_binding *binding)
{
    const struct dyno_engine *engine = binding->engine;
    for (uint32_t i = 0; binding->graphs != NULL && i < engine->schedule.segment_count; i++) {
        if (binding->graphs[i] == NULL)
            continue;
        (void)engine->gpu->cuda->cu->graph_exec_destroy(binding->graphs[i]);
        dyno_gpu_let_go(engine, dyno_gpu_graph_bytes(&engine->schedule.segments[i]));
        binding->graphs[i] = NULL;
    }
}

void dyno_gpu_binding_fini(struct dyno_binding *binding)
{
    if (binding->graphs == NULL)
        return;
    dyno_gpu_leave(binding->engine->gpu->cuda);
    drop_graphs(binding);
}

static void place_buffers(struct dyno_binding *binding, const struct dyno_engine *engine,
                          uint64_t arena)
{
    const struct dyno_plan *plan = engine->plan;
    for (uint32_t i = 0; i < binding->gpu_patch_count; i++) {
        const struct dyno_patch *patch = &binding->gpu_patches[i];
        const uint32_t root = dyno_plan_root(plan, patch->tensor);
        const enum dyno_role role = plan->tensors[root].role;
        uint64_t address = arena + binding->gpu_offsets[root];
        if (root != patch->tensor)
            address += binding->offsets[patch->tensor];
        if (role == DYNO_ROLE_WEIGHT || role == DYNO_ROLE_HOST)
            address = engine->gpu->weights[patch->tensor];
        patch->buf->data = (void *)(uintptr_t)address;
    }
}

/* The arena large enough, and the binding's buffers in it.  An arena and the graphs that hold its
 * addresses are of this stream alone, which has nothing to do between runs: once it is done, the
 * arena can go, whatever other streams run. */
static enum dyno_status place(struct dyno_context_gpu *gpu, struct dyno_binding *binding,
                              struct dyno_err *err)
{
    const struct dyno_cuda *cuda = gpu->engine->gpu->cuda;
    if (gpu->arena == 0 || binding->gpu_bytes > gpu->arena_bytes) {
        DYNO_TRY(dyno_cu_check(cuda->cu, cuda->cu->stream_wait(gpu->stream), "to finish", err));
        dyno_cuda_free(cuda, gpu->arena);
        dyno_gpu_let_go(gpu->engine, gpu->arena_bytes);
        gpu->arena = gpu->arena_bytes = 0;
        DYNO_TRY(dyno_cuda_pool_alloc(cuda, gpu->stream, binding->gpu_bytes, &gpu->arena, err));
        gpu->arena_bytes = binding->gpu_bytes;
        dyno_gpu_hold(gpu->engine, gpu->arena_bytes);
        gpu->generation++;
    }
    if (binding->gpu_generation != gpu->generation) {
        drop_graphs(binding);
        place_buffers(binding, gpu->engine, gpu->arena);
        binding->gpu_generation = gpu->generation;
    }
    return DYNO_OK;
}

/* --- moves --- */

uint64_t dyno_gpu_tensor_address(const struct dyno_context_gpu *gpu,
                                 const struct dyno_binding *binding, uint32_t id)
{
    const struct dyno_plan_tensor *tensor = &gpu->engine->plan->tensors[id];
    uint64_t at = gpu->arena;
    if (tensor->base != DYNO_NO_TENSOR)
        at += binding->gpu_offsets[tensor->base] + binding->offsets[id];
    else
        at += binding->gpu_offsets[id];
    return at;
}

static enum dyno_status move(struct dyno_context_gpu *gpu, const struct dyno_binding *binding,
                             uint32_t id, enum dyno_place to, struct dyno_err *err)
{
    const struct dyno_cu *cu = gpu->engine->gpu->cuda->cu;
    const struct dyno_buf *buf = &binding->bufs[id];
    const uint64_t address = dyno_gpu_tensor_address(gpu, binding, id);
    uint64_t bytes = 0;
    if (buf->rank < 0 ||
        !dyno_layout_bytes(buf->layout, buf->dtype, buf->rank, buf->dims, &bytes) || bytes == 0)
        return DYNO_OK;
    const uint64_t there = (uint64_t)(uintptr_t)buf->data;
    int code = DYNO_CU_OK;
    if (gpu->is_there[dyno_plan_root(gpu->engine->plan, id)])
        code = to == DYNO_ON_GPU ? cu->copy_within(address, there, (size_t)bytes, gpu->stream)
                                 : cu->copy_within(there, address, (size_t)bytes, gpu->stream);
    else if (to == DYNO_ON_GPU)
        code = cu->copy_in(address, buf->data, (size_t)bytes, gpu->stream);
    else
        code = cu->copy_out(buf->data, address, (size_t)bytes, gpu->stream);
    const enum dyno_status status = dyno_cu_check(cu, code, "to copy a tensor", err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "tensor '%s'", gpu->engine->plan->tensors[id].name);
    return status;
}

/* An input on its way to the GPU, or an output, or what was written as a part of it, on its way to
 * the caller: after the last step. */
static bool is_io(const struct dyno_plan *plan, const struct dyno_segment *segment, uint32_t id)
{
    const enum dyno_role role = plan->tensors[dyno_plan_root(plan, id)].role;
    return segment->place == DYNO_ON_GPU ? role == DYNO_ROLE_INPUT
                                         : role == DYNO_ROLE_OUTPUT && segment->step_count == 0;
}

static enum dyno_status run_moves(struct dyno_context_gpu *gpu, const struct dyno_binding *binding,
                                  const struct dyno_segment *segment, struct dyno_err *err)
{
    for (uint32_t i = 0; i < segment->move_count; i++) {
        if (!gpu->keeps_io || !is_io(gpu->engine->plan, segment, segment->moves[i]))
            DYNO_TRY(move(gpu, binding, segment->moves[i], segment->place, err));
    }
    return DYNO_OK;
}

/* --- steps --- */

/* A kernel's error is told by whatever call comes after it: it belongs to one of these steps.  Run
 * one by one, as profiles are and layers are compared, the step itself is named. */
static enum dyno_status blame(const struct dyno_context_gpu *gpu, uint32_t first, uint32_t last,
                              enum dyno_status status, struct dyno_err *err)
{
    const struct dyno_step *a = &gpu->engine->plan->steps[first];
    const struct dyno_step *b = &gpu->engine->plan->steps[last];
    if (status == DYNO_OK)
        return DYNO_OK;
    if (first == last)
        dyno_err_prefix(err, "step '%s' (%s)", a->name, dyno_ops[a->op]->onnx_name);
    else
        dyno_err_prefix(err, "one of the steps from '%s' (%s) to '%s' (%s)", a->name,
                        dyno_ops[a->op]->onnx_name, b->name, dyno_ops[b->op]->onnx_name);
    return status;
}

static enum dyno_status blame_segment(const struct dyno_context_gpu *gpu, uint32_t idx,
                                      enum dyno_status status, struct dyno_err *err)
{
    const struct dyno_segment *segment = &gpu->engine->schedule.segments[idx];
    if (segment->place != DYNO_ON_GPU || segment->step_count == 0)
        return status;
    return blame(gpu, segment->first_step, segment->first_step + segment->step_count - 1, status,
                 err);
}

/* Where the GPU is broken after a step's call failed, one before it may have broken it. */
static enum dyno_status run_steps(struct dyno_context_gpu *gpu, struct dyno_binding *binding,
                                  const struct dyno_segment *segment, struct dyno_err *err)
{
    const struct dyno_cu *cu = gpu->engine->gpu->cuda->cu;
    for (uint32_t i = 0; i < segment->step_count; i++) {
        const uint32_t idx = segment->first_step + i;
        const enum dyno_status status = dyno_gpu_run_step(gpu, binding, idx, err);
        if (status != DYNO_OK && i > 0 && cu->stream_wait(gpu->stream) != DYNO_CU_OK)
            return blame(gpu, segment->first_step, idx, status, err);
        DYNO_TRY(status);
    }
    return DYNO_OK;
}

/* Never of the unoptimised execution, which launches one after the other, as frameworks do.  A
 * library loads its own programs when they first run, which a capture may not meet: a segment that
 * calls one runs step by step once. */
static bool is_to_be_captured(const struct dyno_context_gpu *gpu, struct dyno_binding *binding,
                              uint32_t segment_idx)
{
    const struct dyno_segment *segment = &gpu->engine->schedule.segments[segment_idx];
    bool calls = false;
    for (uint32_t i = 0; i < segment->step_count; i++)
        calls = calls || gpu->engine->kernels[segment->first_step + i]->library != 0;
    const bool has_run = binding->has_run[segment_idx];
    binding->has_run[segment_idx] = true;
    return (has_run || !calls) && (gpu->engine->plan->flags & DYNO_PLAN_BASELINE) == 0;
}

/* --- one by one --- */

static enum dyno_status run_watched(struct dyno_context_gpu *gpu, struct dyno_binding *binding,
                                    uint32_t idx, const struct dyno_gpu_watch *watch,
                                    struct dyno_err *err)
{
    const struct dyno_cu *cu = gpu->engine->gpu->cuda->cu;
    const struct dyno_step *step = &gpu->engine->plan->steps[idx];
    float ms = 0.0F;
    int code = cu->event_record(gpu->start, gpu->stream);
    DYNO_TRY(dyno_gpu_run_step(gpu, binding, idx, err));
    if (code == DYNO_CU_OK)
        code = cu->event_record(gpu->end, gpu->stream);
    if (code == DYNO_CU_OK)
        code = cu->event_wait(gpu->end);
    if (code == DYNO_CU_OK)
        code = cu->event_elapsed(&ms, gpu->start, gpu->end);
    DYNO_TRY(blame(gpu, idx, idx, dyno_cu_check(cu, code, "to run", err), err));
    if (watch->step_us != NULL)
        watch->step_us[idx] = ms * 1e3F;
    for (uint32_t i = 0; watch->tap != NULL && i < step->out_count; i++) {
        if (step->outs[i] != DYNO_NO_TENSOR)
            DYNO_TRY(dyno_gpu_show(gpu, binding, step->outs[i], watch, err));
    }
    return DYNO_OK;
}

/* --- turns --- */

/* From its first kernels to its last, with whatever the CPU does between. */
static enum dyno_status take_turn(struct dyno_context_gpu *gpu, struct dyno_err *err)
{
    if (gpu->turns == NULL || gpu->has_turn)
        return DYNO_OK;
    gpu->has_turn = true;
    return dyno_turns_take(gpu->turns, gpu->turn, gpu->stream, err);
}

static enum dyno_status end_turn(struct dyno_context_gpu *gpu, uint32_t segment_idx,
                                 struct dyno_err *err)
{
    const struct dyno_schedule *schedule = &gpu->engine->schedule;
    if (gpu->turns == NULL)
        return DYNO_OK;
    for (uint32_t i = segment_idx + 1; i < schedule->segment_count; i++)
        if (schedule->segments[i].place == DYNO_ON_GPU)
            return DYNO_OK;
    return dyno_gpu_end_turn(gpu, err);
}

enum dyno_status dyno_gpu_end_turn(struct dyno_context_gpu *gpu, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    if (gpu->turns == NULL)
        return DYNO_OK;
    if (gpu->has_turn) {
        status = dyno_turns_mark(gpu->turns, gpu->stream, err);
        dyno_turns_end(gpu->turns);
    } else {
        dyno_turns_pass(gpu->turns, gpu->turn);
    }
    gpu->turns = NULL;
    gpu->has_turn = false;
    return status;
}

enum dyno_status dyno_gpu_run(struct dyno_context_gpu *gpu, struct dyno_binding *binding,
                              uint32_t segment_idx, const struct dyno_gpu_watch *watch,
                              struct dyno_err *err)
{
    const struct dyno_cu *cu = gpu->engine->gpu->cuda->cu;
    const struct dyno_segment *segment = &gpu->engine->schedule.segments[segment_idx];
    DYNO_TRY(dyno_cuda_enter(gpu->engine->gpu->cuda, err));
    DYNO_TRY(place(gpu, binding, err));
    DYNO_TRY(run_moves(gpu, binding, segment, err));
    gpu->ran = true;
    gpu->ran_segment = segment_idx;
    if (watch->step_us != NULL || watch->tap != NULL) {
        for (uint32_t i = 0; i < segment->step_count; i++)
            DYNO_TRY(run_watched(gpu, binding, segment->first_step + i, watch, err));
        return DYNO_OK;
    }
    if (binding->graphs[segment_idx] == NULL && is_to_be_captured(gpu, binding, segment_idx))
        DYNO_TRY(dyno_gpu_make_graph(gpu, binding, segment_idx, err));
    DYNO_TRY(take_turn(gpu, err));
    int code = cu->event_record(gpu->start, gpu->stream);
    if (binding->graphs[segment_idx] == NULL)
        DYNO_TRY(run_steps(gpu, binding, segment, err));
    else if (code == DYNO_CU_OK)
        code = cu->graph_launch(binding->graphs[segment_idx], gpu->stream);
    if (code == DYNO_CU_OK)
        code = cu->event_record(gpu->end, gpu->stream);
    DYNO_TRY(blame_segment(gpu, segment_idx, dyno_cu_check(cu, code, "to run", err), err));
    return end_turn(gpu, segment_idx, err);
}

enum dyno_status dyno_gpu_bring(struct dyno_context_gpu *gpu, struct dyno_binding *binding,
                                uint32_t segment_idx, struct dyno_err *err)
{
    const struct dyno_cu *cu = gpu->engine->gpu->cuda->cu;
    const struct dyno_segment *segment = &gpu->engine->schedule.segments[segment_idx];
    DYNO_TRY(dyno_cuda_enter(gpu->engine->gpu->cuda, err));
    DYNO_TRY(run_moves(gpu, binding, segment, err));
    float ms = 0.0F;
    const bool ran = gpu->ran;
    int code = cu->stream_wait(gpu->stream);
    if (code == DYNO_CU_OK && ran)
        code = cu->event_elapsed(&ms, gpu->start, gpu->end);
    gpu->us += (double)ms * 1e3;
    gpu->ran = false;
    const enum dyno_status status = dyno_cu_check(cu, code, "to run", err);
    return ran ? blame_segment(gpu, gpu->ran_segment, status, err) : status;
}
