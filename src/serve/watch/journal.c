/* journal.c - a ring of bytes a thread, and the thread that writes. */
#include "serve/watch/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define RING_BYTES ((size_t)1024 * 1024)
#define GATHER_MS  20   /* lines gather for so long before they are written */
#define RETRY_MS   1000 /* between attempts to open a file that cannot be opened */
#define END_WAIT_S 2

/* One thread puts in, the writing thread takes out. */
struct ring {
    _Alignas(64) atomic_size_t put; /* bytes ever */
    char *data;
    _Alignas(64) atomic_size_t taken;
};

struct dyno_journal {
    const char *path;
    int fd; /* -1: it could not be opened */
    int bell_fd;
    pthread_t thread;
    struct ring *rings;
    int ring_count;
    atomic_bool is_asleep; /* the writing thread, until the bell rings */
    atomic_bool is_ending, wants_reopen;
    atomic_uint_fast64_t dropped_count;
    bool is_failing; /* it was told of */
    bool is_torn;    /* the file ends inside a line */
};

/* --- putting in --- */

static void ring_bell(struct dyno_journal *journal)
{
    const uint64_t one = 1;
    (void)!write(journal->bell_fd, &one, sizeof(one));
}

static void copy_in(struct ring *ring, size_t at, const char *text, size_t bytes)
{
    const size_t begin = at % RING_BYTES;
    const size_t first = bytes < RING_BYTES - begin ? bytes : RING_BYTES - begin;
    memcpy(ring->data + begin, text, first);
    memcpy(ring->data, text + first, bytes - first);
}

void dyno_journal_add(struct dyno_journal *journal, int thread, const char *text, size_t bytes)
{
    struct ring *ring = &journal->rings[thread];
    const size_t put = atomic_load_explicit(&ring->put, memory_order_relaxed);
    const size_t used = put - atomic_load_explicit(&ring->taken, memory_order_acquire);
    if (text == NULL || bytes >= RING_BYTES - used) {
        atomic_fetch_add_explicit(&journal->dropped_count, 1, memory_order_relaxed);
        return;
    }
    copy_in(ring, put, text, bytes);
    copy_in(ring, put + bytes, "\n", 1);
    atomic_store(&ring->put, put + bytes + 1);
    const bool is_filling = used < RING_BYTES / 2 && used + bytes >= RING_BYTES / 2;
    if (is_filling ||
        (atomic_load(&journal->is_asleep) && atomic_exchange(&journal->is_asleep, false)))
        ring_bell(journal);
}

void dyno_journal_reopen(struct dyno_journal *journal)
{
    atomic_store(&journal->wants_reopen, true);
    ring_bell(journal);
}

uint64_t dyno_journal_dropped(const struct dyno_journal *journal)
{
    return atomic_load_explicit(&journal->dropped_count, memory_order_relaxed);
}

/* --- taking out --- */

/* The `bytes` of a ring from `at` on, in at most two pieces. */
static int pieces_of(const struct ring *ring, size_t at, size_t bytes, struct iovec *iovs)
{
    const size_t begin = at % RING_BYTES;
    const size_t first = bytes < RING_BYTES - begin ? bytes : RING_BYTES - begin;
    iovs[0] = (struct iovec){.iov_base = ring->data + begin, .iov_len = first};
    iovs[1] = (struct iovec){.iov_base = ring->data, .iov_len = bytes - first};
    return first < bytes ? 2 : 1;
}

static uint64_t lines_of(const struct ring *ring, size_t at, size_t bytes)
{
    uint64_t count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += ring->data[(at + i) % RING_BYTES] == '\n';
    return count;
}

/* What could not be written is gone; it is told of once, where opening has not told of it. */
static void drop(struct dyno_journal *journal, const struct ring *ring, size_t at, size_t bytes,
                 int code)
{
    atomic_fetch_add_explicit(&journal->dropped_count, lines_of(ring, at, bytes),
                              memory_order_relaxed);
    if (!journal->is_failing && journal->fd >= 0)
        dyno_log(DYNO_LOG_ERROR, "cannot write the access log '%s': %s; lines are dropped",
                 journal->path, strerror(code));
    journal->is_failing = true;
}

static int write_pieces(struct dyno_journal *journal, const struct ring *ring, size_t at,
                        size_t bytes, size_t *written_out)
{
    static const char newline[] = "\n";
    struct iovec iovs[3];
    int count = 0;
    *written_out = 0;
    if (journal->fd < 0)
        return ENOENT;
    const bool was_torn = journal->is_torn;
    if (was_torn) /* what is left of a line stands alone */
        iovs[count++] = (struct iovec){.iov_base = (char *)(uintptr_t)newline, .iov_len = 1};
    count += pieces_of(ring, at, bytes, iovs + count);
    const ssize_t written = writev(journal->fd, iovs, count);
    if (written < 0)
        return errno;
    if (written > 0)
        journal->is_torn = false;
    *written_out = (size_t)written - (was_torn && written > 0);
    return 0;
}

/* The file is a pipe or the like, and full. */
static void wait_for_room(const struct dyno_journal *journal)
{
    struct pollfd fd = {.fd = journal->fd, .events = POLLOUT};
    (void)poll(&fd, 1, RETRY_MS);
}

/* Write what a ring holds now, or drop it; false when it held nothing. */
static bool empty(struct dyno_journal *journal, struct ring *ring)
{
    const size_t begin = atomic_load_explicit(&ring->taken, memory_order_relaxed);
    const size_t end = atomic_load(&ring->put);
    size_t at = begin;
    int code = 0;
    if (at == end)
        return false;
    while (at != end && code == 0) {
        size_t written = 0;
        code = write_pieces(journal, ring, at, end - at, &written);
        at += written;
        atomic_store_explicit(&ring->taken, at, memory_order_release);
        if (code == EAGAIN && !atomic_load(&journal->is_ending)) {
            wait_for_room(journal);
            code = 0;
        } else if (code == EINTR) {
            code = 0;
        }
    }
    if (code != 0) {
        /* No other ring's line may follow on half of one. */
        if (at != begin)
            journal->is_torn = ring->data[(at - 1) % RING_BYTES] != '\n';
        drop(journal, ring, at, end - at, code);
    } else if (journal->is_failing) {
        journal->is_failing = false;
        dyno_log(DYNO_LOG_WARN, "the access log '%s' is written again, %llu lines were dropped",
                 journal->path, (unsigned long long)dyno_journal_dropped(journal));
    }
    atomic_store_explicit(&ring->taken, end, memory_order_release);
    return true;
}

static bool empty_all(struct dyno_journal *journal)
{
    bool had_some = false;
    for (int i = 0; i < journal->ring_count; i++)
        had_some |= empty(journal, &journal->rings[i]);
    return had_some;
}

/* --- the file --- */

static enum dyno_status open_file(struct dyno_journal *journal, struct dyno_err *err)
{
    const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    const int fd = strcmp(journal->path, "-") == 0 ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)
                                                   : open(journal->path, flags, 0640);
    if (fd < 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot open the access log '%s': %s", journal->path,
                         strerror(errno));
    if (journal->fd >= 0)
        (void)close(journal->fd);
    journal->fd = fd;
    journal->is_torn = false;
    return DYNO_OK;
}

static void reopen(struct dyno_journal *journal)
{
    struct dyno_err err = {0};
    (void)empty_all(journal);
    if (open_file(journal, &err) != DYNO_OK)
        dyno_log(DYNO_LOG_ERROR, "%s%s", err.text,
                 journal->fd >= 0 ? "; the old one is written on" : "");
}

/* --- the thread --- */

static bool has_work(struct dyno_journal *journal)
{
    bool has_some = atomic_load(&journal->is_ending) || atomic_load(&journal->wants_reopen);
    for (int i = 0; i < journal->ring_count; i++)
        has_some |= atomic_load(&journal->rings[i].put) !=
                    atomic_load_explicit(&journal->rings[i].taken, memory_order_relaxed);
    return has_some;
}

static void wait_for_bell(struct dyno_journal *journal, int wait_ms)
{
    uint64_t count = 0;
    struct pollfd fd = {.fd = journal->bell_fd, .events = POLLIN};
    if (poll(&fd, 1, wait_ms) > 0)
        (void)!read(journal->bell_fd, &count, sizeof(count));
}

static void *work(void *arg)
{
    struct dyno_journal *journal = arg;
    for (;;) {
        const bool is_ending = atomic_load(&journal->is_ending);
        if (atomic_exchange(&journal->wants_reopen, false))
            reopen(journal);
        if (journal->fd < 0)
            (void)open_file(journal, NULL); /* that it cannot be was told of */
        const bool had_some = empty_all(journal);
        if (is_ending)
            return NULL;
        if (had_some) {
            wait_for_bell(journal, GATHER_MS);
            continue;
        }
        /* Whoever puts in sees that we sleep, or we see what he has put in. */
        atomic_store(&journal->is_asleep, true);
        if (!has_work(journal))
            wait_for_bell(journal, journal->fd >= 0 ? -1 : RETRY_MS);
        atomic_store(&journal->is_asleep, false);
    }
}

/* --- the whole --- */

static void free_all(struct dyno_journal *journal)
{
    for (int i = 0; journal->rings != NULL && i < journal->ring_count; i++)
        dyno_free(journal->rings[i].data);
    if (journal->fd >= 0)
        (void)close(journal->fd);
    if (journal->bell_fd >= 0)
        (void)close(journal->bell_fd);
    dyno_free(journal->rings);
    dyno_free(journal);
}

static enum dyno_status make_rings(struct dyno_journal *journal, int count, struct dyno_err *err)
{
    journal->rings = dyno_alloc((size_t)count, sizeof(*journal->rings));
    if (journal->rings == NULL)
        return DYNO_NOMEM(err);
    journal->ring_count = count;
    for (int i = 0; i < count; i++) {
        journal->rings[i].data = dyno_alloc_raw(RING_BYTES, 1);
        if (journal->rings[i].data == NULL)
            return DYNO_NOMEM(err);
    }
    return DYNO_OK;
}

static enum dyno_status start(struct dyno_journal *journal,
                              const struct dyno_journal_options *options, struct dyno_err *err)
{
    struct dyno_err reason = {0};
    journal->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (journal->bell_fd < 0)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start the access log: %s", strerror(errno));
    DYNO_TRY(make_rings(journal, options->thread_count, err));
    if (open_file(journal, &reason) != DYNO_OK) {
        if (!options->may_wait)
            return DYNO_FAIL(err, reason.status, "%s", reason.text);
        dyno_log(DYNO_LOG_ERROR, "%s", reason.text);
    }
    const int code = pthread_create(&journal->thread, NULL, work, journal);
    return code == 0 ? DYNO_OK
                     : DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start a thread: %s", strerror(code));
}

enum dyno_status dyno_journal_create(const struct dyno_journal_options *options,
                                     struct dyno_journal **journal_out, struct dyno_err *err)
{
    *journal_out = NULL;
    struct dyno_journal *journal = dyno_alloc(1, sizeof(*journal));
    if (journal == NULL)
        return DYNO_NOMEM(err);
    journal->path = options->path;
    journal->fd = -1;
    journal->bell_fd = -1;
    const enum dyno_status status = start(journal, options, err);
    if (status == DYNO_OK)
        *journal_out = journal;
    else
        free_all(journal);
    return status;
}

void dyno_journal_destroy(struct dyno_journal *journal)
{
    struct timespec end;
    if (journal == NULL)
        return;
    atomic_store(&journal->is_ending, true);
    ring_bell(journal);
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += END_WAIT_S;
    /* A file that takes nothing may hold its thread for good; what that uses is left to it. */
    if (pthread_timedjoin_np(journal->thread, NULL, &end) == 0)
        free_all(journal);
}
