/* mem.c - counted, aligned, failable allocation. */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

/* Before each block: what it counts as, on which account, and where it really begins. */
struct header {
    size_t bytes;
    struct dyno_mem_account *account;
    void *whole;
};
#define HEADER_BYTES 32U /* of a multiple of malloc's alignment, which is 16 */
#define BEFORE_BYTES (HEADER_BYTES + DYNO_MEM_ALIGN_BYTES - 16U) /* at most, with the way to it */
_Static_assert(sizeof(struct header) <= HEADER_BYTES, "the header fits");

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
 * walk of the page tables every few lines.  Others are aligned by hand: glibc's posix_memalign does
 * not take back what it gave, and small blocks that come and go wander through all that is free. */
static void *take(size_t total)
{
    void *whole = NULL;
    if (total < 2 * HUGE_PAGE_BYTES)
        whole = malloc(total);
    else if (posix_memalign(&whole, HUGE_PAGE_BYTES, total) != 0)
        whole = NULL;
    else
        (void)madvise(whole, total, MADV_HUGEPAGE); /* advice: small pages do as well */
    if (whole == NULL)
        return NULL;
    const uintptr_t mask = DYNO_MEM_ALIGN_BYTES - 1;
    const uintptr_t least = (uintptr_t)whole + HEADER_BYTES;
    char *ptr = (char *)whole + HEADER_BYTES + ((least + mask) & ~mask) - least;
    struct header *header = (struct header *)(void *)(ptr - HEADER_BYTES);
    *header = (struct header){.bytes = total, .account = own_account, .whole = whole};
    return ptr;
}

void *dyno_alloc_raw(size_t count, size_t item_bytes)
{
    size_t bytes = 0;
    size_t total = 0;
    if (__builtin_mul_overflow(count, item_bytes, &bytes) ||
        __builtin_add_overflow(bytes, (size_t)(DYNO_MEM_ALIGN_BYTES - 1 + BEFORE_BYTES), &total))
        return NULL;
    total =
        ((bytes + DYNO_MEM_ALIGN_BYTES - 1) & ~((size_t)DYNO_MEM_ALIGN_BYTES - 1)) + BEFORE_BYTES;
    if (lose_this_one())
        return NULL;
    void *ptr = take(total);
    if (ptr == NULL)
        return NULL;
    count_up(total);
    if (own_account != NULL)
        atomic_fetch_add_explicit(&own_account->bytes, total, memory_order_relaxed);
    return ptr;
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

char *dyno_strdup(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = dyno_alloc_raw(bytes, 1);
    if (copy != NULL)
        memcpy(copy, text, bytes);
    return copy;
}

void dyno_free(void *ptr)
{
    if (ptr == NULL)
        return;
    const struct header *header = (void *)((char *)ptr - HEADER_BYTES);
    atomic_fetch_sub_explicit(&live_count, 1, memory_order_relaxed);
    atomic_fetch_sub(&live_bytes, header->bytes);
    if (header->account != NULL)
        atomic_fetch_sub_explicit(&header->account->bytes, header->bytes, memory_order_relaxed);
    free(header->whole);
}
