/* record_memory.c - memory of the driver without a GPU, which is the host's. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "record_parts.h"

#define MEMORY_MAX ((size_t)1 << 30) /* bytes that it gives at once */

struct pool {
    uint32_t block_count; /* that are not given back */
};

/* Stands before memory of the GPU. */
struct block {
    _Alignas(256) struct pool *pool; /* NULL: of none */
    size_t bytes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the pools */

static int give(struct pool *pool, unsigned long long *address, size_t bytes)
{
    if (bytes > MEMORY_MAX)
        return DYNO_CU_OUT_OF_MEMORY;
    struct block *block = aligned_alloc(256, sizeof(*block) + (bytes + 511) / 256 * 256);
    if (block == NULL)
        return DYNO_CU_OUT_OF_MEMORY;
    block->pool = pool;
    block->bytes = bytes;
    record.live_count++;
    *address = (unsigned long long)(uintptr_t)(block + 1);
    return DYNO_CU_OK;
}

static int fake_memory_alloc(unsigned long long *address, size_t bytes)
{
    RECORD_CALL();
    record.device_wait_count++;
    return give(NULL, address, bytes);
}

static int fake_memory_free(unsigned long long address)
{
    struct block *block = (struct block *)(uintptr_t)address - 1;
    if (block->pool != NULL) {
        (void)pthread_mutex_lock(&lock);
        block->pool->block_count--;
        (void)pthread_mutex_unlock(&lock);
        record.idle_bytes += block->bytes;
        record.early_free_count += record.is_busy;
    } else {
        record.device_wait_count++;
    }
    return record_old_handle(block);
}

static int fake_pool_create(void **pool, const struct dyno_cu_pool_props *props)
{
    RECORD_CALL();
    if (record.has_no_pools || props->kind != DYNO_CU_POOL_PINNED || props->exported_as != 0 ||
        props->place != DYNO_CU_POOL_DEVICE || props->device >= record.gpu_count)
        return RECORD_INVALID;
    const int code = record_new_handle(pool);
    if (code == DYNO_CU_OK)
        *(struct pool *)*pool = (struct pool){0};
    return code;
}

/* One that is in use stays, which a test sees. */
static int fake_pool_destroy(void *pool)
{
    (void)pthread_mutex_lock(&lock);
    const uint32_t used = ((const struct pool *)pool)->block_count;
    (void)pthread_mutex_unlock(&lock);
    if (used != 0)
        return RECORD_INVALID;
    record.idle_bytes = 0;
    return record_old_handle(pool);
}

static int fake_pool_alloc(unsigned long long *address, size_t bytes, void *pool, void *stream)
{
    RECORD_CALL();
    if (pool == NULL || stream == NULL)
        return RECORD_INVALID;
    const int code = give(pool, address, bytes);
    (void)pthread_mutex_lock(&lock);
    ((struct pool *)pool)->block_count += code == DYNO_CU_OK;
    (void)pthread_mutex_unlock(&lock);
    return code;
}

static int fake_pool_trim(void *pool, size_t bytes_kept)
{
    record.trim_count++;
    record.idle_bytes = 0;
    return pool != NULL && bytes_kept == 0 ? DYNO_CU_OK : RECORD_INVALID;
}

static int fake_host_alloc(void **memory, size_t bytes, unsigned flags)
{
    RECORD_CALL();
    (void)flags;
    *memory = aligned_alloc(256, (bytes + 256) / 256 * 256); /* pages, on a GPU's machine */
    record.live_count++;
    return *memory != NULL ? DYNO_CU_OK : DYNO_CU_OUT_OF_MEMORY;
}

static int fake_host_free(void *memory)
{
    return record_old_handle(memory);
}

static int fake_host_register(void *memory, size_t bytes, unsigned flags)
{
    RECORD_CALL();
    (void)flags;
    if (bytes == 0 || (uintptr_t)memory % 4096 != 0)
        return RECORD_INVALID;
    record.locked_count++;
    return DYNO_CU_OK;
}

static int fake_host_unregister(void *memory)
{
    if ((uintptr_t)memory % 4096 != 0 || record.locked_count == 0)
        return RECORD_INVALID;
    record.locked_count--;
    return DYNO_CU_OK;
}

static int fake_copy_in(unsigned long long to, const void *from, size_t bytes, void *stream)
{
    RECORD_CALL();
    (void)stream;
    memcpy((void *)(uintptr_t)to, from, bytes);
    record.copy_in_count++;
    record.is_busy = true;
    record.copied_in_bytes += bytes;
    return DYNO_CU_OK;
}

static int fake_copy_out(void *to, unsigned long long from, size_t bytes, void *stream)
{
    RECORD_CALL();
    (void)stream;
    memcpy(to, (const void *)(uintptr_t)from, bytes);
    record.copy_out_count++;
    record.copied_out_bytes += bytes;
    return DYNO_CU_OK;
}

static int fake_copy_within(unsigned long long to, unsigned long long from, size_t bytes,
                            void *stream)
{
    RECORD_CALL();
    (void)stream;
    memcpy((void *)(uintptr_t)to, (const void *)(uintptr_t)from, bytes);
    return DYNO_CU_OK;
}

static int fake_fill(unsigned long long to, unsigned char value, size_t bytes, void *stream)
{
    RECORD_CALL();
    (void)stream;
    memset((void *)(uintptr_t)to, value, bytes);
    return DYNO_CU_OK;
}

void record_memory_rows(struct dyno_cu *cu)
{
    cu->memory_alloc = fake_memory_alloc;
    cu->memory_free = fake_memory_free;
    cu->pool_create = fake_pool_create;
    cu->pool_destroy = fake_pool_destroy;
    cu->pool_alloc = fake_pool_alloc;
    cu->pool_trim = fake_pool_trim;
    cu->host_alloc = fake_host_alloc;
    cu->host_free = fake_host_free;
    cu->host_register = fake_host_register;
    cu->host_unregister = fake_host_unregister;
    cu->copy_in = fake_copy_in;
    cu->copy_within = fake_copy_within;
    cu->copy_out = fake_copy_out;
    cu->fill = fake_fill;
}
