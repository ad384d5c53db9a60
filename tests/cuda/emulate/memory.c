/* memory.c - memory of the GPU, which is the host's, between what cannot be touched. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "api.h"

#define PAGE_BYTES  ((size_t)4096)
#define GUARD_BYTES ((size_t)1 << 20) /* that cannot be touched, on both sides */
#define POISON      0xFF              /* NaN in every type */

struct pool {
    struct pool *next;
    uint64_t used_bytes, idle_bytes; /* idle: given back, but not to others than the pool */
};

struct block {
    struct block *next;
    struct pool *pool;       /* NULL: of none */
    unsigned char *map, *at; /* map NULL: the caller's, page-locked */
    size_t map_bytes, bytes;
    bool is_host;
};

static struct block *memory;
static struct pool *pools;
static uint64_t used_bytes; /* idle ones among them */

uint64_t emulate_memory_max(void)
{
    return emulate_setting("DYNO_EMULATE_MEMORY", UINT64_C(1) << 30);
}

/* The one that holds this byte; else the one that ends there: the caller's may lie side by side. */
static struct block **find_block(const void *at)
{
    struct block **link = &memory;
    struct block **ends = NULL;
    for (; *link != NULL; link = &(*link)->next) {
        if ((const unsigned char *)at < (*link)->at)
            continue;
        const size_t offset = (size_t)((const unsigned char *)at - (*link)->at);
        if (offset < (*link)->bytes)
            return link;
        if (offset == (*link)->bytes)
            ends = link;
    }
    return ends != NULL ? ends : link;
}

static bool is_free(const unsigned char *from, size_t bytes)
{
    for (const struct block *at = memory; at != NULL; at = at->next)
        if (from < at->at + at->bytes && at->at < from + bytes)
            return false;
    return true;
}

bool emulate_is_device(const void *bytes, size_t n)
{
    const struct block *block = *find_block(bytes);
    return block != NULL && !block->is_host &&
           n <= block->bytes - (size_t)((const unsigned char *)bytes - block->at);
}

bool emulate_is_pinned(const void *host)
{
    const struct block *block = *find_block(host);
    return block != NULL && block->is_host;
}

static int give(size_t bytes, bool is_host, void **out)
{
    const size_t pages = (bytes + 256 + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    const size_t map_bytes = pages + 2 * GUARD_BYTES;
    if (bytes == 0)
        return EMULATE_INVALID;
    if (!is_host && used_bytes + bytes > emulate_memory_max())
        return EMULATE_NO_MEMORY;
    struct block *block = calloc(1, sizeof(*block));
    void *map =
        mmap(NULL, map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block == NULL || map == MAP_FAILED ||
        mprotect((unsigned char *)map + GUARD_BYTES, pages, PROT_READ | PROT_WRITE) != 0) {
        free(block);
        return EMULATE_NO_MEMORY;
    }
    /* Its end at the end of the last page, as far as 256 divides where it begins. */
    *block = (struct block){memory, NULL, map, NULL, map_bytes, bytes, is_host};
    block->at = block->map + GUARD_BYTES + (pages - bytes) / 256 * 256;
    memset(block->map + GUARD_BYTES, POISON, pages);
    memory = block;
    used_bytes += is_host ? 0 : bytes;
    *out = block->at;
    return EMULATE_OK;
}

static int take(const void *at)
{
    struct block **link = find_block(at);
    struct block *block = *link;
    if (block == NULL || block->at != at)
        return EMULATE_INVALID;
    *link = block->next;
    if (block->pool != NULL) {
        block->pool->used_bytes -= block->bytes;
        block->pool->idle_bytes += block->bytes;
    } else {
        used_bytes -= block->is_host ? 0 : block->bytes;
    }
    if (block->map != NULL)
        (void)munmap(block->map, block->map_bytes);
    free(block);
    return EMULATE_OK;
}

int cuMemAlloc_v2(unsigned long long *address, size_t bytes)
{
    void *at = NULL;
    int code = emulate_begin();
    if (code == EMULATE_OK)
        code = give(bytes, false, &at);
    *address = (unsigned long long)(uintptr_t)at;
    return emulate_end(code);
}

/* Memory of a pool waits for nobody: what is still to be done with it then has no memory. */
int cuMemFree_v2(unsigned long long address)
{
    const int code = emulate_begin();
    const struct block *block = *find_block((const void *)(uintptr_t)address);
    if (block == NULL || block->pool == NULL)
        (void)emulate_stream_flush_all();
    const int taken = take((const void *)(uintptr_t)address);
    return emulate_end(code != EMULATE_OK ? code : taken);
}

/* --- pools --- */

static void trim(struct pool *pool)
{
    used_bytes -= pool->idle_bytes;
    pool->idle_bytes = 0;
}

void emulate_pools_trim(void)
{
    for (struct pool *pool = pools; pool != NULL; pool = pool->next)
        trim(pool);
}

static bool is_pool_of(const struct dyno_cu_pool_props *props)
{
    const struct dyno_cu_pool_props want = {
        .kind = DYNO_CU_POOL_PINNED, .place = DYNO_CU_POOL_DEVICE, .device = props->device};
    int device = 0;
    return memcmp(props, &want, sizeof(want)) == 0 &&
           cuDeviceGet(&device, props->device) == EMULATE_OK;
}

int cuMemPoolCreate(void **pool, const struct dyno_cu_pool_props *props)
{
    int code = emulate_begin();
    struct pool *made = NULL;
    if (code == EMULATE_OK && emulate_setting("DYNO_EMULATE_POOLS", 1) == 0)
        code = EMULATE_UNSUPPORTED;
    if (code == EMULATE_OK && !is_pool_of(props))
        code = EMULATE_INVALID;
    if (code == EMULATE_OK && (made = calloc(1, sizeof(*made))) == NULL)
        code = EMULATE_NO_MEMORY;
    if (made != NULL) {
        made->next = pools;
        pools = made;
    }
    *pool = made;
    return emulate_end(code);
}

/* A driver lets one that is in use live on; nobody here means to. */
int cuMemPoolDestroy(void *handle)
{
    struct pool **link = &pools;
    (void)emulate_begin(); /* also of a GPU that is broken, and without a context */
    while (*link != NULL && *link != handle)
        link = &(*link)->next;
    struct pool *pool = *link;
    if (pool == NULL)
        return emulate_end(EMULATE_INVALID);
    if (pool->used_bytes != 0 && emulate_broken == 0) {
        (void)fprintf(stderr, "emulated GPU: a pool is destroyed, and %llu bytes of it are used\n",
                      (unsigned long long)pool->used_bytes);
        abort();
    }
    trim(pool);
    *link = pool->next;
    for (struct block *block = memory; block != NULL; block = block->next)
        block->pool = block->pool == pool ? NULL : block->pool;
    free(pool);
    return emulate_end(EMULATE_OK);
}

/* What is idle is in pieces, and of no use before it is trimmed. */
int cuMemAllocFromPoolAsync(unsigned long long *address, size_t bytes, void *pool, void *stream)
{
    void *at = NULL;
    const bool is_capturing = emulate_library_is_capturing(stream);
    int code = emulate_begin();
    if (code == EMULATE_OK && is_capturing)
        code = EMULATE_CAPTURING;
    if (code == EMULATE_OK)
        code = give(bytes, false, &at);
    if (code == EMULATE_OK) {
        memory->pool = pool;
        memory->pool->used_bytes += bytes;
    }
    *address = (unsigned long long)(uintptr_t)at;
    return emulate_end(code);
}

int cuMemPoolTrimTo(void *pool, size_t bytes_kept)
{
    int code = emulate_begin();
    if (code == EMULATE_OK && bytes_kept != 0)
        code = EMULATE_UNSUPPORTED;
    if (code == EMULATE_OK)
        trim(pool);
    return emulate_end(code);
}

/* --- page-locked memory --- */

int cuMemHostAlloc(void **host, size_t bytes, unsigned int flags)
{
    int code = emulate_begin();
    (void)flags;
    if (code == EMULATE_OK)
        code = give(bytes, true, host);
    return emulate_end(code);
}

int cuMemFreeHost(void *host)
{
    const int code = emulate_begin();
    (void)emulate_stream_flush_all();
    const int taken = take(host);
    return emulate_end(code != EMULATE_OK ? code : taken);
}

/* Whole pages that nothing else of it locks already. */
int cuMemHostRegister_v2(void *host, size_t bytes, unsigned int flags)
{
    int code = emulate_begin();
    (void)flags;
    struct block *block = NULL;
    if (code == EMULATE_OK &&
        (bytes == 0 || (uintptr_t)host % PAGE_BYTES != 0 || !is_free(host, bytes)))
        code = EMULATE_INVALID;
    if (code == EMULATE_OK && (block = calloc(1, sizeof(*block))) == NULL)
        code = EMULATE_NO_MEMORY;
    if (block != NULL) {
        *block = (struct block){memory, NULL, NULL, host, 0, bytes, true};
        memory = block;
    }
    return emulate_end(code);
}

int cuMemHostUnregister(void *host)
{
    const int code = emulate_begin();
    (void)emulate_stream_flush_all();
    const struct block *block = *find_block(host);
    const int taken = block != NULL && block->map == NULL ? take(host) : EMULATE_INVALID;
    return emulate_end(code != EMULATE_OK ? code : taken);
}

/* --- copies --- */

/* Like one from page-locked memory: what lies there is read when its turn comes. */
int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t bytes, void *stream)
{
    const void *there = (const void *)(uintptr_t)from;
    return emulate_is_device(there, bytes) ? cuMemcpyHtoDAsync_v2(to, there, bytes, stream)
                                           : EMULATE_INVALID;
}
