/* map.h - a hash table from byte strings to a 64-bit value or a pointer.
 *
 * Keys are borrowed: they must live as long as their entry.  Zero-initialised is empty.  One thread
 * at a time.  Iteration order depends only on the keys and the order they came in.
 */
#ifndef DYNO_BASE_MAP_H
#define DYNO_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dyno_map_slot;

struct dyno_map {
    struct dyno_map_slot *slots;
    size_t capacity; /* power of two, or 0 */
    size_t count;
};

void dyno_map_fini(struct dyno_map *map);
void dyno_map_clear(struct dyno_map *map);

/* Insert or replace (the first key pointer stays); false when out of memory. */
bool dyno_map_put(struct dyno_map *map, const char *key, size_t key_bytes, uint64_t value);

/* False when absent; value_out may be NULL. */
bool dyno_map_find(const struct dyno_map *map, const char *key, size_t key_bytes,
                   uint64_t *value_out);

/* False when it was absent. */
bool dyno_map_remove(struct dyno_map *map, const char *key, size_t key_bytes);

/* The next entry; start with *cursor 0.  False at the end. */
bool dyno_map_next(const struct dyno_map *map, size_t *cursor, const char **key_out,
                   size_t *key_bytes_out, uint64_t *value_out);

/* The same with pointers for values; find gives NULL when absent. */
static inline bool dyno_map_put_ptr(struct dyno_map *map, const char *key, size_t key_bytes,
                                    void *value)
{
    return dyno_map_put(map, key, key_bytes, (uint64_t)(uintptr_t)value);
}
static inline void *dyno_map_find_ptr(const struct dyno_map *map, const char *key, size_t key_bytes)
{
    uint64_t value = 0;
    return dyno_map_find(map, key, key_bytes, &value) ? (void *)(uintptr_t)value : NULL;
}

#endif /* DYNO_BASE_MAP_H */
