/* slab.h - small memory that one thread allocates and frees, without atomics.
 *
 * Objects come from blocks of one size class each; an empty block goes back to base's allocator,
 * except one a class.  Everything stays counted by dyno_mem_live_bytes.  Owner and only user: one
 * thread.  Under AddressSanitizer each object is an allocation of its own, so that use after free
 * is seen.
 */
#ifndef DYNO_SERVE_NET_SLAB_H
#define DYNO_SERVE_NET_SLAB_H

#include <stddef.h>
#include <stdint.h>

struct dyno_slab;

struct dyno_slab *dyno_slab_create(void);       /* NULL: out of memory */
void dyno_slab_destroy(struct dyno_slab *slab); /* every object was freed; accepts NULL */

/* 16-byte aligned, not zeroed; NULL when out of memory. */
void *dyno_slab_alloc(struct dyno_slab *slab, size_t bytes);
void *dyno_slab_zalloc(struct dyno_slab *slab, size_t bytes);
/* As realloc: ptr may be NULL; on failure NULL and ptr stays. */
void *dyno_slab_realloc(struct dyno_slab *slab, void *ptr, size_t bytes);
void dyno_slab_free(struct dyno_slab *slab, void *ptr); /* accepts NULL */

#endif /* DYNO_SERVE_NET_SLAB_H */
