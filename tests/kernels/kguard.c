/* kguard.c - buffers whose neighbours cannot be touched unnoticed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kcase.h"

#define CANARY 0xC7

struct kguard kguard_create(size_t bytes, size_t align)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t room = (bytes + align + page - 1) / page * page;
    struct kguard guard = {.map_bytes = room + 2 * page, .bytes = bytes, .page_bytes = page};
    guard.base =
        mmap(NULL, guard.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (guard.base == MAP_FAILED || mprotect(guard.base, page, PROT_NONE) != 0 ||
        mprotect(guard.base + page + room, page, PROT_NONE) != 0) {
        perror("kcheck: mmap");
        exit(EXIT_FAILURE);
    }
    guard.data = guard.base + page + (room - bytes) / align * align;
    memset(guard.base + page, CANARY, room);
    return guard;
}

void kguard_fill(struct kguard *guard, unsigned char byte)
{
    memset(guard->data, byte, guard->bytes);
}

void kguard_readonly(struct kguard *guard)
{
    (void)mprotect(guard->base + guard->page_bytes, guard->map_bytes - 2 * guard->page_bytes,
                   PROT_READ);
}

size_t kguard_damage(const struct kguard *guard)
{
    size_t damage = 0;
    const char *end = guard->base + guard->map_bytes - guard->page_bytes;
    for (const char *p = guard->base + guard->page_bytes; p < guard->data; p++)
        damage += (unsigned char)*p != CANARY;
    for (const char *p = guard->data + guard->bytes; p < end; p++)
        damage += (unsigned char)*p != CANARY;
    return damage;
}

void kguard_destroy(struct kguard *guard)
{
    if (guard->base != NULL)
        (void)munmap(guard->base, guard->map_bytes);
    guard->base = NULL;
}
