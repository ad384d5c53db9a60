/* slab.c - blocks of equal objects; each object knows its block. */
#include "serve/net/slab.h"

#include <stdbool.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define POOLED false
#else
#define POOLED true
#endif
#define CLASSES      18
#define BLOCK_BYTES  32768 /* about */
#define COUNT_MIN    8     /* objects of a block */
#define PAGE_BYTES   4096
/* A large object of which mostly the beginning is used (nghttp2's frame buffer is one, 16 KiB a
 * session): it begins at a page, so that the pages behind stay untouched. */
#define PAGED_CLASS  (CLASSES - 1)
#define PAGED_STRIDE (5 * PAGE_BYTES)
#define PAGED_COUNT  16

static const uint16_t class_bytes[CLASSES] = {32,   64,   96,   128,  160,  192,
                                              256,  320,  384,  512,  768,  1024,
                                              1536, 2048, 3072, 4096, 8192, PAGED_STRIDE - 16};

/* Before each object. */
struct head {
    struct block *block; /* NULL: an allocation of its own */
    size_t bytes;        /* room after the head */
};

struct free_item {
    struct free_item *next;
};

struct block {
    _Alignas(16) struct block *next;
    struct block *prev; /* among the class's blocks with something free */
    struct free_item *free;
    uint32_t used_count;
    uint32_t class_idx;
    uint32_t fresh_bytes; /* before `end`, that were never handed out */
    char *end;
    bool is_listed;
};

struct dyno_slab {
    struct block *open[CLASSES];
    struct block *empty[CLASSES]; /* that is kept of each class, in the list, too; NULL: none */
    uint64_t live_count;
};

struct dyno_slab *dyno_slab_create(void)
{
    return dyno_alloc(1, sizeof(struct dyno_slab));
}

void dyno_slab_destroy(struct dyno_slab *slab)
{
    if (slab == NULL)
        return;
    DYNO_ASSERT(slab->live_count == 0);
    for (int i = 0; i < CLASSES; i++)
        dyno_free(slab->open[i]);
    dyno_free(slab);
}

static void list_add(struct dyno_slab *slab, struct block *block)
{
    struct block **first = &slab->open[block->class_idx];
    block->prev = NULL;
    block->next = *first;
    if (*first != NULL)
        (*first)->prev = block;
    *first = block;
    block->is_listed = true;
}

static void list_remove(struct dyno_slab *slab, struct block *block)
{
    if (block->prev != NULL)
        block->prev->next = block->next;
    else
        slab->open[block->class_idx] = block->next;
    if (block->next != NULL)
        block->next->prev = block->prev;
    block->is_listed = false;
}

static struct head *take_large(size_t bytes)
{
    struct head *head = dyno_alloc_raw(1, sizeof(*head) + bytes);
    if (head != NULL)
        *head = (struct head){.bytes = bytes};
    return head;
}

static struct block *open_block(struct dyno_slab *slab, uint32_t class_idx)
{
    struct block *block = slab->open[class_idx];
    if (block != NULL)
        return block;
    /* A whole number of objects. */
    const uint32_t whole = class_bytes[class_idx] + (uint32_t)sizeof(struct head);
    const uint32_t fitting = BLOCK_BYTES / whole;
    const uint32_t bytes = whole * (class_idx == PAGED_CLASS ? PAGED_COUNT
                                    : fitting < COUNT_MIN    ? COUNT_MIN
                                                             : fitting);
    const uint32_t slack = class_idx == PAGED_CLASS ? PAGE_BYTES : 0;
    block = dyno_alloc_raw(1, sizeof(*block) + bytes + slack);
    if (block == NULL)
        return NULL;
    *block = (struct block){.class_idx = class_idx, .fresh_bytes = bytes};
    const uintptr_t end = (uintptr_t)(block + 1) + bytes;
    block->end = (char *)(block + 1) + bytes;
    if (slack != 0)
        block->end += (PAGE_BYTES - end % PAGE_BYTES) % PAGE_BYTES;
    list_add(slab, block);
    return block;
}

static struct head *take(struct dyno_slab *slab, uint32_t class_idx)
{
    const uint32_t room = class_bytes[class_idx];
    const uint32_t whole = room + (uint32_t)sizeof(struct head);
    struct block *block = open_block(slab, class_idx);
    struct head *head = NULL;
    if (block == NULL)
        return NULL;
    if (block->free != NULL) {
        head = (struct head *)(void *)block->free;
        block->free = block->free->next;
    } else {
        head = (struct head *)(void *)(block->end - block->fresh_bytes);
        block->fresh_bytes -= whole;
    }
    *head = (struct head){.block = block, .bytes = room};
    block->used_count++;
    if (slab->empty[class_idx] == block)
        slab->empty[class_idx] = NULL;
    if (block->free == NULL && block->fresh_bytes < whole)
        list_remove(slab, block);
    return head;
}

void *dyno_slab_alloc(struct dyno_slab *slab, size_t bytes)
{
    uint32_t class_idx = 0;
    while (class_idx < CLASSES && class_bytes[class_idx] < bytes)
        class_idx++;
    if (bytes > SIZE_MAX / 2)
        return NULL;
    struct head *head = POOLED && class_idx < CLASSES ? take(slab, class_idx) : take_large(bytes);
    if (head == NULL)
        return NULL;
    slab->live_count++;
    return head + 1;
}

void *dyno_slab_zalloc(struct dyno_slab *slab, size_t bytes)
{
    void *ptr = dyno_slab_alloc(slab, bytes);
    if (ptr != NULL)
        memset(ptr, 0, bytes);
    return ptr;
}

void *dyno_slab_realloc(struct dyno_slab *slab, void *ptr, size_t bytes)
{
    const size_t room = ptr != NULL ? ((struct head *)ptr - 1)->bytes : 0;
    if (ptr != NULL && bytes <= room)
        return ptr;
    void *moved = dyno_slab_alloc(slab, bytes);
    if (moved != NULL && ptr != NULL) {
        memcpy(moved, ptr, room);
        dyno_slab_free(slab, ptr);
    }
    return moved;
}

void dyno_slab_free(struct dyno_slab *slab, void *ptr)
{
    if (ptr == NULL)
        return;
    struct head *head = (struct head *)ptr - 1;
    struct block *block = head->block;
    slab->live_count--;
    if (block == NULL) {
        dyno_free(head);
        return;
    }
    struct free_item *item = (void *)head;
    item->next = block->free;
    block->free = item;
    block->used_count--;
    if (!block->is_listed)
        list_add(slab, block);
    /* One empty block a class is kept, beside those in use: the next request asks for it again, and
     * a block that came and went with each would wander through all that the allocator has free. */
    if (block->used_count != 0)
        return;
    if (slab->empty[block->class_idx] == NULL) {
        slab->empty[block->class_idx] = block;
        return;
    }
    list_remove(slab, block);
    dyno_free(block);
}
