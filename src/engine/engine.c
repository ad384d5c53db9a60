/* engine.c - lifetime of engines and what they tell about themselves. */
#include "engine/engine.h"

#include <stdio.h>
#include <string.h>

#include "backend/cuda/nvml.h"
#include "base/executor.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/format.h"
#include "engine/gpu.h"

static enum dyno_status find_kernels(struct dyno_engine *engine, struct dyno_err *err)
{
    const struct dyno_plan *plan = engine->plan;
    engine->kernels = dyno_alloc(plan->step_count + 1U, sizeof(*engine->kernels));
    if (engine->kernels == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct dyno_step *step = &plan->steps[i];
        const struct dyno_kernel *kernel = dyno_kernel_find(step->tactic.kernel);
        if (kernel == NULL)
            return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                             "step '%s' wants kernel %08x, which this build does not have",
                             step->name, step->tactic.kernel);
        if ((kernel->isa_mask & ~engine->here.isa_mask) != 0) {
            struct dyno_strbuf want = {0};
            dyno_isa_print(kernel->isa_mask & ~engine->here.isa_mask, &want);
            const enum dyno_status status = DYNO_FAIL(
                err, DYNO_E_TARGET, "step '%s' wants kernel %s, but this machine has no %s",
                step->name, kernel->name, dyno_strbuf_text(&want));
            dyno_strbuf_fini(&want);
            return status;
        }
        const bool has_program = dyno_kernel_has_program(kernel, &step->tactic);
        if (kernel->place == DYNO_ON_GPU &&
            (plan->gpu.compute == 0 || has_program != (step->program != 0)))
            return DYNO_FAIL(err, DYNO_E_FORMAT, "step '%s': kernel %s has %s", step->name,
                             kernel->name,
                             plan->gpu.compute == 0 ? "no GPU"
                             : has_program          ? "no program"
                                                    : "a program, and wants none");
        engine->kernels[i] = kernel;
    }
    return DYNO_OK;
}

/* Where an engine is to run. */
struct where {
    const char *device; /* NULL: it does not matter which, */
    int ordinal;        /* but a GPU is this one */
    bool is_nowhere;    /* no GPU is opened */
};

static enum dyno_status take_device(const char *device, struct where *where_out,
                                    struct dyno_err *err)
{
    *where_out = (struct where){.device = device};
    if (device == NULL || strcmp(device, "cpu") == 0 ||
        dyno_cuda_ordinal(device, &where_out->ordinal))
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_ARG, "there is no device '%.64s': there are cpu, cuda and cuda:N",
                     device);
}

static enum dyno_status check_device(const struct dyno_engine *engine, const struct where *where,
                                     struct dyno_err *err)
{
    const struct dyno_gpu *gpu = &engine->plan->gpu;
    const bool wants_cpu = where->device != NULL && strcmp(where->device, "cpu") == 0;
    if (gpu->compute != 0 && wants_cpu)
        return DYNO_FAIL(err, DYNO_E_TARGET,
                         "it was built for the GPU '%s', and is to run on the CPU: build it for "
                         "that",
                         gpu->name);
    if (gpu->compute == 0 && where->device != NULL && !wants_cpu)
        return DYNO_FAIL(err, DYNO_E_TARGET,
                         "it was built for the CPU, and is to run on %s: build it for that",
                         where->device);
    return DYNO_OK;
}

/* The plan is there; the rest of an engine.  On failure the engine is still the caller's. */
static enum dyno_status complete(struct dyno_engine *engine, const struct where *where,
                                 struct dyno_err *err)
{
    DYNO_TRY(find_kernels(engine, err));
    DYNO_TRY(check_device(engine, where, err));
    DYNO_TRY(dyno_schedule_make(engine->plan, engine->kernels, &engine->schedule, err));
    if (engine->plan->gpu.compute != 0 && !where->is_nowhere)
        DYNO_TRY(dyno_engine_gpu_open(engine, where->ordinal, err));
    engine->executor = dyno_executor_create();
    return engine->executor != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

enum dyno_status dyno_engine_from_plan(struct dyno_plan *plan, struct dyno_engine **engine_out,
                                       struct dyno_err *err)
{
    return dyno_engine_from_plan_on(plan, 0, engine_out, err);
}

enum dyno_status dyno_engine_from_plan_on(struct dyno_plan *plan, int gpu_ordinal,
                                          struct dyno_engine **engine_out, struct dyno_err *err)
{
    const struct where where = {.ordinal = gpu_ordinal};
    *engine_out = NULL;
    struct dyno_engine *engine = dyno_alloc(1, sizeof(*engine));
    if (engine == NULL) {
        dyno_plan_destroy(plan);
        return DYNO_NOMEM(err);
    }
    engine->plan = plan;
    dyno_target_detect(&engine->here, NULL);
    struct dyno_mem_account *before = dyno_mem_enter(&engine->account);
    const enum dyno_status status = complete(engine, &where, err);
    dyno_mem_leave(before);
    if (status == DYNO_OK)
        *engine_out = engine;
    else
        dyno_engine_close(engine);
    return status;
}

static enum dyno_status read_file(struct dyno_engine *engine, const char *path,
                                  const struct where *where, struct dyno_err *err)
{
    DYNO_TRY(dyno_file_map(path, &engine->map, err));
    dyno_target_detect(&engine->here, NULL);
    enum dyno_status status =
        dyno_engine_read(engine->map.data, engine->map.bytes, &engine->here, &engine->plan,
                         engine->warning, sizeof(engine->warning), err);
    if (status == DYNO_OK)
        status = complete(engine, where, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "engine '%s'", path);
    return status;
}

static enum dyno_status open_where(const char *path, const struct where *where,
                                   struct dyno_engine **engine_out, struct dyno_err *err)
{
    *engine_out = NULL;
    struct dyno_engine *engine = dyno_alloc(1, sizeof(*engine));
    if (engine == NULL)
        return DYNO_NOMEM(err);
    struct dyno_mem_account *before = dyno_mem_enter(&engine->account);
    const enum dyno_status status = read_file(engine, path, where, err);
    dyno_mem_leave(before);
    if (status == DYNO_OK)
        *engine_out = engine;
    else
        dyno_engine_close(engine);
    return status;
}

enum dyno_status dyno_engine_open(const char *path, struct dyno_engine **engine_out,
                                  struct dyno_err *err)
{
    return dyno_engine_open_on(path, NULL, engine_out, err);
}

enum dyno_status dyno_engine_open_on(const char *path, const char *device,
                                     struct dyno_engine **engine_out, struct dyno_err *err)
{
    struct where where;
    *engine_out = NULL;
    DYNO_TRY(take_device(device, &where, err));
    return open_where(path, &where, engine_out, err);
}

enum dyno_status dyno_engine_inspect(const char *path, struct dyno_engine **engine_out,
                                     struct dyno_err *err)
{
    const struct where where = {.is_nowhere = true};
    return open_where(path, &where, engine_out, err);
}

void dyno_engine_close(struct dyno_engine *engine)
{
    if (engine == NULL)
        return;
    dyno_executor_destroy(engine->executor);
    dyno_engine_gpu_close(engine->gpu);
    dyno_free(engine->kernels);
    dyno_plan_destroy(engine->plan);
    dyno_file_unmap(&engine->map);
    dyno_free(engine);
}

void dyno_machine_text(char *text_out, size_t bytes)
{
    struct dyno_target target;
    char cpu_name[128];
    dyno_target_detect(&target, NULL);
    dyno_cpu_name(cpu_name, sizeof(cpu_name));
    (void)snprintf(text_out, bytes, "%s, instruction sets %llx, caches %llu %llu %llu, %.0f GFLOPS",
                   cpu_name, (unsigned long long)target.isa_mask,
                   (unsigned long long)target.l1_bytes, (unsigned long long)target.l2_bytes,
                   (unsigned long long)target.l3_bytes, (double)target.peak_gflops);
}

const char *dyno_engine_warning(const struct dyno_engine *engine)
{
    return engine->warning;
}

enum dyno_status dyno_engine_identity(const struct dyno_engine *engine, uint8_t sha256_out[32],
                                      struct dyno_err *err)
{
    if (engine->map.data == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "an engine that was not read from a file has no identity");
    struct dyno_sha256 sha;
    dyno_sha256_init(&sha);
    dyno_sha256_update(&sha, engine->map.data, engine->map.bytes);
    dyno_sha256_final(&sha, sha256_out);
    return DYNO_OK;
}

const char *dyno_engine_device_name(const struct dyno_engine *engine)
{
    return engine->plan->gpu.compute != 0 ? engine->plan->gpu.name : "";
}

uint32_t dyno_engine_input_count(const struct dyno_engine *engine)
{
    return engine->plan->input_count;
}

uint32_t dyno_engine_output_count(const struct dyno_engine *engine)
{
    return engine->plan->output_count;
}

static void describe(const struct dyno_engine *engine, const struct dyno_io *io,
                     struct dyno_io_info *info)
{
    const struct dyno_plan_tensor *tensor = &engine->plan->tensors[io->tensor];
    *info = (struct dyno_io_info){.name = io->name, .dtype = tensor->dtype, .rank = tensor->rank};
    for (int i = 0; i < tensor->rank; i++) {
        info->min[i] = io->min[i];
        info->opt[i] = io->opt[i];
        info->max[i] = io->max[i];
    }
}

void dyno_engine_input(const struct dyno_engine *engine, uint32_t idx,
                       struct dyno_io_info *info_out)
{
    DYNO_ASSERT(idx < engine->plan->input_count);
    describe(engine, &engine->plan->inputs[idx], info_out);
}

void dyno_engine_output(const struct dyno_engine *engine, uint32_t idx,
                        struct dyno_io_info *info_out)
{
    DYNO_ASSERT(idx < engine->plan->output_count);
    describe(engine, &engine->plan->outputs[idx], info_out);
}

uint64_t dyno_engine_file_bytes(const struct dyno_engine *engine)
{
    return engine->map.bytes;
}

uint64_t dyno_engine_memory_bytes(const struct dyno_engine *engine)
{
    return sizeof(*engine) + atomic_load_explicit(&engine->account.bytes, memory_order_relaxed);
}

enum dyno_status dyno_engine_device_facts(const struct dyno_engine *engine,
                                          struct dyno_device_facts *facts_out, struct dyno_err *err)
{
    if (engine->gpu == NULL)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "the processor tells nothing of itself");
    return dyno_cuda_facts(engine->gpu->cuda, facts_out, err);
}

enum dyno_status dyno_engine_alloc(struct dyno_engine *engine, size_t bytes, void **memory_out,
                                   struct dyno_err *err)
{
    if (engine->gpu != NULL)
        return dyno_gpu_host_alloc(engine, bytes, memory_out, err);
    struct dyno_mem_account *before = dyno_mem_enter(&engine->account);
    *memory_out = dyno_alloc_raw(bytes, 1);
    dyno_mem_leave(before);
    return *memory_out != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

void dyno_engine_free(struct dyno_engine *engine, void *memory)
{
    if (engine->gpu != NULL)
        dyno_gpu_host_free(engine, memory);
    else
        dyno_free(memory);
}

enum dyno_status dyno_engine_lock(struct dyno_engine *engine, void *memory, size_t bytes,
                                  struct dyno_err *err)
{
    return engine->gpu != NULL ? dyno_gpu_host_lock(engine, memory, bytes, err) : DYNO_OK;
}

void dyno_engine_unlock(struct dyno_engine *engine, void *memory)
{
    if (engine->gpu != NULL)
        dyno_gpu_host_unlock(engine, memory);
}

uint64_t dyno_engine_gpu_bytes(const struct dyno_engine *engine)
{
    return engine->gpu != NULL ? atomic_load_explicit(&engine->gpu->bytes, memory_order_relaxed)
                               : 0;
}

uint32_t dyno_engine_step_count(const struct dyno_engine *engine)
{
    return engine->plan->step_count;
}

void dyno_engine_step(const struct dyno_engine *engine, uint32_t idx,
                      struct dyno_step_info *info_out)
{
    DYNO_ASSERT(idx < engine->plan->step_count);
    const struct dyno_step *step = &engine->plan->steps[idx];
    *info_out = (struct dyno_step_info){.name = step->name,
                                        .op = dyno_ops[step->op]->onnx_name,
                                        .kernel = engine->kernels[idx]->name,
                                        .origins = step->origins,
                                        .origin_count = step->origin_count};
}

/* --- shapes of inputs --- */

static enum dyno_status solve_input(const struct dyno_plan *plan, uint32_t input_idx,
                                    const int64_t *dims, int rank, int64_t *symbols,
                                    struct dyno_err *err)
{
    const struct dyno_io *io = &plan->inputs[input_idx];
    const struct dyno_plan_tensor *tensor = &plan->tensors[io->tensor];
    if (rank != tensor->rank)
        return DYNO_FAIL(err, DYNO_E_ARG, "input '%s': has %d dimensions, wants %d", io->name, rank,
                         tensor->rank);
    for (int i = 0; i < rank; i++) {
        const struct dyno_expr_node node = dyno_exprs_node(plan->exprs, tensor->dims[i]);
        if (node.op == DYNO_EXPR_CONST) {
            if (dims[i] != node.value)
                return DYNO_FAIL(err, DYNO_E_ARG, "input '%s': dimension %d is %lld, wants %lld",
                                 io->name, i, (long long)dims[i], (long long)node.value);
            continue;
        }
        if (dims[i] < io->min[i] || dims[i] > io->max[i])
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "input '%s': dimension %d is %lld, outside the profile's %lld..%lld",
                             io->name, i, (long long)dims[i], (long long)io->min[i],
                             (long long)io->max[i]);
        int64_t *symbol = &symbols[node.value];
        int64_t min = 0;
        int64_t max = 0;
        const char *name = dyno_exprs_symbol(plan->exprs, (size_t)node.value, &min, &max);
        if (*symbol != INT64_MIN && *symbol != dims[i])
            return DYNO_FAIL(err, DYNO_E_ARG,
                             "input '%s': dimension %d is %lld, but the same size '%s' is %lld "
                             "elsewhere",
                             io->name, i, (long long)dims[i], name, (long long)*symbol);
        *symbol = dims[i];
    }
    return DYNO_OK;
}

enum dyno_status dyno_engine_solve(const struct dyno_plan *plan, const int64_t *const *dims,
                                   const int *ranks, int64_t *symbols_out, struct dyno_err *err)
{
    const size_t symbol_count = dyno_exprs_symbol_count(plan->exprs);
    for (size_t i = 0; i < symbol_count; i++)
        symbols_out[i] = INT64_MIN;
    for (uint32_t i = 0; i < plan->input_count; i++)
        DYNO_TRY(solve_input(plan, i, dims[i], ranks[i], symbols_out, err));
    return DYNO_OK;
}
