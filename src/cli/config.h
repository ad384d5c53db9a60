/* config.h - the flags of a command as JSON: read from a file, and written as they stand.
 *
 * An object whose keys are the flags' names without the dashes.  The rows of the command's table
 * say what a value must be, as on the command line: a string, a number, true or false, a list of
 * strings; a row of DYNO_FLAG_TREE takes any value, and the command reads the tree itself.
 */
#ifndef DYNO_CLI_CONFIG_H
#define DYNO_CLI_CONFIG_H

#include "cli/command.h"

/* Set what the file at `path` says, except where given[i] (the command line has flag i): that is
 * checked only.  What options point to then lives in `arena`.  E_FORMAT names file, key and rule;
 * E_NOT_FOUND, E_IO, E_LIMIT (the file is too large). */
enum dyno_status dyno_cli_config_read(const struct dyno_command *command, const char *path,
                                      const bool *given, struct dyno_arena *arena, void *options,
                                      struct dyno_err *err);

/* All flags and their values, on standard output, as such a file.  A string that is not set has no
 * key. */
enum dyno_status dyno_cli_config_print(const struct dyno_command *command, const void *options,
                                       struct dyno_err *err);

#endif /* DYNO_CLI_CONFIG_H */
