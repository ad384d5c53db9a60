/* cache.c - a sorted array on disk, an open table in memory. */
#include "tune/cache.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/strbuf.h"

#define KERNEL_NAME_BYTES 48

struct entry {
    struct dyno_tune_key key;
    float us; /* 0: empty slot */
    char kernel[KERNEL_NAME_BYTES];
};

struct dyno_tune_cache {
    struct entry *slots;
    uint32_t capacity; /* power of two, or 0 */
    uint32_t count;
};

struct dyno_tune_cache *dyno_tune_cache_create(void)
{
    return dyno_alloc(1, sizeof(struct dyno_tune_cache));
}

void dyno_tune_cache_destroy(struct dyno_tune_cache *cache)
{
    if (cache == NULL)
        return;
    dyno_free(cache->slots);
    dyno_free(cache);
}

uint32_t dyno_tune_cache_count(const struct dyno_tune_cache *cache)
{
    return cache->count;
}

static struct entry *slot_of(struct entry *slots, uint32_t capacity, struct dyno_tune_key key)
{
    uint32_t at = (uint32_t)key.lo & (capacity - 1);
    while (slots[at].us != 0.0F && (slots[at].key.lo != key.lo || slots[at].key.hi != key.hi))
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

bool dyno_tune_cache_find(const struct dyno_tune_cache *cache, struct dyno_tune_key key,
                          float *us_out)
{
    if (cache->capacity == 0)
        return false;
    const struct entry *entry = slot_of(cache->slots, cache->capacity, key);
    *us_out = entry->us;
    return entry->us != 0.0F;
}

static bool grow(struct dyno_tune_cache *cache)
{
    const uint32_t capacity = cache->capacity == 0 ? 256 : cache->capacity * 2;
    struct entry *slots = dyno_alloc(capacity, sizeof(*slots));
    if (slots == NULL)
        return false;
    for (uint32_t i = 0; i < cache->capacity; i++) {
        if (cache->slots[i].us != 0.0F)
            *slot_of(slots, capacity, cache->slots[i].key) = cache->slots[i];
    }
    dyno_free(cache->slots);
    cache->slots = slots;
    cache->capacity = capacity;
    return true;
}

bool dyno_tune_cache_put(struct dyno_tune_cache *cache, struct dyno_tune_key key, float us,
                         const char *kernel)
{
    if (cache->count + 1 > cache->capacity / 2 && !grow(cache))
        return false;
    struct entry *entry = slot_of(cache->slots, cache->capacity, key);
    if (entry->us != 0.0F && entry->us <= us)
        return true;
    if (entry->us == 0.0F)
        cache->count++;
    entry->key = key;
    entry->us = us > 1e-3F ? us : 1e-3F;
    (void)snprintf(entry->kernel, sizeof(entry->kernel), "%s", kernel);
    return true;
}

/* Sixteen digits that were checked. */
static uint64_t hex_of(const char *digits)
{
    uint64_t value = 0;
    for (int i = 0; i < 16; i++)
        value = value << 4 | (uint64_t)(digits[i] <= '9' ? digits[i] - '0' : digits[i] - 'a' + 10);
    return value;
}

static enum dyno_status load_line(struct dyno_tune_cache *cache, const char *path, unsigned line,
                                  const char *text, struct dyno_err *err)
{
    if (text[0] == '#' || text[0] == 0)
        return DYNO_OK;
    char *end = NULL;
    const float us = strlen(text) > 33 ? strtof(text + 33, &end) : 0.0F;
    if (end == NULL || strspn(text, "0123456789abcdef") != 32 || text[32] != ' ' || !(us > 0.0F) ||
        us > 1e9F || *end != ' ' || end[1] == 0 || strchr(end + 1, ' ') != NULL ||
        strlen(end + 1) >= KERNEL_NAME_BYTES)
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "timing cache '%s': line %u is not 'KEY MICROSECONDS KERNEL'", path, line);
    const struct dyno_tune_key key = {.hi = hex_of(text), .lo = hex_of(text + 16)};
    const char *kernel = end + 1;
    return dyno_tune_cache_put(cache, key, us, kernel) ? DYNO_OK : DYNO_NOMEM(err);
}

enum dyno_status dyno_tune_cache_load(struct dyno_tune_cache *cache, const char *path,
                                      struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    char text[256];
    struct dyno_file_map map = {0};
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return DYNO_OK;
    DYNO_TRY(dyno_file_map(path, &map, err));
    const char *at = map.data;
    const char *const end = at + map.bytes;
    for (unsigned line = 1; at < end && status == DYNO_OK; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const size_t bytes = (size_t)((stop != NULL ? stop : end) - at);
        const size_t kept = bytes < sizeof(text) - 1 ? bytes : sizeof(text) - 1;
        memcpy(text, at, kept);
        text[kept] = 0;
        status = load_line(cache, path, line, text, err);
        at += bytes + 1;
    }
    dyno_file_unmap(&map);
    return status;
}

static int by_key(const void *a, const void *b)
{
    const struct dyno_tune_key x = (*(const struct entry *const *)a)->key;
    const struct dyno_tune_key y = (*(const struct entry *const *)b)->key;
    if (x.hi != y.hi)
        return x.hi < y.hi ? -1 : 1;
    return x.lo < y.lo ? -1 : x.lo > y.lo;
}

enum dyno_status dyno_tune_cache_save(const struct dyno_tune_cache *cache, const char *path,
                                      struct dyno_err *err)
{
    struct dyno_strbuf text = {0};
    const struct entry **order = dyno_alloc(cache->count + 1U, sizeof(*order));
    uint32_t count = 0;
    if (order == NULL)
        return DYNO_NOMEM(err);
    for (uint32_t i = 0; i < cache->capacity; i++) {
        if (cache->slots[i].us != 0.0F)
            order[count++] = &cache->slots[i];
    }
    qsort(order, count, sizeof(*order), by_key);
    dyno_strbuf_puts(&text, "# dyno timing cache 1: key, microseconds, kernel\n");
    for (uint32_t i = 0; i < count; i++)
        dyno_strbuf_printf(&text, "%016" PRIx64 "%016" PRIx64 " %.9g %s\n", order[i]->key.hi,
                           order[i]->key.lo, (double)order[i]->us, order[i]->kernel);
    dyno_free(order);
    return dyno_file_write_text(path, &text, err);
}
