/* command.h - sub-commands and their flags as tables.
 *
 * One file a sub-command, one row in commands.def.  The rows make the parser, `--help`, and the man
 * page.  Flags keep trtexec's spelling where the meaning is the same.
 */
#ifndef DYNO_CLI_COMMAND_H
#define DYNO_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"

#define DYNO_CLI_LIST_MAX 64

enum dyno_flag_kind {
    DYNO_FLAG_BOOL,   /* bool: --name, --name=true, --name=false */
    DYNO_FLAG_STR,    /* const char *: --name=VALUE */
    DYNO_FLAG_INT,    /* int64_t within [min, max] */
    DYNO_FLAG_F64,    /* double within [min, max] */
    DYNO_FLAG_LIST,   /* struct dyno_cli_list: --name=VALUE or --name VALUE, repeatable */
    DYNO_FLAG_TREE,   /* const struct dyno_json *: --name=JSON, any value; NULL when not set */
    DYNO_FLAG_CONFIG, /* const char *: a file of values for the others (cli/config.h) */
    DYNO_FLAG_PRINT_CONFIG, /* bool: print the values of the others instead of running */
    DYNO_FLAG_KIND_COUNT
};

struct dyno_cli_list {
    const char *items[DYNO_CLI_LIST_MAX];
    uint32_t count;
};

/* One flag: where its value lands inside the command's own options struct. */
struct dyno_flag {
    const char *name;  /* "--onnx" */
    const char *value; /* "FILE"; NULL for BOOL */
    const char *help;  /* one sentence, no final dot */
    enum dyno_flag_kind kind;
    size_t offset_bytes;
    /* INT, F64; a fallback outside min and max says "not given", and help is silent about it. */
    double fallback;
    double min, max;
    const char *fallback_text; /* STR; may be NULL */
};

struct dyno_command {
    const char *name;
    const char *summary;    /* one line */
    const char *positional; /* "ENGINE|MODEL.onnx"; NULL: none */
    int positional_min, positional_max;
    const char *text; /* paragraphs for --help and the man page; may be "" */
    const struct dyno_flag *flags;
    size_t flag_count;
    size_t
        options_bytes; /* sizeof the options struct; its first member is dyno_cli_list positional */
    enum dyno_status (*run)(const void *options, struct dyno_err *err);
    /* Set instead of run: this program is executed with the same arguments, once they are found to
     * be right. */
    const char *program;
    bool is_internal; /* the program starts itself with it; neither help nor the man page list it */
};

#define DYNO_COMMAND(name) extern const struct dyno_command dyno_command_##name;
#include "cli/commands.def"
#undef DYNO_COMMAND

extern const struct dyno_command *const dyno_commands[];
extern const size_t dyno_command_count;

/* Read argv into `options` (zeroed, options_bytes), and after it the file of a DYNO_FLAG_CONFIG,
 * over which argv wins.  What options point to lives in argv or in `arena`.  E_ARG names the flag
 * and the rule; for the file see cli/config.h. */
enum dyno_status dyno_cli_parse(const struct dyno_command *command, int argc, char **argv,
                                struct dyno_arena *arena, void *options, bool *help_out,
                                struct dyno_err *err);

void dyno_cli_help(const struct dyno_command *command); /* NULL: the whole program */
void dyno_cli_man(void);                                /* dyno(1) in man(7) on standard output */

/* Print it with an end of line, and free it.  E_NOMEM when it is not whole. */
enum dyno_status dyno_cli_print(struct dyno_strbuf *text, struct dyno_err *err);

/* One command with its arguments: returns the exit code. */
int dyno_cli_run(const struct dyno_command *command, int argc, char **argv);

/* The whole program: returns the exit code. */
int dyno_cli_main(int argc, char **argv);

#endif /* DYNO_CLI_COMMAND_H */
