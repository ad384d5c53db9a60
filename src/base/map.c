/* map.c - open addressing with linear probing, at most half full; removal shifts back. */
#include "base/map.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

struct dyno_map_slot {
    const char *key; /* NULL: free */
    size_t key_bytes;
    uint64_t hash;
    uint64_t value;
};

void dyno_map_fini(struct dyno_map *map)
{
    dyno_free(map->slots);
    *map = (struct dyno_map){0};
}

void dyno_map_clear(struct dyno_map *map)
{
    if (map->slots != NULL)
        memset(map->slots, 0, map->capacity * sizeof(*map->slots));
    map->count = 0;
}

/* The slot that holds the key, or the free one where it belongs. */
static struct dyno_map_slot *slot_for(const struct dyno_map *map, const char *key, size_t key_bytes,
                                      uint64_t hash)
{
    size_t at = (size_t)hash & (map->capacity - 1);
    for (;; at = (at + 1) & (map->capacity - 1)) {
        struct dyno_map_slot *slot = &map->slots[at];
        if (slot->key == NULL)
            return slot;
        if (slot->hash == hash && slot->key_bytes == key_bytes &&
            (key_bytes == 0 || memcmp(slot->key, key, key_bytes) == 0))
            return slot;
    }
}

static bool grow(struct dyno_map *map)
{
    struct dyno_map larger = {.capacity = map->capacity != 0 ? map->capacity * 2 : 16};
    larger.slots = dyno_alloc(larger.capacity, sizeof(*larger.slots));
    if (larger.slots == NULL)
        return false;
    larger.count = map->count;
    for (size_t i = 0; i < map->capacity; i++) {
        const struct dyno_map_slot *old = &map->slots[i];
        if (old->key != NULL)
            *slot_for(&larger, old->key, old->key_bytes, old->hash) = *old;
    }
    dyno_free(map->slots);
    *map = larger;
    return true;
}

bool dyno_map_put(struct dyno_map *map, const char *key, size_t key_bytes, uint64_t value)
{
    if ((map->count + 1) * 2 > map->capacity && !grow(map))
        return false;
    const uint64_t hash = dyno_hash64(0, key, key_bytes);
    struct dyno_map_slot *slot = slot_for(map, key, key_bytes, hash);
    if (slot->key == NULL) {
        *slot = (struct dyno_map_slot){
            .key = key != NULL ? key : "", .key_bytes = key_bytes, .hash = hash};
        map->count++;
    }
    slot->value = value;
    return true;
}

bool dyno_map_find(const struct dyno_map *map, const char *key, size_t key_bytes,
                   uint64_t *value_out)
{
    if (map->count == 0)
        return false;
    const struct dyno_map_slot *slot =
        slot_for(map, key, key_bytes, dyno_hash64(0, key, key_bytes));
    if (slot->key == NULL)
        return false;
    if (value_out != NULL)
        *value_out = slot->value;
    return true;
}

bool dyno_map_remove(struct dyno_map *map, const char *key, size_t key_bytes)
{
    if (map->count == 0)
        return false;
    struct dyno_map_slot *slot = slot_for(map, key, key_bytes, dyno_hash64(0, key, key_bytes));
    if (slot->key == NULL)
        return false;
    const size_t mask = map->capacity - 1;
    size_t hole = (size_t)(slot - map->slots);
    for (size_t at = (hole + 1) & mask; map->slots[at].key != NULL; at = (at + 1) & mask) {
        const size_t home = (size_t)map->slots[at].hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole].key = NULL;
    map->count--;
    return true;
}

bool dyno_map_next(const struct dyno_map *map, size_t *cursor, const char **key_out,
                   size_t *key_bytes_out, uint64_t *value_out)
{
    while (*cursor < map->capacity) {
        const struct dyno_map_slot *slot = &map->slots[(*cursor)++];
        if (slot->key == NULL)
            continue;
        *key_out = slot->key;
        *key_bytes_out = slot->key_bytes;
        *value_out = slot->value;
        return true;
    }
    return false;
}
