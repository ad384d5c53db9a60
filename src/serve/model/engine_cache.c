/* engine_cache.c - a folder of engines, shared by locks. */
#include "serve/model/engine_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define KEY_BYTES   64
#define ENGINE_NAME "engine" /* in a draft's folder */
#define RACES_MAX   8 /* so often a name may mean another file than the one that was locked */

static const char ending[] = ".engine";
static const char used_ending[] = ".used";
static const char draft_start[] = "draft-";

struct dyno_engine_cache {
    char *folder;
    int fd;
    uint64_t bytes_max;
};

/* --- names --- */

struct name {
    char text[sizeof(draft_start) + KEY_BYTES + sizeof(ending)];
};

static struct name engine_name(const struct dyno_engine_key *key)
{
    struct name name;
    (void)snprintf(name.text, sizeof(name.text), "%s%s", key->text, ending);
    return name;
}

static struct name used_name(const struct dyno_engine_key *key)
{
    struct name name;
    (void)snprintf(name.text, sizeof(name.text), "%s%s", key->text, used_ending);
    return name;
}

static struct name draft_name(const struct dyno_engine_key *key)
{
    struct name name;
    (void)snprintf(name.text, sizeof(name.text), "%s%s", draft_start, key->text);
    return name;
}

static bool starts_with_key(const char *text)
{
    return strspn(text, "0123456789abcdef") == KEY_BYTES;
}

static bool is_engine(const char *name)
{
    return starts_with_key(name) && strcmp(name + KEY_BYTES, ending) == 0;
}

static bool is_draft(const char *name)
{
    const size_t bytes = sizeof(draft_start) - 1;
    return strncmp(name, draft_start, bytes) == 0 && starts_with_key(name + bytes) &&
           name[bytes + KEY_BYTES] == 0;
}

static char *join(const char *folder, const char *name, const char *more)
{
    const size_t bytes = strlen(folder) + strlen(name) + strlen(more) + 3;
    char *path = dyno_alloc(bytes, 1);
    if (path != NULL)
        (void)snprintf(path, bytes, "%s/%s%s%s", folder, name, more[0] != 0 ? "/" : "", more);
    return path;
}

/* --- files and locks --- */

/* Open an entry of the folder and lock it, and be sure that the name still means what was locked;
 * -1: errno says why (EWOULDBLOCK: somebody else has it). */
static int open_locked(const struct dyno_engine_cache *cache, const char *name, int flags, int lock)
{
    for (int i = 0; i < RACES_MAX; i++) {
        struct stat mine;
        struct stat named;
        const int fd = openat(cache->fd, name, flags | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return -1;
        int error = 0;
        if (flock(fd, lock | LOCK_NB) != 0 || fstat(fd, &mine) != 0)
            error = errno;
        else if (fstatat(cache->fd, name, &named, AT_SYMLINK_NOFOLLOW) != 0)
            error = errno;
        else if (mine.st_ino == named.st_ino && mine.st_dev == named.st_dev)
            return fd;
        (void)close(fd);
        if (error != 0 && error != ENOENT) {
            errno = error;
            return -1;
        }
    }
    errno = EWOULDBLOCK;
    return -1;
}

/* What lies in a draft's folder. */
static void empty(int folder_fd)
{
    const int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(folder_fd, entry->d_name, 0);
    (void)closedir(dir);
}

static void end_draft(struct dyno_engine_cache *cache, struct dyno_engine_draft *draft)
{
    const struct name name = draft_name(&draft->key);
    if (draft->path == NULL)
        return;
    empty(draft->fd);
    (void)unlinkat(cache->fd, name.text, AT_REMOVEDIR);
    (void)close(draft->fd); /* and with it the lock */
    dyno_free(draft->path);
    *draft = (struct dyno_engine_draft){0};
}

/* --- opening --- */

/* mkdir -p; what is there already is left as it is. */
static enum dyno_status make_folders(const char *folder, struct dyno_err *err)
{
    char path[4096];
    const size_t bytes = strlen(folder);
    if (bytes == 0 || bytes >= sizeof(path))
        return DYNO_FAIL(err, DYNO_E_ARG, "the name of the folder for engines has %zu bytes",
                         bytes);
    memcpy(path, folder, bytes + 1);
    for (char *at = path + 1;; at++) {
        if (*at != '/' && *at != 0)
            continue;
        const char was = *at;
        *at = 0;
        if (mkdir(path, 0700) != 0 && errno != EEXIST && errno != EROFS)
            return DYNO_FAIL(err, DYNO_E_IO, "cannot make the folder '%s': %s", path,
                             strerror(errno));
        *at = was;
        if (was == 0)
            return DYNO_OK;
    }
}

/* What a server left that was killed while it built. */
static void remove_old_drafts(struct dyno_engine_cache *cache)
{
    const int fd = openat(cache->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        const int draft =
            is_draft(entry->d_name) ? open_locked(cache, entry->d_name, O_DIRECTORY, LOCK_EX) : -1;
        if (draft < 0)
            continue;
        empty(draft);
        (void)unlinkat(cache->fd, entry->d_name, AT_REMOVEDIR);
        (void)close(draft);
    }
    (void)closedir(dir);
}

enum dyno_status dyno_engine_cache_open(const char *folder, uint64_t bytes_max,
                                        struct dyno_engine_cache **cache_out, struct dyno_err *err)
{
    struct stat info;
    *cache_out = NULL;
    DYNO_TRY(make_folders(folder, err));
    struct dyno_engine_cache *cache = dyno_alloc(1, sizeof(*cache));
    if (cache == NULL)
        return DYNO_NOMEM(err);
    cache->bytes_max = bytes_max;
    cache->folder = realpath(folder, NULL);
    cache->fd =
        cache->folder != NULL ? open(cache->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    enum dyno_status status = DYNO_OK;
    if (cache->fd < 0 || fstat(cache->fd, &info) != 0)
        status =
            DYNO_FAIL(err, DYNO_E_IO, "cannot open the folder '%s': %s", folder, strerror(errno));
    else if ((info.st_mode & S_IWOTH) != 0)
        status = DYNO_FAIL(err, DYNO_E_DENIED,
                           "everybody may write into the folder '%s', so it is no place for "
                           "engines",
                           folder);
    if (status != DYNO_OK) {
        dyno_engine_cache_close(cache);
        return status;
    }
    remove_old_drafts(cache);
    *cache_out = cache;
    return DYNO_OK;
}

const char *dyno_engine_cache_folder(const struct dyno_engine_cache *cache)
{
    return cache->folder;
}

void dyno_engine_cache_close(struct dyno_engine_cache *cache)
{
    if (cache == NULL)
        return;
    if (cache->fd >= 0)
        (void)close(cache->fd);
    free(cache->folder); /* realpath's */
    dyno_free(cache);
}

bool dyno_engine_cache_default(char *path_out, size_t bytes)
{
    static const struct {
        const char *variable, *then;
    } places[] = {{"CACHE_DIRECTORY", "/engines"},
                  {"XDG_CACHE_HOME", "/dyno/engines"},
                  {"HOME", "/.cache/dyno/engines"}};
    for (size_t i = 0; i < DYNO_COUNT(places); i++) {
        const char *value = getenv(places[i].variable);
        if (value == NULL || value[0] != '/')
            continue;
        const size_t first = strcspn(value, ":"); /* a service manager may list several */
        return snprintf(path_out, bytes, "%.*s%s", (int)first, value, places[i].then) < (int)bytes;
    }
    return false;
}

/* --- what is there --- */

/* Without it the engine's own time counts. */
static void touch(const struct dyno_engine_cache *cache, const struct dyno_engine_key *key)
{
    const struct name name = used_name(key);
    const int fd = openat(cache->fd, name.text,
                          O_WRONLY | O_CREAT | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    (void)futimens(fd, NULL);
    (void)close(fd);
}

static enum dyno_status fill_hold(const struct dyno_engine_cache *cache, const char *name, int fd,
                                  struct dyno_engine_hold *hold_out, struct dyno_err *err)
{
    hold_out->fd = fd;
    hold_out->path = join(cache->folder, name, "");
    if (hold_out->path != NULL)
        return DYNO_OK;
    (void)close(fd);
    return DYNO_NOMEM(err);
}

enum dyno_status dyno_engine_cache_hold(struct dyno_engine_cache *cache,
                                        const struct dyno_engine_key *key,
                                        struct dyno_engine_hold *hold_out, struct dyno_err *err)
{
    const struct name name = engine_name(key);
    *hold_out = (struct dyno_engine_hold){0};
    const int fd = open_locked(cache, name.text, O_NONBLOCK, LOCK_SH);
    if (fd < 0 && (errno == ENOENT || errno == EWOULDBLOCK)) /* it is being taken away */
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "there is no engine '%s'", name.text);
    if (fd < 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot open '%s/%s': %s", cache->folder, name.text,
                         strerror(errno));
    touch(cache, key);
    return fill_hold(cache, name.text, fd, hold_out, err);
}

void dyno_engine_hold_release(struct dyno_engine_hold *hold)
{
    if (hold->path == NULL)
        return;
    (void)close(hold->fd);
    dyno_free(hold->path);
    *hold = (struct dyno_engine_hold){0};
}

void dyno_engine_cache_remove(struct dyno_engine_cache *cache, const struct dyno_engine_key *key)
{
    const struct name name = engine_name(key);
    const struct name used = used_name(key);
    (void)unlinkat(cache->fd, name.text, 0);
    (void)unlinkat(cache->fd, used.text, 0);
}

/* --- building --- */

enum dyno_status dyno_engine_cache_begin(struct dyno_engine_cache *cache,
                                         const struct dyno_engine_key *key,
                                         struct dyno_engine_draft *draft_out, struct dyno_err *err)
{
    const struct name name = draft_name(key);
    int fd = -1;
    *draft_out = (struct dyno_engine_draft){0};
    for (int i = 0; fd < 0 && i < RACES_MAX; i++) {
        if (mkdirat(cache->fd, name.text, 0700) != 0 && errno != EEXIST)
            break;
        fd = open_locked(cache, name.text, O_DIRECTORY, LOCK_EX);
        if (fd < 0 && errno != ENOENT)
            break;
    }
    if (fd < 0 && errno == EWOULDBLOCK)
        return DYNO_FAIL(err, DYNO_E_BUSY, "another process builds '%s'", key->text);
    if (fd < 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot make '%s/%s': %s", cache->folder, name.text,
                         strerror(errno));
    empty(fd);
    draft_out->key = *key;
    draft_out->fd = fd;
    draft_out->path = join(cache->folder, name.text, ENGINE_NAME);
    if (draft_out->path != NULL)
        return DYNO_OK;
    (void)close(fd);
    return DYNO_NOMEM(err);
}

struct entry {
    struct dyno_engine_key key;
    uint64_t bytes;
    struct timespec used;
};

static int compare(const void *a, const void *b)
{
    const struct timespec *x = &((const struct entry *)a)->used;
    const struct timespec *y = &((const struct entry *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

/* The engines that are there; NULL: none can be listed. */
static struct entry *list(const struct dyno_engine_cache *cache, size_t *count_out,
                          uint64_t *bytes_out)
{
    struct entry *entries = NULL;
    size_t room = 0;
    *count_out = 0;
    *bytes_out = 0;
    const int fd = openat(cache->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL && fd >= 0)
        (void)close(fd);
    for (struct dirent *at = dir != NULL ? readdir(dir) : NULL; at != NULL; at = readdir(dir)) {
        struct stat info;
        if (!is_engine(at->d_name) ||
            fstatat(cache->fd, at->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(info.st_mode))
            continue;
        if (*count_out == room) {
            struct entry *more =
                dyno_realloc(entries, room * sizeof(*entries), 2 * room + 64, sizeof(*entries));
            if (more == NULL)
                break;
            entries = more;
            room = 2 * room + 64;
        }
        struct entry *entry = &entries[(*count_out)++];
        memcpy(entry->key.text, at->d_name, KEY_BYTES);
        entry->key.text[KEY_BYTES] = 0;
        entry->bytes = (uint64_t)info.st_size;
        entry->used = info.st_mtim;
        const struct name used = used_name(&entry->key);
        if (fstatat(cache->fd, used.text, &info, AT_SYMLINK_NOFOLLOW) == 0)
            entry->used = info.st_mtim;
        *bytes_out += entry->bytes;
    }
    if (dir != NULL)
        (void)closedir(dir);
    return entries;
}

static void trim(struct dyno_engine_cache *cache)
{
    size_t count = 0;
    uint64_t bytes = 0;
    if (cache->bytes_max == 0)
        return;
    struct entry *entries = list(cache, &count, &bytes);
    if (entries == NULL)
        return;
    qsort(entries, count, sizeof(*entries), compare);
    for (size_t i = 0; i < count && bytes > cache->bytes_max; i++) {
        const struct name name = engine_name(&entries[i].key);
        const int fd = open_locked(cache, name.text, O_NONBLOCK, LOCK_EX);
        if (fd < 0) /* in use */
            continue;
        if (unlinkat(cache->fd, name.text, 0) == 0) {
            const struct name used = used_name(&entries[i].key);
            (void)unlinkat(cache->fd, used.text, 0);
            bytes -= entries[i].bytes;
            dyno_log(DYNO_LOG_INFO, "engine cache: '%s' was removed, it is full", name.text);
        }
        (void)close(fd);
    }
    dyno_free(entries);
}

enum dyno_status dyno_engine_cache_commit(struct dyno_engine_cache *cache,
                                          struct dyno_engine_draft *draft,
                                          struct dyno_engine_hold *hold_out, struct dyno_err *err)
{
    const struct name name = engine_name(&draft->key);
    enum dyno_status status = DYNO_OK;
    *hold_out = (struct dyno_engine_hold){0};
    const int fd = openat(draft->fd, ENGINE_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) != 0 ||
        renameat(draft->fd, ENGINE_NAME, cache->fd, name.text) != 0) {
        status = DYNO_FAIL(err, DYNO_E_IO, "cannot put an engine into '%s': %s", cache->folder,
                           strerror(errno));
        if (fd >= 0)
            (void)close(fd);
    } else {
        (void)fsync(cache->fd); /* or it is built again */
        touch(cache, &draft->key);
        status = fill_hold(cache, name.text, fd, hold_out, err);
    }
    end_draft(cache, draft);
    trim(cache);
    return status;
}

void dyno_engine_cache_abort(struct dyno_engine_cache *cache, struct dyno_engine_draft *draft)
{
    end_draft(cache, draft);
}
