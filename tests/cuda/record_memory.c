/* record_memory.c - memory of the driver without a GPU, which is the host's. */
#include <stdlib.h>
#include <string.h>

#include "record_parts.h"

#define MEMORY_MAX ((size_t)1 << 30) /* bytes that it gives at once */

static int fake_memory_alloc(unsigned long long *address, size_t bytes)
{
    RECORD_CALL();
    if (bytes > MEMORY_MAX)
        return DYNO_CU_OUT_OF_MEMORY;
    void *block = aligned_alloc(256, (bytes + 511) / 256 * 256);
    if (block == NULL)
        return DYNO_CU_OUT_OF_MEMORY;
    record.live_count++;
    *address = (unsigned long long)(uintptr_t)block;
    return DYNO_CU_OK;
}

static int fake_memory_free(unsigned long long address)
{
    return record_old_handle((void *)(uintptr_t)address);
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
    cu->host_alloc = fake_host_alloc;
    cu->host_free = fake_host_free;
    cu->host_register = fake_host_register;
    cu->host_unregister = fake_host_unregister;
    cu->copy_in = fake_copy_in;
    cu->copy_within = fake_copy_within;
    cu->copy_out = fake_copy_out;
    cu->fill = fake_fill;
}
