/* mem.c - counted, aligned, failable allocation. */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

/* A block carries its size and its account in a header of one alignment unit. */
struct header {
    size_t bytes;
    struct dyno_mem_account *account;
};

static _Thread_local struct dyno_mem_account *own_account;

static atomic_uint_fast64_t fail_countdown;
static atomic_uint_fast64_t live_count;
static atomic_uint_fast64_t live_bytes;
static atomic_uint_fast64_t peak_bytes;

void dyno_mem_fail_at(uint64_t nth)
{
    atomic_store(&fail_countdown, nth);
}

uint64_t dyno_mem_live_count(void)
{
    return atomic_load(&live_count);
}

uint64_t dyno_mem_live_bytes(void)
{
    return atomic_load(&live_bytes);
}

uint64_t dyno_mem_peak_bytes(void)
{
    return atomic_load(&peak_bytes);
}

void dyno_mem_peak_reset(void)
{
    atomic_store(&peak_bytes, atomic_load(&live_bytes));
}

struct dyno_mem_account *dyno_mem_enter(struct dyno_mem_account *account)
{
    struct dyno_mem_account *before = own_account;
    own_account = account;
    return before;
}

static void count_up(size_t bytes)
{
    atomic_fetch_add_explicit(&live_count, 1, memory_order_relaxed);
    const uint64_t now = atomic_fetch_add(&live_bytes, bytes) + bytes;
    uint64_t peak = atomic_load(&peak_bytes);
    while (peak < now && !atomic_compare_exchange_weak(&peak_bytes, &peak, now)) {
    }
}

static int lose_this_one(void)
{
    uint64_t left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);
    while (left != 0 && !atomic_compare_exchange_weak(&fail_countdown, &left, left - 1)) {
    }
    return left == 1;
}

/* Blocks that hold several huge pages ask for them: activations of large images otherwise cost a
 * walk of the page tables every few lines. */
static void *take(size_t bytes)
{
    void *block = NULL;
    const bool is_large = bytes >= 2 * HUGE_PAGE_BYTES;
    if (posix_memalign(&block, is_large ? HUGE_PAGE_BYTES : DYNO_MEM_ALIGN_BYTES, bytes) != 0)
        return NULL;
    if (is_large)
        (void)madvise(block, bytes, MADV_HUGEPAGE); /* advice: small pages do as well */
    return block;
}

void *dyno_alloc_raw(size_t count, size_t item_bytes)
{
    size_t bytes = 0;
    size_t total = 0;
    if (__builtin_mul_overflow(count, item_bytes, &bytes) ||
        __builtin_add_overflow(bytes, (size_t)(2 * DYNO_MEM_ALIGN_BYTES - 1), &total))
        return NULL;
    total &= ~((size_t)DYNO_MEM_ALIGN_BYTES - 1);
    if (lose_this_one())
        return NULL;
    struct header *block = take(total);
    if (block == NULL)
        return NULL;
    block->bytes = total;
    block->account = own_account;
    count_up(total);
    if (block->account != NULL)
        atomic_fetch_add_explicit(&block->account->bytes, total, memory_order_relaxed);
    return (char *)block + DYNO_MEM_ALIGN_BYTES;
}

void *dyno_alloc(size_t count, size_t item_bytes)
{
    void *ptr = dyno_alloc_raw(count, item_bytes);
    if (ptr != NULL)
        memset(ptr, 0, count * item_bytes);
    return ptr;
}

void *dyno_realloc(void *ptr, size_t used_bytes, size_t new_count, size_t item_bytes)
{
    char *moved = dyno_alloc_raw(new_count, item_bytes);
    if (moved == NULL)
        return NULL;
    const size_t new_bytes = new_count * item_bytes;
    const size_t kept = used_bytes < new_bytes ? used_bytes : new_bytes;
    if (kept != 0)
        memcpy(moved, ptr, kept);
    memset(moved + kept, 0, new_bytes - kept);
    dyno_free(ptr);
    return moved;
}

void dyno_free(void *ptr)
{
    if (ptr == NULL)
        return;
    struct header *block = (void *)((char *)ptr - DYNO_MEM_ALIGN_BYTES);
    atomic_fetch_sub_explicit(&live_count, 1, memory_order_relaxed);
    atomic_fetch_sub(&live_bytes, block->bytes);
    if (block->account != NULL)
        atomic_fetch_sub_explicit(&block->account->bytes, block->bytes, memory_order_relaxed);
    free(block);
}
