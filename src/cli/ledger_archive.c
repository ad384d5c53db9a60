/* ledger_archive.c - dyno ledger archive: closed files into compressed ones. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/progress.h"
#include "cli/ledger_command.h"
#include "meter/ledger/archive.h"
#include "meter/ledger/export.h"

struct archiving {
    struct dyno_ledger_work *work;
    uint64_t until_ns;
    uint64_t done, kept, records, file_bytes, archive_bytes;
};

enum dyno_status dyno_ledger_end_of(const char *path, uint64_t *time_ns_out, struct dyno_err *err)
{
    struct dyno_ledger_file *file = NULL;
    struct dyno_ledger_group group;
    uint64_t number = 0;
    bool found = false;
    *time_ns_out = 0;
    DYNO_TRY(dyno_ledger_file_open(path, &file, err));
    enum dyno_status status = dyno_ledger_file_last(file, &number, &found, err);
    if (status == DYNO_OK && found)
        status = dyno_ledger_file_header(file, number, &group, &found, err);
    if (status == DYNO_OK && found)
        *time_ns_out = group.group.time_ns;
    dyno_ledger_file_close(file);
    return status;
}

static enum dyno_status archive_one(struct archiving *to, const char *path, struct dyno_err *err)
{
    struct dyno_archive_report report;
    uint64_t end_ns = 0;
    if (dyno_archive_is(path))
        return DYNO_OK;
    DYNO_TRY(dyno_ledger_end_of(path, &end_ns, err));
    if (end_ns >= to->until_ns) {
        to->kept++;
        return DYNO_OK;
    }
    DYNO_TRY(dyno_archive_make(path, to->work->options->to, &report, err));
    to->done++;
    to->records += report.record_count;
    to->file_bytes += report.file_bytes;
    to->archive_bytes += report.archive_bytes;
    return DYNO_OK;
}

static enum dyno_status tell(const struct archiving *to, struct dyno_err *err)
{
    const struct dyno_ledger_number rows[] = {{"archived", to->done},
                                              {"kept", to->kept},
                                              {"records", to->records},
                                              {"file_bytes", to->file_bytes},
                                              {"archive_bytes", to->archive_bytes}};
    if (!to->work->options->json) {
        printf("%" PRIu64 " files archived, %" PRIu64 " records: %" PRIu64 " bytes for %" PRIu64
               "; %" PRIu64 " stay as they are\n",
               to->done, to->records, to->archive_bytes, to->file_bytes, to->kept);
        return DYNO_OK;
    }
    return dyno_ledger_print_numbers(rows, DYNO_COUNT(rows), err);
}

enum dyno_status dyno_ledger_run_archive(struct dyno_ledger_work *work, struct dyno_err *err)
{
    const struct dyno_ledger_flags *options = work->options;
    struct archiving to = {.work = work, .until_ns = UINT64_MAX};
    struct dyno_progress progress;
    if (options->remove_shipped)
        return dyno_ledger_run_remove(work, err);
    DYNO_TRY(dyno_ledger_want_folder(options, "archive", err));
    if (options->until != NULL && !dyno_ns_parse(options->until, &to.until_ns))
        return DYNO_FAIL(err, DYNO_E_ARG, "--until=%s: wants 2026-01-31 or 2026-01-31T12:00:00Z",
                         options->until);
    if (options->to != NULL && mkdir(options->to, 0700) != 0 && errno != EEXIST)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot make the folder \"%s\": %s", options->to,
                         strerror(errno));
    if (options->fleet != NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "archive is for files, and the fleet's are in a database");
    DYNO_TRY(dyno_ledger_find_files(work, 1, err));
    enum dyno_status status = DYNO_OK;
    /* The last file stays: a server writes it, or goes on from it. */
    dyno_progress_begin(&progress, "archive", work->files.count);
    for (size_t i = 0; i + 1 < work->files.count && status == DYNO_OK; i++) {
        status = archive_one(&to, work->files.names[i], err);
        dyno_progress_step(&progress, 1, work->files.names[i]);
    }
    dyno_progress_end(&progress);
    to.kept++;
    return status == DYNO_OK ? tell(&to, err) : status;
}
