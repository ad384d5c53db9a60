/* device.c - opening a GPU; its memory and its modules. */
#include "backend/cuda/device.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define ENTRY        "dyno_main"
#define ORDINALS_MAX 1024

bool dyno_cuda_ordinal(const char *name, int *ordinal_out)
{
    char *end = NULL;
    *ordinal_out = 0;
    if (strcmp(name, "cuda") == 0)
        return true;
    if (strncmp(name, "cuda:", 5) != 0 || name[5] < '0' || name[5] > '9')
        return false;
    const unsigned long ordinal = strtoul(name + 5, &end, 10);
    *ordinal_out = (int)ordinal;
    return *end == 0 && ordinal < ORDINALS_MAX;
}

static enum dyno_status describe(struct dyno_cuda *cuda, struct dyno_err *err)
{
    const struct dyno_cu *cu = cuda->cu;
    struct dyno_gpu *gpu = &cuda->gpu;
    int major = 0, minor = 0, l2_bytes = 0, shared_bytes = 0;
    const struct {
        int attribute;
        int *value;
    } rows[] = {{DYNO_CU_CC_MAJOR, &major},          {DYNO_CU_CC_MINOR, &minor},
                {DYNO_CU_SM_COUNT, &gpu->sm_count},  {DYNO_CU_L2_BYTES, &l2_bytes},
                {DYNO_CU_SHARED_MAX, &shared_bytes}, {DYNO_CU_CLOCK_KHZ, &gpu->clock_khz}};
    size_t memory_bytes = 0;
    int code = cu->device_name(gpu->name, sizeof(gpu->name), cuda->handle);
    for (size_t i = 0; i < DYNO_COUNT(rows) && code == DYNO_CU_OK; i++)
        code = cu->device_attribute(rows[i].value, rows[i].attribute, cuda->handle);
    if (code == DYNO_CU_OK)
        code = cu->device_memory(&memory_bytes, cuda->handle);
    if (code == DYNO_CU_OK)
        code = cu->driver_version(&gpu->driver_version);
    gpu->name[sizeof(gpu->name) - 1] = 0;
    gpu->compute = major * 10 + minor;
    gpu->l2_bytes = (uint64_t)l2_bytes;
    gpu->shared_bytes = (uint64_t)shared_bytes;
    gpu->memory_bytes = memory_bytes;
    return dyno_cu_check(cu, code, "to say what it is", err);
}

/* --- who has it open --- */

static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER;
static int users[ORDINALS_MAX];
static CU_POOL pools[ORDINALS_MAX];
static void (*at_last_close)(const struct dyno_cuda *cuda);

/* One that keeps nothing that is not in use beyond the next wait for a stream: so it begins. */
static enum dyno_status make_pool(const struct dyno_cuda *cuda, CU_POOL *pool_out,
                                  struct dyno_err *err)
{
    const struct dyno_cu *cu = cuda->cu;
    const struct dyno_cu_pool_props props = {
        .kind = DYNO_CU_POOL_PINNED, .place = DYNO_CU_POOL_DEVICE, .device = cuda->handle};
    int has_pools = 0;
    int code = cu->device_attribute(&has_pools, DYNO_CU_HAS_POOLS, cuda->handle);
    if (code == DYNO_CU_OK && has_pools == 1)
        code = cu->pool_create(pool_out, &props);
    if (code == DYNO_CU_NOT_SUPPORTED) { /* a part of a card may say so only now */
        *pool_out = NULL;
        return DYNO_OK;
    }
    return dyno_cu_check(cu, code, "to make a pool of memory", err);
}

static enum dyno_status join(struct dyno_cuda *cuda, struct dyno_err *err)
{
    (void)pthread_mutex_lock(&users_lock);
    users[cuda->ordinal]++;
    enum dyno_status status = dyno_cuda_enter(cuda, err);
    if (status == DYNO_OK && pools[cuda->ordinal] == NULL)
        status = make_pool(cuda, &pools[cuda->ordinal], err);
    cuda->pool = pools[cuda->ordinal];
    (void)pthread_mutex_unlock(&users_lock);
    return status;
}

static void leave(const struct dyno_cuda *cuda)
{
    (void)pthread_mutex_lock(&users_lock);
    const bool is_last = --users[cuda->ordinal] == 0;
    CU_POOL const pool = is_last ? pools[cuda->ordinal] : NULL;
    if (is_last)
        pools[cuda->ordinal] = NULL;
    void (*const last)(const struct dyno_cuda *) = at_last_close;
    (void)pthread_mutex_unlock(&users_lock);
    if (is_last && last != NULL)
        last(cuda);
    if (pool != NULL)
        (void)cuda->cu->pool_destroy(pool);
}

void dyno_cuda_on_last_close(void (*leave_last)(const struct dyno_cuda *cuda))
{
    (void)pthread_mutex_lock(&users_lock);
    at_last_close = leave_last;
    (void)pthread_mutex_unlock(&users_lock);
}

static enum dyno_status open_ordinal(struct dyno_cuda *cuda, struct dyno_err *err)
{
    const struct dyno_cu *cu = cuda->cu;
    int count = 0;
    DYNO_TRY(dyno_cu_check(cu, cu->device_count(&count), "to be counted", err));
    if (cuda->ordinal >= count)
        return DYNO_FAIL(err, DYNO_E_TARGET, "there is no GPU cuda:%d: this machine has %d",
                         cuda->ordinal, count);
    DYNO_TRY(dyno_cu_check(cu, cu->device_get(&cuda->handle, cuda->ordinal), "to be found", err));
    DYNO_TRY(describe(cuda, err));
    DYNO_TRY(
        dyno_cu_check(cu, cu->context_retain(&cuda->context, cuda->handle), "to be opened", err));
    return join(cuda, err);
}

enum dyno_status dyno_cuda_open(int ordinal, struct dyno_cuda **cuda_out, struct dyno_err *err)
{
    const struct dyno_cu *cu = NULL;
    *cuda_out = NULL;
    DYNO_TRY(dyno_cu_load(&cu, err));
    struct dyno_cuda *cuda = dyno_alloc(1, sizeof(*cuda));
    if (cuda == NULL)
        return DYNO_NOMEM(err);
    cuda->cu = cu;
    cuda->ordinal = ordinal;
    const enum dyno_status status = open_ordinal(cuda, err);
    if (status == DYNO_OK)
        *cuda_out = cuda;
    else
        dyno_cuda_close(cuda);
    return status;
}

void dyno_cuda_close(struct dyno_cuda *cuda)
{
    if (cuda == NULL)
        return;
    if (cuda->context != NULL) {
        leave(cuda);
        (void)cuda->cu->context_release(cuda->handle);
    }
    dyno_free(cuda);
}

enum dyno_status dyno_cuda_enter(const struct dyno_cuda *cuda, struct dyno_err *err)
{
    return dyno_cu_check(cuda->cu, cuda->cu->context_set(cuda->context), "to be entered", err);
}

/* --- memory --- */

/* pool NULL: of none. */
static int take(const struct dyno_cuda *cuda, CU_POOL pool, CU_STREAM stream, uint64_t bytes,
                CU_ADDRESS *address)
{
    const size_t at_least_one = (size_t)(bytes != 0 ? bytes : 1);
    *address = 0;
    return pool != NULL ? cuda->cu->pool_alloc(address, at_least_one, pool, stream)
                        : cuda->cu->memory_alloc(address, at_least_one);
}

static enum dyno_status take_or_trim(const struct dyno_cuda *cuda, CU_POOL pool, CU_STREAM stream,
                                     uint64_t bytes, uint64_t *address_out, struct dyno_err *err)
{
    CU_ADDRESS address = 0;
    int code = take(cuda, pool, stream, bytes, &address);
    /* What is missing may be what the pool holds for nobody. */
    if (code == DYNO_CU_OUT_OF_MEMORY && cuda->pool != NULL) {
        dyno_cuda_pool_trim(cuda);
        code = take(cuda, pool, stream, bytes, &address);
    }
    *address_out = code == DYNO_CU_OK ? address : 0;
    const enum dyno_status status = dyno_cu_check(cuda->cu, code, "to give memory", err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "%llu bytes on cuda:%d", (unsigned long long)bytes, cuda->ordinal);
    return status;
}

enum dyno_status dyno_cuda_alloc(const struct dyno_cuda *cuda, uint64_t bytes,
                                 uint64_t *address_out, struct dyno_err *err)
{
    return take_or_trim(cuda, NULL, NULL, bytes, address_out, err);
}

enum dyno_status dyno_cuda_pool_alloc(const struct dyno_cuda *cuda, CU_STREAM stream,
                                      uint64_t bytes, uint64_t *address_out, struct dyno_err *err)
{
    return take_or_trim(cuda, cuda->pool, stream, bytes, address_out, err);
}

void dyno_cuda_free(const struct dyno_cuda *cuda, uint64_t address)
{
    if (address != 0)
        (void)cuda->cu->memory_free(address);
}

void dyno_cuda_pool_trim(const struct dyno_cuda *cuda)
{
    if (cuda->pool != NULL)
        (void)cuda->cu->pool_trim(cuda->pool, 0);
}

/* --- modules --- */

enum dyno_status dyno_cuda_module_load(const struct dyno_cuda *cuda, const void *cubin,
                                       struct dyno_cuda_module *module_out, struct dyno_err *err)
{
    const struct dyno_cu *cu = cuda->cu;
    int own_bytes = 0;
    *module_out = (struct dyno_cuda_module){0};
    int code = cu->module_load(&module_out->module, cubin);
    if (code == DYNO_CU_OK)
        code = cu->module_function(&module_out->function, module_out->module, ENTRY);
    if (code == DYNO_CU_OK)
        code = cu->function_get(&own_bytes, DYNO_CU_FUNCTION_SHARED, module_out->function);
    /* All that a block may have: a launch asks for what it needs. */
    if (code == DYNO_CU_OK)
        code = cu->function_set(module_out->function, DYNO_CU_FUNCTION_SHARED_MAX,
                                (int)cuda->gpu.shared_bytes - own_bytes);
    if (code == DYNO_CU_OK)
        return DYNO_OK;
    dyno_cuda_module_unload(cuda, module_out);
    const enum dyno_status status = dyno_cu_check(cu, code, "to load a program", err);
    return status == DYNO_E_NOMEM ? status : DYNO_E_TARGET;
}

void dyno_cuda_module_unload(const struct dyno_cuda *cuda, struct dyno_cuda_module *module)
{
    if (module->module != NULL)
        (void)cuda->cu->module_unload(module->module);
    *module = (struct dyno_cuda_module){0};
}

/* --- ELF, 64-bit, little-endian --- */

static uint64_t number_at(const uint8_t *bytes, size_t width)
{
    uint64_t value = 0;
    memcpy(&value, bytes, width);
    return value;
}

static bool table_inside(uint64_t at, uint64_t count, uint64_t item_bytes, uint64_t n)
{
    return at <= n && (count == 0 || (item_bytes != 0 && count <= (n - at) / item_bytes));
}

bool dyno_cubin_check(const void *bytes, uint64_t n)
{
    enum { HEADER = 64, SECTION = 64, SEGMENT = 56, NO_BITS = 8, MACHINE_CUDA = 190 };
    const uint8_t *elf = bytes;
    if (n < HEADER || memcmp(elf, "\177ELF\2\1", 6) != 0 || number_at(elf + 18, 2) != MACHINE_CUDA)
        return false;
    const uint64_t segments = number_at(elf + 32, 8), sections = number_at(elf + 40, 8);
    const uint64_t segment_bytes = number_at(elf + 54, 2), segment_count = number_at(elf + 56, 2);
    const uint64_t section_bytes = number_at(elf + 58, 2), section_count = number_at(elf + 60, 2);
    if (section_count == 0 || section_bytes != SECTION || number_at(elf + 62, 2) >= section_count ||
        (segment_count != 0 && segment_bytes != SEGMENT) ||
        !table_inside(segments, segment_count, SEGMENT, n) ||
        !table_inside(sections, section_count, SECTION, n))
        return false;
    for (uint64_t i = 0; i < section_count; i++) {
        const uint8_t *section = elf + sections + i * SECTION;
        if (number_at(section + 4, 4) != NO_BITS &&
            !table_inside(number_at(section + 24, 8), number_at(section + 32, 8), 1, n))
            return false;
    }
    for (uint64_t i = 0; i < segment_count; i++) {
        const uint8_t *segment = elf + segments + i * SEGMENT;
        if (!table_inside(number_at(segment + 8, 8), number_at(segment + 32, 8), 1, n))
            return false;
    }
    return true;
}
