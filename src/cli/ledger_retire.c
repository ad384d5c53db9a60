/* ledger_retire.c - dyno ledger retire: the ledger of a node that never comes back ends. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/ledger_command.h"
#include "meter/ledger/export.h"
#include "meter/ledger/ledger.h"
#include "meter/ledger/retire.h"

/* What is said now, or was said before. */
struct retiring {
    struct dyno_ledger_work *work;
    uint32_t node;
    struct dyno_head_line line;
    bool was_there;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* All that is there must be what was written, and nobody may have a head over more. */
static enum dyno_status verify(const struct retiring *to, struct dyno_err *err)
{
    const struct dyno_ledger_flags *options = to->work->options;
    struct dyno_kept_heads kept = {0};
    struct dyno_verify_report report;
    if (options->heads.count > 0)
        DYNO_TRY(dyno_kept_heads_read(&options->heads, NULL, to->work->arena, &kept, err));
    const struct dyno_verify_options how = {.heads = kept.items, .head_count = kept.count};
    return dyno_ledger_verify_node(to->work, to->node, &how, &report, err);
}

static enum dyno_status make(struct retiring *to, struct dyno_err *err)
{
    const struct dyno_ledger_files *files = &to->work->files;
    const char *key = to->work->options->ledger_key;
    struct dyno_signer *signer = NULL;
    DYNO_TRY(dyno_ledger_files_retirement(files, to->node, files->names[files->count - 1],
                                          &to->line, &to->was_there, err));
    DYNO_TRY(verify(to, err));
    if (to->was_there)
        return DYNO_OK;
    if (key != NULL)
        DYNO_TRY(dyno_signer_open(key, &signer, err));
    const enum dyno_status status = dyno_retirement_make(files->store, files->names, files->count,
                                                         signer, now_ns(), &to->line, err);
    dyno_signer_close(signer);
    return status;
}

static enum dyno_status tell(const struct retiring *to, struct dyno_err *err)
{
    const struct dyno_head *head = &to->line.head;
    char when[DYNO_NS_TEXT_ROOM];
    if (to->work->options->json) {
        struct dyno_strbuf text = {0};
        dyno_head_line_print(head, to->line.bytes, to->line.proof, to->line.proof_bytes, &text);
        const bool ok = dyno_strbuf_ok(&text);
        if (ok)
            printf("%s", dyno_strbuf_text(&text));
        dyno_strbuf_fini(&text);
        return ok ? DYNO_OK : DYNO_NOMEM(err);
    }
    printf("%s: the ledger of node %" PRIu32 " ends after %" PRIu64 " groups, with record %" PRIu32
           "-%" PRIu32 "-%" PRIu64 "; said at %s, %s\n",
           to->was_there ? "retired before" : "retired", head->node, head->group_count, head->node,
           head->epoch, head->seq, dyno_ns_text(head->time_ns, when),
           head->is_signed ? "signed" : "not signed");
    return DYNO_OK;
}

/* --- in the fleet --- */

static enum dyno_status retire_in_fleet(struct retiring *to, struct dyno_err *err)
{
    const struct dyno_ledger_flags *options = to->work->options;
    const struct dyno_fleet_options write = {
        .conninfo = options->fleet, .timeout_ms = 60000, .writes = true};
    struct dyno_fleet *fleet = NULL;
    if (options->node < 0 || options->positional.count > 1)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "retire wants --fleet-ledger and --node=N, or the folder of a ledger");
    to->node = (uint32_t)options->node;
    /* First, for it brings the tables to this build's version. */
    DYNO_TRY(dyno_fleet_open(&write, &fleet, err));
    enum dyno_status status = dyno_ledger_find_files(to->work, 1, err);
    if (status == DYNO_OK)
        status = make(to, err);
    if (status == DYNO_OK && !to->was_there)
        status = dyno_fleet_retire(fleet, &to->line, err);
    dyno_fleet_close(fleet);
    return status;
}

/* --- in a folder --- */

static enum dyno_status retire_locked(struct retiring *to, const char *folder, struct dyno_err *err)
{
    struct dyno_ledger_file *file = NULL;
    DYNO_TRY(dyno_ledger_find_files(to->work, 1, err));
    DYNO_TRY(dyno_ledger_store_open(to->work->files.store, to->work->files.names[0], &file, err));
    to->node = dyno_ledger_file_opening(file)->node;
    dyno_ledger_file_close(file);
    DYNO_TRY(make(to, err));
    return to->was_there ? DYNO_OK : dyno_retirement_write(folder, &to->line, err);
}

static enum dyno_status retire_in_folder(struct retiring *to, struct dyno_err *err)
{
    const struct dyno_cli_list *given = &to->work->options->positional;
    int fd = -1;
    if (given->count == 1)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "retire wants --fleet-ledger and --node=N, or the folder of a ledger");
    DYNO_TRY(dyno_ledger_want_folder(to->work->options, "retire", err));
    DYNO_TRY(dyno_ledger_lock(given->items[1], &fd, err));
    const enum dyno_status status = retire_locked(to, given->items[1], err);
    (void)close(fd);
    return status;
}

enum dyno_status dyno_ledger_run_retire(struct dyno_ledger_work *work, struct dyno_err *err)
{
    struct retiring to = {.work = work};
    DYNO_TRY(work->options->fleet != NULL ? retire_in_fleet(&to, err) : retire_in_folder(&to, err));
    return tell(&to, err);
}
