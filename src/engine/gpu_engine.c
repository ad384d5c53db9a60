/* gpu_engine.c - what an engine has on a GPU: programs, weights, page-locked memory. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "backend/cuda/libraries.h"
#include "backend/cuda/nvml.h"
#include "base/mem.h"
#include "engine/gpu_account.h"

#define ALIGN_BYTES 256
#define SLACK_BYTES 256 /* behind weights: vectors may be read to their end */

static uint64_t room(uint64_t bytes)
{
    return (bytes + SLACK_BYTES + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

static enum dyno_status check_card(struct dyno_engine *engine, const struct dyno_gpu *here,
                                   struct dyno_err *err)
{
    const struct dyno_gpu *want = &engine->plan->gpu;
    if (want->compute != here->compute)
        return DYNO_FAIL(err, DYNO_E_TARGET,
                         "the engine was built for '%s' of compute capability %d.%d; this GPU, "
                         "'%s', has %d.%d: build it here",
                         want->name, want->compute / 10, want->compute % 10, here->name,
                         here->compute / 10, here->compute % 10);
    if (want->driver_version > here->driver_version)
        return DYNO_FAIL(err, DYNO_E_TARGET,
                         "the engine was built with a driver for CUDA %d.%d; this machine's is for "
                         "%d.%d, which is older: take a newer driver, or build it here",
                         want->driver_version / 1000, want->driver_version % 1000 / 10,
                         here->driver_version / 1000, here->driver_version % 1000 / 10);
    if (want->shared_bytes > here->shared_bytes)
        return DYNO_FAIL(err, DYNO_E_TARGET,
                         "the engine was built for a GPU with %llu bytes of shared memory a "
                         "block, this one has %llu: build it here",
                         (unsigned long long)want->shared_bytes,
                         (unsigned long long)here->shared_bytes);
    if (strcmp(want->name, here->name) != 0 || want->sm_count != here->sm_count)
        (void)snprintf(engine->warning, sizeof(engine->warning),
                       "the engine was tuned on '%s' with %d multiprocessors, this is '%s' with "
                       "%d: it runs, but one built here may be faster",
                       want->name, want->sm_count, here->name, here->sm_count);
    return DYNO_OK;
}

static enum dyno_status load_programs(struct dyno_engine *engine, struct dyno_err *err)
{
    const struct dyno_plan *plan = engine->plan;
    struct dyno_engine_gpu *gpu = engine->gpu;
    gpu->modules = dyno_alloc(plan->program_count + 1U, sizeof(*gpu->modules));
    if (gpu->modules == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < plan->program_count; i++) {
        const struct dyno_program *program = &plan->programs[i];
        if (!dyno_cubin_check(program->image, program->image_bytes))
            return DYNO_FAIL(err, DYNO_E_FORMAT, "program %u ('%s') is no cubin", i + 1,
                             program->source);
        const enum dyno_status status =
            dyno_cuda_module_load(gpu->cuda, program->image, &gpu->modules[i], err);
        if (status != DYNO_OK) {
            dyno_err_prefix(err, "program %u ('%s')", i + 1, program->source);
            return status;
        }
        dyno_gpu_hold(engine, program->image_bytes);
    }
    return DYNO_OK;
}

/* --- libraries --- */

/* NVIDIA's libraries take long to load (constructors by the thousand, half a gigabyte): each on a
 * thread of its own, while the GPU is made ready. */
struct loading {
    pthread_t threads[DYNO_LIBRARY_COUNT];
    bool is_running[DYNO_LIBRARY_COUNT];
};

static void *load_library(void *library)
{
    uint32_t version = 0;
    /* check_libraries tells why not. */
    const enum dyno_status ignored =
        ((const struct dyno_cuda_library *)library)->version(&version, NULL);
    (void)ignored;
    return NULL;
}

static void start_loading(const struct dyno_engine *engine, struct loading *loading)
{
    for (uint32_t i = 0; i < engine->plan->step_count; i++) {
        const enum dyno_library which = engine->kernels[i]->library;
        if (which == DYNO_LIBRARY_NONE || loading->is_running[which])
            continue;
        void *library = (void *)(uintptr_t)dyno_cuda_library_of(which);
        loading->is_running[which] =
            pthread_create(&loading->threads[which], NULL, load_library, library) == 0;
    }
}

static void end_loading(struct loading *loading)
{
    for (int i = 0; i < DYNO_LIBRARY_COUNT; i++) {
        if (loading->is_running[i])
            (void)pthread_join(loading->threads[i], NULL);
    }
}

/* The libraries that its steps call are here, and those that made them. */
static enum dyno_status check_libraries(struct dyno_engine *engine, struct dyno_err *err)
{
    const struct dyno_plan *plan = engine->plan;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct dyno_step *step = &plan->steps[i];
        const enum dyno_library library = engine->kernels[i]->library;
        if (library == DYNO_LIBRARY_NONE)
            continue;
        engine->gpu->has_libraries = true;
        const enum dyno_status status =
            dyno_cuda_library_check(library, step->tactic.cfg[DYNO_CFG_LIBRARY], err);
        if (status != DYNO_OK) {
            dyno_err_prefix(err, "step '%s'", step->name);
            return status;
        }
    }
    return DYNO_OK;
}

/* Is the raw data of this weight read on the GPU? */
static bool reads_raw(const struct dyno_engine *engine, uint32_t step_idx, uint32_t i)
{
    const struct dyno_step *step = &engine->plan->steps[step_idx];
    const struct dyno_kernel *kernel = engine->kernels[step_idx];
    if (kernel->place != DYNO_ON_GPU || step->ins[i] == DYNO_NO_TENSOR)
        return false;
    const struct dyno_plan_tensor *tensor = &engine->plan->tensors[step->ins[i]];
    const bool is_packed = step->packed != NULL && i < 32 && (kernel->packed_ins >> i & 1U) != 0;
    return tensor->role == DYNO_ROLE_WEIGHT && tensor->dtype != DYNO_STR && !is_packed;
}

/* Offsets + 1 of everything that goes there; `visit` NULL: only add up. */
static uint64_t place_weights(const struct dyno_engine *engine)
{
    const struct dyno_plan *plan = engine->plan;
    struct dyno_engine_gpu *gpu = engine->gpu;
    uint64_t at = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct dyno_step *step = &plan->steps[s];
        if (engine->kernels[s]->place == DYNO_ON_GPU && step->packed != NULL) {
            gpu->packed[s] = at + 1;
            at += room(step->tactic.packed_bytes);
        }
        for (uint32_t i = 0; i < step->in_count; i++) {
            if (!reads_raw(engine, s, i) || gpu->weights[step->ins[i]] != 0)
                continue;
            gpu->weights[step->ins[i]] = at + 1;
            at += room(plan->tensors[step->ins[i]].data_bytes);
        }
    }
    return at;
}

static int copy_one(const struct dyno_engine_gpu *gpu, uint64_t *place, const void *data,
                    uint64_t bytes)
{
    if (*place == 0)
        return DYNO_CU_OK;
    *place = gpu->memory + *place - 1;
    return bytes != 0 ? gpu->cuda->cu->copy_in(*place, data, (size_t)bytes, NULL) : DYNO_CU_OK;
}

static enum dyno_status copy_weights(struct dyno_engine *engine, struct dyno_err *err)
{
    const struct dyno_plan *plan = engine->plan;
    struct dyno_engine_gpu *gpu = engine->gpu;
    const struct dyno_cu *cu = gpu->cuda->cu;
    gpu->weights = dyno_alloc(plan->tensor_count + 1U, sizeof(*gpu->weights));
    gpu->packed = dyno_alloc(plan->step_count + 1U, sizeof(*gpu->packed));
    if (gpu->weights == NULL || gpu->packed == NULL)
        return DYNO_NOMEM(err);
    gpu->memory_bytes = place_weights(engine);
    DYNO_TRY(dyno_cuda_alloc(gpu->cuda, gpu->memory_bytes, &gpu->memory, err));
    dyno_gpu_hold(engine, gpu->memory_bytes);
    /* The slack is read, and must not be what another program left there. */
    int code = cu->fill(gpu->memory, 0, (size_t)gpu->memory_bytes, NULL);
    for (uint32_t s = 0; s < plan->step_count && code == DYNO_CU_OK; s++)
        code = copy_one(gpu, &gpu->packed[s], plan->steps[s].packed,
                        plan->steps[s].tactic.packed_bytes);
    for (uint32_t i = 0; i < plan->tensor_count && code == DYNO_CU_OK; i++)
        code = copy_one(gpu, &gpu->weights[i], plan->tensors[i].data, plan->tensors[i].data_bytes);
    if (code == DYNO_CU_OK)
        code = cu->stream_wait(NULL);
    return dyno_cu_check(cu, code, "to copy the weights", err);
}

static enum dyno_status open_gpu(struct dyno_engine *engine, int ordinal, struct dyno_err *err)
{
    DYNO_TRY(dyno_cuda_open(ordinal, &engine->gpu->cuda, err));
    engine->here.gpu = engine->gpu->cuda->gpu;
    DYNO_TRY(check_card(engine, &engine->gpu->cuda->gpu, err));
    DYNO_TRY(load_programs(engine, err));
    return copy_weights(engine, err);
}

enum dyno_status dyno_engine_gpu_open(struct dyno_engine *engine, int ordinal, struct dyno_err *err)
{
    struct loading loading = {.is_running = {false}};
    engine->gpu = dyno_alloc(1, sizeof(*engine->gpu));
    if (engine->gpu == NULL)
        return DYNO_NOMEM(err);
    start_loading(engine, &loading);
    const enum dyno_status status = open_gpu(engine, ordinal, err);
    end_loading(&loading);
    return status == DYNO_OK ? check_libraries(engine, err) : status;
}

void dyno_engine_gpu_close(struct dyno_engine_gpu *gpu)
{
    if (gpu == NULL)
        return;
    if (gpu->cuda != NULL) {
        dyno_gpu_leave(gpu->cuda);
        for (uint32_t i = 0; gpu->modules != NULL && gpu->modules[i].module != NULL; i++)
            dyno_cuda_module_unload(gpu->cuda, &gpu->modules[i]);
        dyno_cuda_free(gpu->cuda, gpu->memory);
    }
    dyno_cuda_close(gpu->cuda);
    dyno_free(gpu->modules);
    dyno_free(gpu->weights);
    dyno_free(gpu->packed);
    dyno_free(gpu);
}

/* --- memory of the host --- */

/* Stands before a block. */
struct locked {
    _Alignas(64) uint64_t bytes; /* with this */
};

enum dyno_status dyno_gpu_host_alloc(struct dyno_engine *engine, size_t bytes, void **memory_out,
                                     struct dyno_err *err)
{
    const struct dyno_cuda *cuda = engine->gpu->cuda;
    void *memory = NULL;
    size_t total = 0;
    *memory_out = NULL;
    if (__builtin_add_overflow(bytes, sizeof(struct locked), &total))
        return DYNO_NOMEM(err);
    DYNO_TRY(dyno_cuda_enter(cuda, err));
    DYNO_TRY(dyno_cu_check(cuda->cu, cuda->cu->host_alloc(&memory, total, DYNO_CU_HOST_PORTABLE),
                           "to lock memory", err));
    struct locked *locked = memory;
    locked->bytes = total;
    atomic_fetch_add_explicit(&engine->account.bytes, total, memory_order_relaxed);
    *memory_out = locked + 1;
    return DYNO_OK;
}

void dyno_gpu_host_free(struct dyno_engine *engine, void *memory)
{
    if (memory == NULL)
        return;
    struct locked *locked = (struct locked *)memory - 1;
    dyno_gpu_leave(engine->gpu->cuda);
    atomic_fetch_sub_explicit(&engine->account.bytes, locked->bytes, memory_order_relaxed);
    (void)engine->gpu->cuda->cu->host_free(locked);
}

enum dyno_status dyno_gpu_host_lock(struct dyno_engine *engine, void *memory, size_t bytes,
                                    struct dyno_err *err)
{
    const struct dyno_cuda *cuda = engine->gpu->cuda;
    DYNO_TRY(dyno_cuda_enter(cuda, err));
    return dyno_cu_check(cuda->cu, cuda->cu->host_register(memory, bytes, DYNO_CU_HOST_PORTABLE),
                         "to lock memory", err);
}

void dyno_gpu_host_unlock(struct dyno_engine *engine, void *memory)
{
    dyno_gpu_leave(engine->gpu->cuda);
    (void)engine->gpu->cuda->cu->host_unregister(memory);
}

enum dyno_status dyno_device_describe(const char *device, struct dyno_device_info *info_out,
                                      struct dyno_err *err)
{
    struct dyno_cuda *cuda = NULL;
    int ordinal = 0;
    *info_out = (struct dyno_device_info){0};
    if (!dyno_cuda_ordinal(device, &ordinal))
        return DYNO_FAIL(err, DYNO_E_ARG, "'%.64s' names no GPU: wants cuda or cuda:N", device);
    DYNO_TRY(dyno_cuda_open(ordinal, &cuda, err));
    (void)snprintf(info_out->name, sizeof(info_out->name), "%s", cuda->gpu.name);
    info_out->compute = cuda->gpu.compute;
    info_out->memory_bytes = cuda->gpu.memory_bytes;
    dyno_cuda_close(cuda);
    return DYNO_OK;
}

enum dyno_status dyno_device_look(const char *device, struct dyno_device_facts *facts_out,
                                  struct dyno_err *err)
{
    int ordinal = 0;
    if (!dyno_cuda_ordinal(device, &ordinal))
        return DYNO_FAIL(err, DYNO_E_ARG, "'%.64s' names no GPU: wants cuda or cuda:N", device);
    return dyno_cuda_look(ordinal, facts_out, err);
}
