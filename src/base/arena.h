/* arena.h - bump allocation with one release for everything.
 *
 * Owner: whoever created it.  One thread at a time.  Grows by chunks, small ones first; nothing is
 * freed singly.
 */
#ifndef DYNO_BASE_ARENA_H
#define DYNO_BASE_ARENA_H

#include <stddef.h>

struct dyno_arena;

/* NULL when out of memory. */
struct dyno_arena *dyno_arena_create(void);

/* Accepts NULL. */
void dyno_arena_destroy(struct dyno_arena *arena);

/* Forget everything, keep a chunk. */
void dyno_arena_reset(struct dyno_arena *arena);

/* Zeroed, 16-byte aligned (64-byte from 64 bytes up); NULL when out of memory or on overflow. */
void *dyno_arena_alloc(struct dyno_arena *arena, size_t count, size_t item_bytes);

/* Copies; NULL when out of memory. */
char *dyno_arena_strdup(struct dyno_arena *arena, const char *text);
char *dyno_arena_strndup(struct dyno_arena *arena, const char *text, size_t bytes);
void *dyno_arena_memdup(struct dyno_arena *arena, const void *data, size_t bytes);

#endif /* DYNO_BASE_ARENA_H */
