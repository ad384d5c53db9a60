/* ledger_command.h - what the actions of dyno ledger share. */
#ifndef DYNO_CLI_LEDGER_COMMAND_H
#define DYNO_CLI_LEDGER_COMMAND_H

#include "base/strbuf.h"
#include "cli/flags.h"
#include "cli/ledger_files.h"
#include "meter/ledger/heads.h"
#include "meter/ledger/verify.h"

struct dyno_ledger_flags {
    struct dyno_cli_list positional, heads;
    const char *key, *head, *proof, *format, *tenant, *since, *until, *to;
    const char *fleet, *ledger_key; /* fleet NULL: files are named */
    int64_t node;                   /* -1: all of the fleet's */
    bool json, remove_shipped;
};

/* One call of the program. */
struct dyno_ledger_work {
    const struct dyno_ledger_flags *options;
    struct dyno_arena *arena;
    struct dyno_ledger_files files;
};

/* The files that the positional arguments from `first` on name, or those of the fleet, to
 * work->files. */
enum dyno_status dyno_ledger_find_files(struct dyno_ledger_work *work, uint32_t first,
                                        struct dyno_err *err);
/* Is exactly one folder named?  E_ARG, E_NOT_FOUND; `action` is that of the command. */
enum dyno_status dyno_ledger_want_folder(const struct dyno_ledger_flags *options,
                                         const char *action, struct dyno_err *err);
/* A report of numbers alone, as one object. */
struct dyno_ledger_number {
    const char *name;
    uint64_t value;
};
enum dyno_status dyno_ledger_print_numbers(const struct dyno_ledger_number *numbers, size_t count,
                                           struct dyno_err *err);

/* ledger_kept.c: the heads in the files of --heads, by the groups that they are over, each once;
 * they live in the arena.  E_CORRUPT, E_MISMATCH: they are not heads of one ledger that only grew.
 */
struct dyno_kept_heads {
    struct dyno_head *items;
    size_t count;
    uint64_t signed_count, gaps;
};
enum dyno_status dyno_kept_heads_read(const struct dyno_cli_list *files, const uint8_t *key,
                                      struct dyno_arena *arena, struct dyno_kept_heads *kept_out,
                                      struct dyno_err *err);

/* ledger_verify.c */
enum dyno_status dyno_ledger_run_verify(struct dyno_ledger_work *work, struct dyno_err *err);

/* Hash and count what work->files has (of the fleet: of that node), under these heads. */
enum dyno_status dyno_ledger_verify_node(struct dyno_ledger_work *work, uint32_t node,
                                         const struct dyno_verify_options *how,
                                         struct dyno_verify_report *report_out,
                                         struct dyno_err *err);

/* ledger_retire.c */
enum dyno_status dyno_ledger_run_retire(struct dyno_ledger_work *work, struct dyno_err *err);

/* ledger_ship.c */
enum dyno_status dyno_ledger_run_ship(struct dyno_ledger_work *work, struct dyno_err *err);

/* ledger_remove.c: closed files of a folder that the fleet has, too. */
enum dyno_status dyno_ledger_run_remove(struct dyno_ledger_work *work, struct dyno_err *err);

/* ledger_archive.c */
enum dyno_status dyno_ledger_run_archive(struct dyno_ledger_work *work, struct dyno_err *err);
/* When the last group of a file was written; 0: it has none. */
enum dyno_status dyno_ledger_end_of(const char *path, uint64_t *time_ns_out, struct dyno_err *err);

#endif /* DYNO_CLI_LEDGER_COMMAND_H */
