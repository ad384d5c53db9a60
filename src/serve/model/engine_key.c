/* engine_key.c - files listed, looked at, read; SHA-256 of what counts. */
#include "serve/model/engine_key.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/mem.h"
#include "dyno/engine.h"

#define DEPTH_MAX    8
#define BUFFER_BYTES ((size_t)256 * 1024)

/* --- the files --- */

struct file {
    const char *name; /* inside the version's folder */
    struct stat info;
};

struct files {
    struct dyno_arena *arena;
    const char *folder;
    struct file *items; /* by name */
    size_t count;
    struct dyno_err *err;
};

static bool is_engine(const char *name)
{
    const char *dot = strstr(name, ".engine");
    return dot != NULL && (dot[7] == 0 || strcmp(dot + 7, ".json") == 0);
}

/* "a/b" in the arena; "" is no folder of its own. */
static char *join(struct dyno_arena *arena, const char *folder, const char *name)
{
    const size_t bytes = strlen(folder) + strlen(name) + 2;
    char *path = dyno_arena_alloc(arena, bytes, 1);
    if (path != NULL)
        (void)snprintf(path, bytes, "%s%s%s", folder, folder[0] != 0 ? "/" : "", name);
    return path;
}

static enum dyno_status read_folder(struct files *files, const char *inner, int depth);

static enum dyno_status add(struct files *files, const char *inner, const char *name, int depth)
{
    char *at = join(files->arena, inner, name);
    const char *path = at != NULL ? join(files->arena, files->folder, at) : NULL;
    struct stat info;
    if (path == NULL)
        return DYNO_NOMEM(files->err);
    if (stat(path, &info) != 0)
        return errno == ENOENT ? DYNO_OK /* gone, or a link to nothing */
                               : DYNO_FAIL(files->err, DYNO_E_IO, "cannot look at '%s': %s", path,
                                           strerror(errno));
    if (S_ISDIR(info.st_mode))
        return read_folder(files, at, depth + 1);
    if (!S_ISREG(info.st_mode) || is_engine(name))
        return DYNO_OK;
    if (files->count == DYNO_MODEL_FILES_MAX)
        return DYNO_FAIL(files->err, DYNO_E_LIMIT, "'%s' holds more than %d files", files->folder,
                         DYNO_MODEL_FILES_MAX);
    files->items[files->count++] = (struct file){.name = at, .info = info};
    return DYNO_OK;
}

/* Links are followed, as whoever lays out volumes uses them; depth and count bound the rest. */
static enum dyno_status read_folder(struct files *files, const char *inner, int depth)
{
    enum dyno_status status = DYNO_OK;
    const char *path = inner[0] != 0 ? join(files->arena, files->folder, inner) : files->folder;
    if (path == NULL)
        return DYNO_NOMEM(files->err);
    if (depth > DEPTH_MAX)
        return DYNO_FAIL(files->err, DYNO_E_LIMIT, "'%s' lies more than %d folders deep", path,
                         DEPTH_MAX);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return DYNO_FAIL(files->err, DYNO_E_IO, "cannot read the folder '%s': %s", path,
                         strerror(errno));
    for (struct dirent *entry = readdir(dir); entry != NULL && status == DYNO_OK;
         entry = readdir(dir))
        if (strcmp(entry->d_name, ".") != 0 && strncmp(entry->d_name, "..", 2) != 0)
            status = add(files, inner, entry->d_name, depth);
    (void)closedir(dir);
    return status;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static enum dyno_status list(const char *folder, struct files *files, struct dyno_err *err)
{
    *files = (struct files){.arena = dyno_arena_create(), .folder = folder, .err = err};
    if (files->arena == NULL)
        return DYNO_NOMEM(err);
    files->items = dyno_arena_alloc(files->arena, DYNO_MODEL_FILES_MAX, sizeof(*files->items));
    if (files->items == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(read_folder(files, "", 0));
    qsort(files->items, files->count, sizeof(*files->items), compare);
    return DYNO_OK;
}

enum dyno_status dyno_model_stamp(const char *folder, uint64_t *stamp_out, struct dyno_err *err)
{
    struct files files;
    uint64_t stamp = 0;
    const enum dyno_status status = list(folder, &files, err);
    for (size_t i = 0; i < files.count && status == DYNO_OK; i++) {
        const struct stat *info = &files.items[i].info;
        const uint64_t facts[] = {(uint64_t)info->st_dev,          (uint64_t)info->st_ino,
                                  (uint64_t)info->st_size,         (uint64_t)info->st_mtim.tv_sec,
                                  (uint64_t)info->st_mtim.tv_nsec, (uint64_t)info->st_ctim.tv_sec,
                                  (uint64_t)info->st_ctim.tv_nsec};
        stamp = dyno_hash64(stamp, files.items[i].name, strlen(files.items[i].name) + 1);
        stamp = dyno_hash64(stamp, facts, sizeof(facts));
    }
    dyno_arena_destroy(files.arena);
    *stamp_out = stamp;
    return status;
}

/* --- their bytes --- */

struct summing {
    struct dyno_sha256 sha;
    uint8_t *buffer;
    const atomic_bool *is_cancelled;
};

/* Read, not mapped: a file that is cut short under a map is a signal. */
static enum dyno_status add_file(struct summing *summing, const struct files *files,
                                 const struct file *file, struct dyno_err *err)
{
    const char *path = join(files->arena, files->folder, file->name);
    uint64_t total_bytes = 0;
    enum dyno_status status = DYNO_OK;
    if (path == NULL)
        return DYNO_NOMEM(err);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot open '%s': %s", path, strerror(errno));
    dyno_sha256_update(&summing->sha, file->name, strlen(file->name) + 1);
    for (;;) {
        const ssize_t got = read(fd, summing->buffer, BUFFER_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = DYNO_FAIL(err, DYNO_E_IO, "cannot read '%s': %s", path, strerror(errno));
        else if (summing->is_cancelled != NULL && atomic_load(summing->is_cancelled))
            status = DYNO_FAIL(err, DYNO_E_CANCELLED, "the reading of '%s' was ended", path);
        if (got <= 0 || status != DYNO_OK)
            break;
        dyno_sha256_update(&summing->sha, summing->buffer, (size_t)got);
        total_bytes += (uint64_t)got;
    }
    (void)close(fd);
    dyno_sha256_update(&summing->sha, &total_bytes, sizeof(total_bytes));
    return status;
}

enum dyno_status dyno_model_sum(const char *folder, const atomic_bool *is_cancelled,
                                uint8_t sum_out[32], struct dyno_err *err)
{
    struct files files;
    struct summing summing = {.is_cancelled = is_cancelled};
    enum dyno_status status = list(folder, &files, err);
    if (status != DYNO_OK)
        goto out;
    summing.buffer = dyno_alloc_raw(BUFFER_BYTES, 1);
    if (summing.buffer == NULL) {
        status = DYNO_NOMEM(err);
        goto out;
    }
    dyno_sha256_init(&summing.sha);
    for (size_t i = 0; i < files.count && status == DYNO_OK; i++)
        status = add_file(&summing, &files, &files.items[i], err);
    dyno_sha256_final(&summing.sha, sum_out);
out:
    dyno_free(summing.buffer);
    dyno_arena_destroy(files.arena);
    return status;
}

/* --- the key --- */

enum dyno_status dyno_engine_key_make(const uint8_t sum[32], const char *const *args,
                                      const char *gpu, const char *builder,
                                      struct dyno_engine_key *key_out, struct dyno_err *err)
{
    static const char digits[] = "0123456789abcdef";
    struct dyno_sha256 sha;
    struct stat info;
    char machine[256];
    uint8_t digest[32];
    if (stat(builder, &info) != 0)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                         "the program '%s', which would build it, cannot be found: %s", builder,
                         strerror(errno));
    const int64_t made_by[] = {(int64_t)info.st_size, (int64_t)info.st_mtim.tv_sec,
                               (int64_t)info.st_mtim.tv_nsec};
    dyno_machine_text(machine, sizeof(machine));
    dyno_sha256_init(&sha);
    dyno_sha256_update(&sha, "dyno " DYNO_VERSION, sizeof("dyno " DYNO_VERSION));
    dyno_sha256_update(&sha, machine, strlen(machine) + 1);
    dyno_sha256_update(&sha, made_by, sizeof(made_by));
    for (; *args != NULL; args++)
        dyno_sha256_update(&sha, *args, strlen(*args) + 1);
    dyno_sha256_update(&sha, "", 1);
    dyno_sha256_update(&sha, gpu, strlen(gpu) + 1);
    dyno_sha256_update(&sha, sum, 32);
    dyno_sha256_final(&sha, digest);
    for (size_t i = 0; i < sizeof(digest); i++) {
        key_out->text[2 * i] = digits[digest[i] >> 4];
        key_out->text[2 * i + 1] = digits[digest[i] & 15];
    }
    key_out->text[64] = 0;
    return DYNO_OK;
}
