/* arena.c - chunks in a list; large requests get a chunk of their own. */
#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"

#define CHUNK_BYTES_MIN ((size_t)4 * 1024) /* of the first one; each has twice the room */
#define CHUNK_BYTES_MAX ((size_t)64 * 1024)

struct chunk {
    struct chunk *next;
    size_t used_bytes;
    size_t size_bytes;
    _Alignas(64) unsigned char data[];
};

struct dyno_arena {
    struct chunk *chunks; /* the one in use first */
};

static struct chunk *chunk_create(size_t size_bytes)
{
    struct chunk *chunk = dyno_alloc_raw(1, sizeof(*chunk) + size_bytes);
    if (chunk == NULL)
        return NULL;
    chunk->next = NULL;
    chunk->used_bytes = 0;
    chunk->size_bytes = size_bytes;
    return chunk;
}

struct dyno_arena *dyno_arena_create(void)
{
    return dyno_alloc(1, sizeof(struct dyno_arena));
}

static void drop_chunks(struct chunk *chunk)
{
    while (chunk != NULL) {
        struct chunk *next = chunk->next;
        dyno_free(chunk);
        chunk = next;
    }
}

void dyno_arena_destroy(struct dyno_arena *arena)
{
    if (arena == NULL)
        return;
    drop_chunks(arena->chunks);
    dyno_free(arena);
}

void dyno_arena_reset(struct dyno_arena *arena)
{
    if (arena->chunks == NULL)
        return;
    drop_chunks(arena->chunks->next);
    arena->chunks->next = NULL;
    arena->chunks->used_bytes = 0;
}

/* A large one may be the head, when it was the first. */
static size_t next_bytes(const struct chunk *head, size_t bytes)
{
    size_t size_bytes = head == NULL ? CHUNK_BYTES_MIN : 2 * head->size_bytes;
    while (size_bytes < bytes)
        size_bytes *= 2;
    return size_bytes < CHUNK_BYTES_MAX ? size_bytes : CHUNK_BYTES_MAX;
}

/* A chunk with room for `bytes`; a large request is put behind the head, which keeps its room. */
static struct chunk *chunk_for(struct dyno_arena *arena, size_t bytes, size_t align)
{
    struct chunk *head = arena->chunks;
    if (head != NULL) {
        const size_t start = (head->used_bytes + align - 1) & ~(align - 1);
        if (start <= head->size_bytes && head->size_bytes - start >= bytes)
            return head;
    }
    const bool is_large = bytes > CHUNK_BYTES_MAX / 4;
    struct chunk *chunk = chunk_create(is_large ? bytes : next_bytes(head, bytes));
    if (chunk == NULL)
        return NULL;
    if (is_large && head != NULL) {
        chunk->next = head->next;
        head->next = chunk;
    } else {
        chunk->next = head;
        arena->chunks = chunk;
    }
    return chunk;
}

void *dyno_arena_alloc(struct dyno_arena *arena, size_t count, size_t item_bytes)
{
    size_t bytes = 0;
    if (__builtin_mul_overflow(count, item_bytes, &bytes) || bytes > SIZE_MAX / 2)
        return NULL;
    const size_t align = bytes >= 64 ? 64 : 16;
    struct chunk *chunk = chunk_for(arena, bytes, align);
    if (chunk == NULL)
        return NULL;
    const size_t start = (chunk->used_bytes + align - 1) & ~(align - 1);
    chunk->used_bytes = start + bytes;
    memset(chunk->data + start, 0, bytes);
    return chunk->data + start;
}

void *dyno_arena_memdup(struct dyno_arena *arena, const void *data, size_t bytes)
{
    void *copy = dyno_arena_alloc(arena, bytes, 1);
    if (copy != NULL && bytes != 0)
        memcpy(copy, data, bytes);
    return copy;
}

char *dyno_arena_strndup(struct dyno_arena *arena, const char *text, size_t bytes)
{
    char *copy = dyno_arena_alloc(arena, bytes + 1, 1);
    if (copy != NULL && bytes != 0)
        memcpy(copy, text, bytes);
    return copy;
}

char *dyno_arena_strdup(struct dyno_arena *arena, const char *text)
{
    return dyno_arena_strndup(arena, text, strlen(text));
}
