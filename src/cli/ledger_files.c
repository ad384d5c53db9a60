/* ledger_files.c - files of this machine, or of the fleet. */
#include "cli/ledger_files.h"

enum dyno_status dyno_ledger_files_open(const struct dyno_cli_list *ledgers, const char *fleet,
                                        int64_t node, struct dyno_arena *arena,
                                        struct dyno_ledger_files *files_out, struct dyno_err *err)
{
    *files_out = (struct dyno_ledger_files){0};
    if (fleet == NULL && ledgers->count == 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "--ledger=PATH or --fleet-ledger=CONNINFO is missing");
    if (fleet == NULL)
        return dyno_ledger_paths(ledgers->items, ledgers->count, arena, &files_out->names,
                                 &files_out->count, err);
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

void dyno_ledger_files_close(struct dyno_ledger_files *files)
{
    dyno_fleet_close(files->fleet);
    *files = (struct dyno_ledger_files){0};
}
