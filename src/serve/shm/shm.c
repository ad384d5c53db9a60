/* shm.c - regions by name, and copies from and to them. */
#include "serve/shm/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/utf8.h"

#define KEY_BYTES_MAX 255

struct dyno_shm_region {
    atomic_uint_fast32_t ref_count;
    int fd;
    uint64_t offset, bytes;
    const char *name, *key; /* in `text` */
    char text[];
};

struct dyno_shm {
    pthread_mutex_t lock;
    struct dyno_map regions; /* by name; each holds a reference */
    uint64_t bytes;
};

enum dyno_status dyno_shm_create(struct dyno_shm **shm_out, struct dyno_err *err)
{
    *shm_out = dyno_alloc(1, sizeof(**shm_out));
    if (*shm_out == NULL)
        return DYNO_NOMEM(err);
    (void)pthread_mutex_init(&(*shm_out)->lock, NULL);
    (void)signal(SIGXFSZ, SIG_IGN);
    return DYNO_OK;
}

void dyno_shm_destroy(struct dyno_shm *shm)
{
    if (shm == NULL)
        return;
    dyno_shm_unregister(shm, "");
    dyno_map_fini(&shm->regions);
    (void)pthread_mutex_destroy(&shm->lock);
    dyno_free(shm);
}

/* --- registering --- */

/* UTF-8 without control characters: what can be told again, in JSON and in protobuf. */
static bool is_plain(const char *text, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        const size_t length = dyno_utf8_next(text + at, bytes - at);
        if (length == 0 || (unsigned char)text[at] < 0x20 || text[at] == 0x7f)
            return false;
        at += length;
    }
    return true;
}

/* What other programs keep beside shared memory objects: named semaphores, and what Triton's
 * Python backend talks through. */
static bool is_reserved(const char *key)
{
    static const char *const prefixes[] = {"sem.", "triton_python_backend_shm_region_"};
    for (size_t i = 0; i < DYNO_COUNT(prefixes); i++)
        if (strncmp(key, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static enum dyno_status check_names(const char *name, const char *key, struct dyno_err *err)
{
    const size_t name_bytes = strlen(name);
    if (name_bytes == 0 || name_bytes > DYNO_SHM_NAME_BYTES_MAX || !is_plain(name, name_bytes))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "the name of a shared memory region is 1 to %d bytes of UTF-8 without "
                         "control characters",
                         DYNO_SHM_NAME_BYTES_MAX);
    key += key[0] == '/';
    const size_t bytes = strlen(key);
    if (bytes == 0 || bytes > KEY_BYTES_MAX || !is_plain(key, bytes) || strchr(key, '/') != NULL ||
        strcmp(key, ".") == 0 || strcmp(key, "..") == 0)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "shared memory region '%s': a key is one name of 1 to %d bytes, with or "
                         "without a slash before it",
                         name, KEY_BYTES_MAX);
    if (is_reserved(key))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "shared memory region '%s': that key is of a kind that clients may not "
                         "name",
                         name);
    return DYNO_OK;
}

/* The reasons of the system stay here: they would tell what else this machine has. */
static enum dyno_status open_object(struct dyno_shm_region *region, struct dyno_err *err)
{
    struct stat info;
    char path[KEY_BYTES_MAX + 2] = "/";
    const char *key = region->key + (region->key[0] == '/');
    memcpy(path + 1, key, strlen(key) + 1);
    region->fd = shm_open(path, O_RDWR, 0);
    if (region->fd < 0 || fstat(region->fd, &info) != 0 || !S_ISREG(info.st_mode))
        return DYNO_FAIL(err, DYNO_E_ARG, "shared memory region '%s': its key cannot be opened",
                         region->name);
    const uint64_t size = info.st_size > 0 ? (uint64_t)info.st_size : 0;
    if (region->bytes == 0 || region->offset > size || region->bytes > size - region->offset)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "shared memory region '%s': %llu bytes from %llu on are not in the object "
                         "of its key",
                         region->name, (unsigned long long)region->bytes,
                         (unsigned long long)region->offset);
    return DYNO_OK;
}

void dyno_shm_unref(struct dyno_shm_region *region)
{
    if (atomic_fetch_sub_explicit(&region->ref_count, 1, memory_order_acq_rel) > 1)
        return;
    if (region->fd >= 0)
        (void)close(region->fd);
    dyno_free(region);
}

static struct dyno_shm_region *make_region(const char *name, const char *key, uint64_t offset,
                                           uint64_t bytes)
{
    const size_t name_bytes = strlen(name) + 1;
    const size_t key_bytes = strlen(key) + 1;
    struct dyno_shm_region *region = dyno_alloc(1, sizeof(*region) + name_bytes + key_bytes);
    if (region == NULL)
        return NULL;
    atomic_init(&region->ref_count, 1);
    region->fd = -1;
    region->offset = offset;
    region->bytes = bytes;
    region->name = memcpy(region->text, name, name_bytes);
    region->key = memcpy(region->text + name_bytes, key, key_bytes);
    return region;
}

/* Under the lock. */
static enum dyno_status add(struct dyno_shm *shm, struct dyno_shm_region *region,
                            struct dyno_err *err)
{
    const size_t name_bytes = strlen(region->name);
    if (dyno_map_find(&shm->regions, region->name, name_bytes, NULL))
        return DYNO_FAIL(err, DYNO_E_EXISTS, "shared memory region '%s' is registered already",
                         region->name);
    if (shm->regions.count == DYNO_SHM_REGIONS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT,
                         "shared memory region '%s': %d regions are registered already",
                         region->name, DYNO_SHM_REGIONS_MAX);
    if (region->bytes > DYNO_SHM_BYTES_MAX - shm->bytes)
        return DYNO_FAIL(err, DYNO_E_LIMIT,
                         "shared memory region '%s': all regions would be more than %llu bytes",
                         region->name, (unsigned long long)DYNO_SHM_BYTES_MAX);
    if (!dyno_map_put_ptr(&shm->regions, region->name, name_bytes, region))
        return DYNO_NOMEM(err);
    shm->bytes += region->bytes;
    return DYNO_OK;
}

enum dyno_status dyno_shm_register(struct dyno_shm *shm, const char *name, const char *key,
                                   uint64_t offset, uint64_t bytes, struct dyno_err *err)
{
    DYNO_TRY(check_names(name, key, err));
    struct dyno_shm_region *region = make_region(name, key, offset, bytes);
    if (region == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = open_object(region, err);
    if (status == DYNO_OK) {
        (void)pthread_mutex_lock(&shm->lock);
        status = add(shm, region, err);
        (void)pthread_mutex_unlock(&shm->lock);
    }
    if (status != DYNO_OK)
        dyno_shm_unref(region);
    return status;
}

/* Under the lock. */
static void take_out(struct dyno_shm *shm, struct dyno_shm_region *region)
{
    (void)dyno_map_remove(&shm->regions, region->name, strlen(region->name));
    shm->bytes -= region->bytes;
    dyno_shm_unref(region);
}

void dyno_shm_unregister(struct dyno_shm *shm, const char *name)
{
    (void)pthread_mutex_lock(&shm->lock);
    if (name[0] != 0) {
        struct dyno_shm_region *region = dyno_map_find_ptr(&shm->regions, name, strlen(name));
        if (region != NULL)
            take_out(shm, region);
    } else {
        size_t cursor = 0;
        size_t key_bytes = 0;
        const char *key = NULL;
        uint64_t value = 0;
        while (dyno_map_next(&shm->regions, &cursor, &key, &key_bytes, &value))
            dyno_shm_unref((struct dyno_shm_region *)(uintptr_t)value);
        dyno_map_clear(&shm->regions);
        shm->bytes = 0;
    }
    (void)pthread_mutex_unlock(&shm->lock);
}

/* --- telling --- */

static enum dyno_status put_row(const struct dyno_shm_region *region, struct dyno_arena *arena,
                                struct dyno_shm_row *row, struct dyno_err *err)
{
    *row = (struct dyno_shm_row){.name = dyno_arena_strdup(arena, region->name),
                                 .key = dyno_arena_strdup(arena, region->key),
                                 .offset = region->offset,
                                 .bytes = region->bytes};
    return row->name != NULL && row->key != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct dyno_shm_row *)a)->name, ((const struct dyno_shm_row *)b)->name);
}

static enum dyno_status not_found(const char *name, struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "there is no shared memory region '%.*s'",
                     DYNO_SHM_NAME_BYTES_MAX, name);
}

/* Under the lock. */
static enum dyno_status list(struct dyno_shm *shm, const char *name, struct dyno_arena *arena,
                             struct dyno_shm_row *rows, size_t *count_out, struct dyno_err *err)
{
    size_t cursor = 0;
    size_t key_bytes = 0;
    const char *key = NULL;
    uint64_t value = 0;
    if (name[0] != 0) {
        const struct dyno_shm_region *region = dyno_map_find_ptr(&shm->regions, name, strlen(name));
        *count_out = 1;
        return region != NULL ? put_row(region, arena, rows, err) : not_found(name, err);
    }
    while (dyno_map_next(&shm->regions, &cursor, &key, &key_bytes, &value))
        DYNO_TRY(put_row((const struct dyno_shm_region *)(uintptr_t)value, arena,
                         &rows[(*count_out)++], err));
    qsort(rows, *count_out, sizeof(*rows), by_name);
    return DYNO_OK;
}

enum dyno_status dyno_shm_list(struct dyno_shm *shm, const char *name, struct dyno_arena *arena,
                               struct dyno_shm_row **rows_out, size_t *count_out,
                               struct dyno_err *err)
{
    *count_out = 0;
    (void)pthread_mutex_lock(&shm->lock);
    *rows_out = dyno_arena_alloc(arena, shm->regions.count + 1, sizeof(**rows_out));
    const enum dyno_status status =
        *rows_out != NULL ? list(shm, name, arena, *rows_out, count_out, err) : DYNO_NOMEM(err);
    (void)pthread_mutex_unlock(&shm->lock);
    return status;
}

/* --- using --- */

enum dyno_status dyno_shm_find(struct dyno_shm *shm, const char *name,
                               struct dyno_shm_region **region_out, struct dyno_err *err)
{
    (void)pthread_mutex_lock(&shm->lock);
    struct dyno_shm_region *region = dyno_map_find_ptr(&shm->regions, name, strlen(name));
    if (region != NULL)
        atomic_fetch_add_explicit(&region->ref_count, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&shm->lock);
    *region_out = region;
    return region != NULL ? DYNO_OK : not_found(name, err);
}

enum dyno_status dyno_shm_check(const struct dyno_shm_region *region, uint64_t offset,
                                uint64_t bytes, struct dyno_err *err)
{
    if (offset <= region->bytes && bytes <= region->bytes - offset)
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_ARG,
                     "%llu bytes from %llu on are not in shared memory region '%s', which has %llu",
                     (unsigned long long)bytes, (unsigned long long)offset, region->name,
                     (unsigned long long)region->bytes);
}

static enum dyno_status shortened(const struct dyno_shm_region *region, struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_ARG,
                     "shared memory region '%s' is not as large any more as it was registered",
                     region->name);
}

enum dyno_status dyno_shm_read(const struct dyno_shm_region *region, uint64_t offset, void *to,
                               size_t bytes, struct dyno_err *err)
{
    char *at = to;
    DYNO_TRY(dyno_shm_check(region, offset, bytes, err));
    for (off_t from = (off_t)(region->offset + offset); bytes > 0;) {
        const ssize_t got = pread(region->fd, at, bytes, from);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return shortened(region, err);
        at += got;
        from += got;
        bytes -= (size_t)got;
    }
    return DYNO_OK;
}

enum dyno_status dyno_shm_write(const struct dyno_shm_region *region, uint64_t offset,
                                const void *from, size_t bytes, struct dyno_err *err)
{
    struct stat info;
    const char *at = from;
    DYNO_TRY(dyno_shm_check(region, offset, bytes, err));
    off_t to = (off_t)(region->offset + offset);
    if (fstat(region->fd, &info) != 0 || info.st_size - to < (off_t)bytes)
        return shortened(region, err);
    while (bytes > 0) {
        const ssize_t put = pwrite(region->fd, at, bytes, to);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return DYNO_FAIL(err, DYNO_E_ARG, "shared memory region '%s' cannot be written",
                             region->name);
        at += put;
        to += put;
        bytes -= (size_t)put;
    }
    return DYNO_OK;
}
