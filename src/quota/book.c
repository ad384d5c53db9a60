/* book.c - the book of tariffs, and the next one when its file is replaced.
 *
 * Each book that was in force stays in memory as long as the quota: requests look at it without a
 * lock.  Books are small and seldom replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "quota/internal.h"

#define BOOK_BYTES_MAX ((size_t)64 << 20)

/* Another file of that name, or other bytes in it, make another one; 0: it is not there. */
static uint64_t stamp_of(const char *path)
{
    struct stat file;
    if (stat(path, &file) != 0)
        return 0;
    const uint64_t parts[] = {(uint64_t)file.st_dev, (uint64_t)file.st_ino, (uint64_t)file.st_size,
                              (uint64_t)file.st_mtim.tv_sec, (uint64_t)file.st_mtim.tv_nsec};
    return dyno_hash64(1, parts, sizeof(parts));
}

/* Read and not mapped: it may be written to just now. */
static enum dyno_status read_all(int fd, const char *path, struct dyno_arena *arena,
                                 const char **text_out, size_t *bytes_out, struct dyno_err *err)
{
    struct stat file;
    if (fstat(fd, &file) != 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot read \"%s\": %s", path, strerror(errno));
    if (!S_ISREG(file.st_mode))
        return DYNO_FAIL(err, DYNO_E_IO, "cannot read \"%s\": not a regular file", path);
    if ((uint64_t)file.st_size > BOOK_BYTES_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "%s: a book of tariffs has at most %zu bytes", path,
                         BOOK_BYTES_MAX);
    const size_t room = (size_t)file.st_size;
    char *text = dyno_arena_alloc(arena, room + 1, 1);
    size_t bytes = 0;
    if (text == NULL)
        return DYNO_NOMEM(err);
    while (bytes < room) {
        const ssize_t got = read(fd, text + bytes, room - bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return DYNO_FAIL(err, DYNO_E_IO, "cannot read \"%s\": %s", path, strerror(errno));
        if (got == 0)
            break; /* it was shortened */
        bytes += (size_t)got;
    }
    *text_out = text;
    *bytes_out = bytes;
    return DYNO_OK;
}

static enum dyno_status parse(const char *path, struct dyno_arena *arena,
                              const struct dyno_tariff_book **book_out, struct dyno_err *err)
{
    const char *text = NULL;
    size_t bytes = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is not waited for */
    if (fd < 0)
        return DYNO_FAIL(err, dyno_file_read_status(errno), "cannot open \"%s\": %s", path,
                         strerror(errno));
    enum dyno_status status = read_all(fd, path, arena, &text, &bytes, err);
    (void)close(fd);
    DYNO_TRY(status);
    status = dyno_tariff_book_parse(text, bytes, arena, book_out, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "%s", path);
    return status;
}

/* Budgets are counted in the currency that they were given in. */
static enum dyno_status check_currency(struct dyno_quota *quota,
                                       const struct dyno_tariff_book *book, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    const char *code = book->tariff_count > 0 ? book->tariffs[0].currency->code : NULL;
    (void)pthread_mutex_lock(&quota->lock);
    for (const struct dyno_counter *at = quota->counters;
         at != NULL && code != NULL && status == DYNO_OK; at = at->next)
        if (!at->is_gone && !at->is_work && strcmp(at->unit, code) != 0)
            status = DYNO_FAIL(err, DYNO_E_ARG, "%s is in %s, and tenant '%s' has a budget in %s",
                               quota->options.tariffs, code, at->tenant_name, at->unit);
    (void)pthread_mutex_unlock(&quota->lock);
    return status;
}

static enum dyno_status read_book(struct dyno_quota *quota, struct dyno_arena *arena,
                                  struct dyno_err *err)
{
    static atomic_uint_fast64_t last_id;
    struct dyno_quota_book *book = dyno_arena_alloc(arena, 1, sizeof(*book));
    if (book == NULL)
        return DYNO_NOMEM(err);
    DYNO_TRY(parse(quota->options.tariffs, arena, &book->book, err));
    DYNO_TRY(check_currency(quota, book->book, err));
    book->arena = arena;
    book->id = atomic_fetch_add(&last_id, 1) + 1;
    book->next = atomic_load(&quota->book);
    atomic_store(&quota->book, book);
    return DYNO_OK;
}

enum dyno_status dyno_quota_read_book(struct dyno_quota *quota, bool *is_new_out,
                                      struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    *is_new_out = false;
    if (quota->options.tariffs == NULL)
        return DYNO_OK;
    (void)pthread_mutex_lock(&quota->book_lock);
    const uint64_t stamp = stamp_of(quota->options.tariffs); /* what changes meanwhile counts */
    if (!quota->has_stamp || stamp != quota->book_stamp) {
        struct dyno_arena *arena = dyno_arena_create();
        quota->has_stamp = true;
        quota->book_stamp = stamp;
        status = arena != NULL ? read_book(quota, arena, err) : DYNO_NOMEM(err);
        if (status != DYNO_OK)
            dyno_arena_destroy(arena);
        *is_new_out = status == DYNO_OK;
    }
    (void)pthread_mutex_unlock(&quota->book_lock);
    return status;
}

void dyno_quota_free_books(struct dyno_quota *quota)
{
    struct dyno_quota_book *book = atomic_load(&quota->book);
    while (book != NULL) {
        struct dyno_quota_book *next = book->next;
        dyno_arena_destroy(book->arena); /* it lies in it */
        book = next;
    }
}

const struct dyno_tariff_book *dyno_quota_book(const struct dyno_quota *quota)
{
    const struct dyno_quota_book *book = atomic_load(&quota->book);
    return book != NULL ? book->book : NULL;
}

uint64_t dyno_quota_book_id(const struct dyno_quota *quota)
{
    const struct dyno_quota_book *book = atomic_load(&quota->book);
    return book != NULL ? book->id : 0;
}

const struct dyno_tariff *dyno_quota_tariff(const struct dyno_quota *quota, const char *tenant,
                                            int64_t start_s, int64_t *until_s_out)
{
    const struct dyno_tariff_book *book = dyno_quota_book(quota);
    return book != NULL ? dyno_tariff_until(book, tenant, start_s, until_s_out) : NULL;
}
