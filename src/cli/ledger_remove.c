/* ledger_remove.c - dyno ledger archive --remove-shipped: files whose place is in the fleet now.
 *
 * First the fleet's copy of the whole node is verified; then file after file, the oldest first, is
 * compared with it and removed.  What stops it leaves the newer files, without a gap.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/progress.h"
#include "cli/ledger_command.h"
#include "meter/ledger/archive.h"
#include "meter/ledger/export.h"
#include "meter/ledger/segment.h"

/* Budgets are counted by what a node wrote last, after a fall, too (docs/control.md). */
#define KEPT_NS (UINT64_C(3600) * 1000000000U)

struct removing {
    struct dyno_ledger_work *work;
    const char *folder;
    int folder_fd;
    struct dyno_ledger_files ours;
    uint64_t before_ns; /* a file that ended later stays */
    uint64_t removed, records, bytes;
};

static enum dyno_status check_flags(const struct dyno_ledger_flags *options, struct removing *to,
                                    struct dyno_err *err)
{
    struct timespec now;
    uint64_t until_ns = UINT64_MAX;
    DYNO_TRY(dyno_ledger_want_folder(options, "archive", err));
    if (options->fleet == NULL || options->to != NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--remove-shipped wants --fleet-ledger, and no --to");
    if (options->until != NULL && !dyno_ns_parse(options->until, &until_ns))
        return DYNO_FAIL(err, DYNO_E_ARG, "--until=%s: wants 2026-01-31 or 2026-01-31T12:00:00Z",
                         options->until);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
    to->before_ns = now_ns > KEPT_NS ? now_ns - KEPT_NS : 0;
    if (until_ns < to->before_ns)
        to->before_ns = until_ns;
    to->folder = options->positional.items[1];
    return DYNO_OK;
}

/* The fleet's copy of the node stands for what is removed: all of it must be what was written. */
static enum dyno_status verify(struct removing *to, struct dyno_err *err)
{
    const struct dyno_cli_list none = {0};
    const struct dyno_verify_options how = {0};
    struct dyno_verify_report report;
    struct dyno_ledger_file *file = NULL;
    struct dyno_ledger_work *work = to->work;
    DYNO_TRY(dyno_ledger_file_open(to->ours.names[0], &file, err));
    const uint32_t node = dyno_ledger_file_opening(file)->node;
    dyno_ledger_file_close(file);
    DYNO_TRY(
        dyno_ledger_files_open(&none, work->options->fleet, node, work->arena, &work->files, err));
    const enum dyno_status status = dyno_ledger_verify_node(work, node, &how, &report, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "nothing is removed");
    return status;
}

/* One form of a file: it is durable that it is gone, before the next one goes. */
static enum dyno_status remove_form(struct removing *to, const char *path, uint64_t *records_out,
                                    struct dyno_err *err)
{
    struct stat info;
    DYNO_TRY(dyno_fleet_compare(to->work->files.fleet, path, records_out, err));
    if (stat(path, &info) != 0 || unlink(path) != 0 || fsync(to->folder_fd) != 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot remove \"%s\": %s", path, strerror(errno));
    to->bytes += (uint64_t)info.st_size;
    return DYNO_OK;
}

/* "FOLDER/00000007.archive" of "FOLDER/00000007.ledger"; false: there is none. */
static bool find_archive(const char *path, char archive[DYNO_SEGMENT_PATH_ROOM])
{
    const size_t bytes = strlen(path) - strlen(DYNO_LEDGER_SUFFIX);
    const int written =
        snprintf(archive, DYNO_SEGMENT_PATH_ROOM, "%.*s" DYNO_ARCHIVE_SUFFIX, (int)bytes, path);
    return written > 0 && written < DYNO_SEGMENT_PATH_ROOM && access(archive, F_OK) == 0;
}

static bool has_log(const char *path)
{
    char log[DYNO_SEGMENT_PATH_ROOM];
    const int written = snprintf(log, sizeof(log), "%s-wal", path);
    return written < 0 || (size_t)written >= sizeof(log) || access(log, F_OK) == 0;
}

/* *goes_on_out false: it stays, and all after it. */
static enum dyno_status remove_one(struct removing *to, const char *path, bool *goes_on_out,
                                   struct dyno_err *err)
{
    char archive[DYNO_SEGMENT_PATH_ROOM];
    enum dyno_status status = DYNO_OK;
    uint64_t records = 0;
    uint64_t end_ns = 0;
    DYNO_TRY(dyno_ledger_end_of(path, &end_ns, err));
    *goes_on_out = end_ns < to->before_ns && !has_log(path);
    if (!*goes_on_out)
        return DYNO_OK;
    /* Both are there when an archive was made, and its maker was stopped. */
    if (!dyno_archive_is(path) && find_archive(path, archive))
        status = remove_form(to, archive, &records, err);
    if (status == DYNO_OK)
        status = remove_form(to, path, &records, err);
    if (status == DYNO_E_NOT_FOUND) { /* it is not all shipped yet */
        *goes_on_out = false;
        *err = (struct dyno_err){0};
        return DYNO_OK;
    }
    to->removed += status == DYNO_OK;
    to->records += status == DYNO_OK ? records : 0;
    return status;
}

static enum dyno_status tell(const struct removing *to, struct dyno_err *err)
{
    const uint64_t kept = to->ours.count - to->removed;
    const struct dyno_ledger_number rows[] = {
        {"removed", to->removed}, {"kept", kept}, {"records", to->records}, {"bytes", to->bytes}};
    if (!to->work->options->json) {
        printf("%" PRIu64 " files removed, %" PRIu64 " records in %" PRIu64
               " bytes, which the fleet has; %" PRIu64 " stay\n",
               to->removed, to->records, to->bytes, kept);
        return DYNO_OK;
    }
    return dyno_ledger_print_numbers(rows, DYNO_COUNT(rows), err);
}

static enum dyno_status remove_all(struct removing *to, struct dyno_err *err)
{
    struct dyno_progress progress;
    enum dyno_status status = DYNO_OK;
    bool goes_on = true;
    /* The last file stays: a server writes it, or goes on from it. */
    dyno_progress_begin(&progress, "remove", to->ours.count);
    for (size_t i = 0; i + 1 < to->ours.count && status == DYNO_OK && goes_on; i++) {
        status = remove_one(to, to->ours.names[i], &goes_on, err);
        dyno_progress_step(&progress, 1, to->ours.names[i]);
    }
    dyno_progress_end(&progress);
    return status;
}

enum dyno_status dyno_ledger_run_remove(struct dyno_ledger_work *work, struct dyno_err *err)
{
    struct removing to = {.work = work};
    DYNO_TRY(check_flags(work->options, &to, err));
    DYNO_TRY(dyno_ledger_paths(&to.folder, 1, work->arena, &to.ours.names, &to.ours.count, err));
    DYNO_TRY(verify(&to, err));
    to.folder_fd = open(to.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (to.folder_fd < 0)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot open \"%s\": %s", to.folder, strerror(errno));
    enum dyno_status status = remove_all(&to, err);
    (void)close(to.folder_fd);
    return status == DYNO_OK ? tell(&to, err) : status;
}
