/* ledger.c - opening and closing a ledger that is written. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "meter/ledger/internal.h"
#include "meter/ledger/retire.h"

#define SECOND_NS UINT64_C(1000000000)

static uint64_t system_now_ns(void *arg)
{
    struct timespec now;
    (void)arg;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static void fill_in(struct dyno_ledger_options *o)
{
    if (o->group_records_max == 0 || o->group_records_max > DYNO_GROUP_RECORDS_MAX)
        o->group_records_max = DYNO_GROUP_RECORDS_MAX;
    if (o->segment_records_max == 0)
        o->segment_records_max = 4000000;
    if (o->segment_groups_max == 0)
        o->segment_groups_max = 1000000;
    if (o->head_interval_ns == 0)
        o->head_interval_ns = 3600 * SECOND_NS;
    if (o->sent_interval_ns == 0)
        o->sent_interval_ns = SECOND_NS;
    if (o->retry_interval_ns == 0)
        o->retry_interval_ns = SECOND_NS;
    if (o->reserve_bytes == 0)
        o->reserve_bytes = UINT64_C(16) << 20;
    if (o->now_ns == NULL)
        o->now_ns = system_now_ns;
}

/* --- opening --- */

static enum dyno_status create(const struct dyno_ledger_options *options,
                               struct dyno_ledger **ledger_out, struct dyno_err *err)
{
    struct dyno_ledger *ledger = dyno_alloc(1, sizeof(*ledger));
    *ledger_out = ledger;
    if (ledger == NULL)
        return DYNO_NOMEM(err);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&ledger->lock, NULL);
    (void)pthread_cond_init(&ledger->wakes, &attr);
    (void)pthread_condattr_destroy(&attr);
    ledger->options = *options;
    fill_in(&ledger->options);
    ledger->lock_fd = -1;
    ledger->last_next = &ledger->first;
    ledger->folder = dyno_strdup(options->folder);
    ledger->items = dyno_alloc(1, DYNO_SEED_BYTES + DYNO_ENTRIES_BYTES_MAX +
                                      (size_t)DYNO_GROUP_RECORDS_MAX * DYNO_RECORD_BYTES);
    ledger->leaves = dyno_alloc(DYNO_GROUP_ITEMS_MAX, sizeof(*ledger->leaves));
    if (ledger->folder == NULL || ledger->items == NULL || ledger->leaves == NULL)
        return DYNO_NOMEM(err);
    return DYNO_OK;
}

enum dyno_status dyno_ledger_lock(const char *folder, int *fd_out, struct dyno_err *err)
{
    char path[DYNO_SEGMENT_PATH_ROOM];
    *fd_out = -1;
    if (strlen(folder) + 16 > sizeof(path))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "the path of a ledger is longer than %zu bytes",
                         sizeof(path) - 16);
    (void)snprintf(path, sizeof(path), "%s/lock", folder);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot open \"%s\": %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        return DYNO_FAIL(err, DYNO_E_BUSY, "another process writes the ledger \"%s\"", folder);
    }
    *fd_out = fd;
    return DYNO_OK;
}

static enum dyno_status take_folder(struct dyno_ledger *ledger, struct dyno_err *err)
{
    struct dyno_head_line last;
    bool found = false;
    if (mkdir(ledger->folder, 0700) != 0 && errno != EEXIST)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot make the folder \"%s\": %s", ledger->folder,
                         strerror(errno));
    DYNO_TRY(dyno_ledger_lock(ledger->folder, &ledger->lock_fd, err));
    DYNO_TRY(dyno_retirement_read(ledger->folder, &last, &found, err));
    return found ? dyno_retirement_refuse(&last.head, err) : DYNO_OK;
}

/* The next epoch: past the last one, and past the second that it is, so that numbers are not given
 * again even when the files have been taken away. */
static enum dyno_status choose_epoch(struct dyno_ledger *ledger, uint32_t last_epoch,
                                     struct dyno_err *err)
{
    const uint64_t now_s = ledger->options.now_ns(ledger->options.arg) / SECOND_NS;
    if (last_epoch == UINT32_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "the ledger \"%s\" has no epoch left", ledger->folder);
    ledger->epoch = last_epoch + 1;
    if (now_s > ledger->epoch && now_s <= UINT32_MAX)
        ledger->epoch = (uint32_t)now_s;
    return DYNO_OK;
}

static enum dyno_status begin_epoch(struct dyno_ledger *ledger, struct dyno_err *err)
{
    struct dyno_ledger_end end;
    enum dyno_status status = dyno_ledger_recover(ledger->folder, &end, err);
    if (status == DYNO_OK && end.segment != 0 && end.node != ledger->options.node)
        status = DYNO_FAIL(err, DYNO_E_MISMATCH,
                           "the ledger \"%s\" is of node %" PRIu32 ", not of node %" PRIu32,
                           ledger->folder, end.node, ledger->options.node);
    if (status == DYNO_OK)
        status = choose_epoch(ledger, end.epoch, err);
    ledger->next_seq = 1;
    ledger->time_ns = end.time_ns;
    ledger->chain = end.chain;
    ledger->frontier = end.frontier;
    ledger->head_frontier = end.head_frontier;
    ledger->cover = end.cover;
    if (status != DYNO_OK)
        return status;
    dyno_ledger_tidy_old(ledger->folder, end.segment);
    DYNO_TRY(
        dyno_ledger_begin_file(ledger, end.segment + 1, end.epoch, end.seq, end.sent_seq, err));
    dyno_ledger_build_bare(ledger, DYNO_GROUP_START, 0);
    DYNO_TRY(dyno_ledger_try_put(ledger, err));
    return dyno_ledger_try_head(ledger, err); /* over what a crash may have left, too */
}

static void destroy(struct dyno_ledger *ledger)
{
    if (ledger == NULL)
        return;
    if (ledger->segment.db.handle != NULL) {
        struct dyno_err ignored = {0};
        (void)dyno_segment_close(&ledger->segment, &ignored);
    }
    if (ledger->has_reserve)
        dyno_ledger_drop_reserve(ledger);
    if (ledger->lock_fd >= 0)
        (void)close(ledger->lock_fd);
    dyno_signer_close(ledger->signer);
    dyno_ledger_intake_fini(ledger);
    (void)pthread_cond_destroy(&ledger->wakes);
    (void)pthread_mutex_destroy(&ledger->lock);
    dyno_free(ledger->folder);
    dyno_free(ledger->items);
    dyno_free(ledger->leaves);
    dyno_free(ledger);
}

enum dyno_status dyno_ledger_open(const struct dyno_ledger_options *options,
                                  struct dyno_ledger **ledger_out, struct dyno_err *err)
{
    struct dyno_ledger *ledger = NULL;
    *ledger_out = NULL;
    enum dyno_status status = create(options, &ledger, err);
    if (status == DYNO_OK && options->key_path != NULL)
        status = dyno_signer_open(options->key_path, &ledger->signer, err);
    if (status == DYNO_OK)
        status = take_folder(ledger, err);
    if (status == DYNO_OK)
        status = begin_epoch(ledger, err);
    if (status == DYNO_OK) {
        ledger->head_mono_ns = dyno_clock_ns();
        dyno_ledger_reserve(ledger);
        if (pthread_create(&ledger->thread, NULL, dyno_ledger_committer, ledger) != 0)
            status = DYNO_NOMEM(err);
    }
    if (status != DYNO_OK)
        destroy(ledger);
    else
        *ledger_out = ledger;
    return status;
}

enum dyno_status dyno_ledger_close(struct dyno_ledger *ledger, struct dyno_err *err)
{
    if (ledger == NULL)
        return DYNO_OK;
    (void)pthread_mutex_lock(&ledger->lock);
    ledger->is_closing = true;
    (void)pthread_cond_signal(&ledger->wakes);
    (void)pthread_mutex_unlock(&ledger->lock);
    (void)pthread_join(ledger->thread, NULL);
    enum dyno_status status = ledger->close_status;
    if (status != DYNO_OK)
        status = DYNO_FAIL(err, status, "%s", ledger->close_err.text);
    destroy(ledger);
    return status;
}

/* --- asking --- */

bool dyno_ledger_admits(const struct dyno_ledger *ledger)
{
    return atomic_load_explicit(&ledger->admits, memory_order_relaxed);
}

uint32_t dyno_ledger_epoch(const struct dyno_ledger *ledger)
{
    return ledger->epoch;
}

uint64_t dyno_ledger_durable_seq(const struct dyno_ledger *ledger)
{
    return atomic_load_explicit(&ledger->durable_seq, memory_order_acquire);
}
