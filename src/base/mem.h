/* mem.h - the only door to the heap.
 *
 * Everything allocates through dyno_alloc so that tests can make the n-th request fail and can
 * prove that nothing is left behind.  Any thread may call; counters are atomic.
 */
#ifndef DYNO_BASE_MEM_H
#define DYNO_BASE_MEM_H

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

/* Accepts NULL. */
void dyno_free(void *ptr);

/* Bytes live now and the highest ever (since the last reset). */
uint64_t dyno_mem_live_bytes(void);
uint64_t dyno_mem_peak_bytes(void);
void dyno_mem_peak_reset(void);

/* Test hooks: fail the n-th allocation from now (0 disables); live blocks. */
void dyno_mem_fail_at(uint64_t nth);
uint64_t dyno_mem_live_count(void);

#endif /* DYNO_BASE_MEM_H */
