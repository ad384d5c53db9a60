/* ledger_files.h - where a command reads ledgers: files and folders, or a fleet's database. */
#ifndef DYNO_CLI_LEDGER_FILES_H
#define DYNO_CLI_LEDGER_FILES_H

#include "cli/command.h"
#include "meter/fleet/fleet.h"

struct dyno_ledger_files {
    struct dyno_fleet *fleet;              /* NULL: they are files of this machine */
    const struct dyno_ledger_store *store; /* to open them with */
    const char **names; /* by node and group, however they were given; NULL: nothing is open */
    size_t count;
};

/* What --ledger names, or all that the fleet of --fleet-ledger has (NULL: none was given), as it
 * stands now; of one node, unless it is -1.  Names live in the arena.  E_ARG: both, or neither. */
enum dyno_status dyno_ledger_files_open(const struct dyno_cli_list *ledgers, const char *fleet,
                                        int64_t node, struct dyno_arena *arena,
                                        struct dyno_ledger_files *files_out, struct dyno_err *err);
/* The last head of a ledger that was retired: of `node` in the fleet, or of the folder that `name`,
 * one of its files, lies in.  *found_out false: it was not. */
enum dyno_status dyno_ledger_files_retirement(const struct dyno_ledger_files *files, uint32_t node,
                                              const char *name, struct dyno_head_line *line_out,
                                              bool *found_out, struct dyno_err *err);
void dyno_ledger_files_close(struct dyno_ledger_files *files); /* accepts a zeroed one */

#endif /* DYNO_CLI_LEDGER_FILES_H */
