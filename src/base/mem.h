/* mem.h - the only door to the heap.
 *
 * Everything allocates through dyno_alloc so that tests can make the n-th request fail and can
 * prove that nothing is left behind.  Any thread may call; counters are atomic.
 */
#ifndef DYNO_BASE_MEM_H
#define DYNO_BASE_MEM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define DYNO_MEM_ALIGN_BYTES 64

/* Zeroed storage for `count` items, 64-byte aligned; NULL on exhaustion or on size overflow. */
void *dyno_alloc(size_t count, size_t item_bytes);

/* The same, not zeroed: for large buffers that are written before they are read. */
void *dyno_alloc_raw(size_t count, size_t item_bytes);

/* Move `ptr` (may be NULL, holding used_bytes) to a block of new_count items; the tail is zeroed.
 * On failure NULL, and `ptr` is still owned by the caller. */
void *dyno_realloc(void *ptr, size_t used_bytes, size_t new_count, size_t item_bytes);

/* A copy of the text; NULL on exhaustion. */
char *dyno_strdup(const char *text);

/* Accepts NULL. */
void dyno_free(void *ptr);

/* --- accounts --- */

/* Bytes of the blocks that were allocated while the account was their thread's own and that are not
 * freed, headers included; a block may be freed by any thread.  Outlives its blocks. */
struct dyno_mem_account {
    atomic_uint_fast64_t bytes;
};

/* What this thread allocates from now on counts on `account`, too (NULL: on none).  Returns the
 * account before, for dyno_mem_leave. */
struct dyno_mem_account *dyno_mem_enter(struct dyno_mem_account *account);
static inline void dyno_mem_leave(struct dyno_mem_account *before)
{
    (void)dyno_mem_enter(before);
}

/* --- the process --- */

/* Bytes live now and the highest ever (since the last reset). */
uint64_t dyno_mem_live_bytes(void);
uint64_t dyno_mem_peak_bytes(void);
void dyno_mem_peak_reset(void);

/* Test hooks: fail the n-th allocation from now (0 disables); live blocks. */
void dyno_mem_fail_at(uint64_t nth);
uint64_t dyno_mem_live_count(void);

#endif /* DYNO_BASE_MEM_H */
