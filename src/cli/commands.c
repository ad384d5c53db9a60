/* commands.c - the table of sub-commands. */
#include "cli/command.h"

const struct dyno_command *const dyno_commands[] = {
#define DYNO_COMMAND(name) &dyno_command_##name,
#include "cli/commands.def"
#undef DYNO_COMMAND
};
const size_t dyno_command_count = DYNO_COUNT(dyno_commands);
