/* ledger_files.c - files of this machine, or of the fleet. */
#include "cli/ledger_files.h"

#include <string.h>

#include "meter/ledger/parts.h"
#include "meter/ledger/retire.h"
#include "meter/ledger/segment.h"

/* A folder is read in the order of its files; of several arguments the files say which it is. */
static enum dyno_status open_paths(const struct dyno_cli_list *ledgers, struct dyno_arena *arena,
                                   struct dyno_ledger_files *files_out, struct dyno_err *err)
{
    struct dyno_ledger_part *parts = NULL;
    DYNO_TRY(dyno_ledger_paths(ledgers->items, ledgers->count, arena, &files_out->names,
                               &files_out->count, err));
    if (ledgers->count == 1)
        return DYNO_OK;
    DYNO_TRY(dyno_ledger_parts_find(NULL, files_out->names, files_out->count, arena, &parts, err));
    dyno_ledger_parts_sort(parts, files_out->count);
    for (size_t i = 0; i < files_out->count; i++)
        files_out->names[i] = parts[i].name;
    return DYNO_OK;
}

enum dyno_status dyno_ledger_files_open(const struct dyno_cli_list *ledgers, const char *fleet,
                                        int64_t node, struct dyno_arena *arena,
                                        struct dyno_ledger_files *files_out, struct dyno_err *err)
{
    *files_out = (struct dyno_ledger_files){0};
    if (fleet == NULL && ledgers->count == 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "--ledger=PATH or --fleet-ledger=CONNINFO is missing");
    if (fleet == NULL)
        return open_paths(ledgers, arena, files_out, err);
    if (ledgers->count > 0)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "a ledger comes from files or from the fleet, which has them, too: give "
                         "one of both");
    const struct dyno_fleet_options options = {.conninfo = fleet, .timeout_ms = 60000};
    DYNO_TRY(dyno_fleet_open(&options, &files_out->fleet, err));
    const enum dyno_status status =
        dyno_fleet_files(files_out->fleet, node, arena, &files_out->names, &files_out->count, err);
    if (status != DYNO_OK) {
        dyno_ledger_files_close(files_out);
        return status;
    }
    files_out->store = dyno_fleet_store(files_out->fleet);
    return DYNO_OK;
}

enum dyno_status dyno_ledger_files_retirement(const struct dyno_ledger_files *files, uint32_t node,
                                              const char *name, struct dyno_head_line *line_out,
                                              bool *found_out, struct dyno_err *err)
{
    char folder[DYNO_SEGMENT_PATH_ROOM] = ".";
    if (files->fleet != NULL)
        return dyno_fleet_retirement(files->fleet, node, line_out, found_out, err);
    const char *slash = strrchr(name, '/');
    *found_out = false;
    if (slash != NULL && (size_t)(slash - name) >= sizeof(folder))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "the path of a ledger is longer than %zu bytes",
                         sizeof(folder) - 1);
    if (slash != NULL) {
        memcpy(folder, name, (size_t)(slash - name));
        folder[slash - name] = 0;
    }
    DYNO_TRY(dyno_retirement_read(folder, line_out, found_out, err));
    if (*found_out && line_out->head.node != node)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "\"%s/" DYNO_RETIREMENT_FILE "\" is of node %u, and the ledger of node %u",
                         folder, (unsigned)line_out->head.node, (unsigned)node);
    return DYNO_OK;
}

void dyno_ledger_files_close(struct dyno_ledger_files *files)
{
    dyno_fleet_close(files->fleet);
    *files = (struct dyno_ledger_files){0};
}
