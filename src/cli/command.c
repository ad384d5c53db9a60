/* command.c - flag parsing, and the way from argv to an exit code. */
#include "cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cli/config.h"

static void set_fallbacks(const struct dyno_command *command, char *options)
{
    for (size_t i = 0; i < command->flag_count; i++) {
        const struct dyno_flag *flag = &command->flags[i];
        if (flag->kind == DYNO_FLAG_INT)
            *(int64_t *)(void *)(options + flag->offset_bytes) = (int64_t)flag->fallback;
        else if (flag->kind == DYNO_FLAG_F64)
            *(double *)(void *)(options + flag->offset_bytes) = flag->fallback;
        else if (flag->kind == DYNO_FLAG_STR)
            *(const char **)(void *)(options + flag->offset_bytes) = flag->fallback_text;
    }
}

static enum dyno_status add_item(struct dyno_cli_list *list, const char *what, const char *item,
                                 struct dyno_err *err)
{
    if (list->count == DYNO_CLI_LIST_MAX)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s is given more than %d times", what,
                         DYNO_CLI_LIST_MAX);
    list->items[list->count++] = item;
    return DYNO_OK;
}

static enum dyno_status set_number(const struct dyno_flag *flag, const char *text, char *at,
                                   struct dyno_err *err)
{
    char *end = NULL;
    errno = 0;
    const bool is_int = flag->kind == DYNO_FLAG_INT;
    const double value = is_int ? (double)strtoll(text, &end, 10) : strtod(text, &end);
    if (end == text || *end != 0 || errno != 0 || !(value >= flag->min) || !(value <= flag->max))
        return DYNO_FAIL(err, DYNO_E_ARG, "%s=%s: wants a%s between %.10g and %.10g", flag->name,
                         text, is_int ? " whole number" : " number", flag->min, flag->max);
    if (is_int)
        *(int64_t *)(void *)at = strtoll(text, NULL, 10);
    else
        *(double *)(void *)at = value;
    return DYNO_OK;
}

static bool is_switch(const struct dyno_flag *flag)
{
    return flag->kind == DYNO_FLAG_BOOL || flag->kind == DYNO_FLAG_PRINT_CONFIG;
}

static enum dyno_status set_switch(const struct dyno_flag *flag, const char *value, bool *at,
                                   struct dyno_err *err)
{
    *at = value == NULL || strcmp(value, "true") == 0;
    return *at || strcmp(value, "false") == 0
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_ARG, "%s takes no value but true or false", flag->name);
}

static enum dyno_status set_tree(const struct dyno_flag *flag, const char *text,
                                 struct dyno_arena *arena, const struct dyno_json **at,
                                 struct dyno_err *err)
{
    const enum dyno_status status = dyno_json_parse(text, strlen(text), arena, at, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "%s", flag->name);
    return status;
}

static enum dyno_status set_flag(const struct dyno_flag *flag, const char *value,
                                 struct dyno_arena *arena, char *options, struct dyno_err *err)
{
    char *at = options + flag->offset_bytes;
    if (is_switch(flag))
        return set_switch(flag, value, (bool *)at, err);
    if (value == NULL || *value == 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "%s wants a value: %s=%s", flag->name, flag->name,
                         flag->value);
    switch (flag->kind) {
    case DYNO_FLAG_STR:
    case DYNO_FLAG_CONFIG:
        *(const char **)(void *)at = value;
        return DYNO_OK;
    case DYNO_FLAG_LIST:
        return add_item((void *)at, flag->name, value, err);
    case DYNO_FLAG_TREE:
        return set_tree(flag, value, arena, (void *)at, err);
    case DYNO_FLAG_INT:
    case DYNO_FLAG_F64:
    case DYNO_FLAG_BOOL:
    case DYNO_FLAG_PRINT_CONFIG:
    case DYNO_FLAG_KIND_COUNT:
        break;
    }
    return set_number(flag, value, at, err);
}

static const struct dyno_flag *find_flag(const struct dyno_command *command, const char *text,
                                         size_t bytes)
{
    for (size_t i = 0; i < command->flag_count; i++) {
        const char *name = command->flags[i].name;
        if (strlen(name) == bytes && memcmp(name, text, bytes) == 0)
            return &command->flags[i];
    }
    return NULL;
}

static const struct dyno_flag *find_kind(const struct dyno_command *command,
                                         enum dyno_flag_kind kind)
{
    for (size_t i = 0; i < command->flag_count; i++)
        if (command->flags[i].kind == kind)
            return &command->flags[i];
    return NULL;
}

/* The file that the command line names, if it names one. */
static enum dyno_status read_config(const struct dyno_command *command, const bool *given,
                                    struct dyno_arena *arena, char *options, struct dyno_err *err)
{
    const struct dyno_flag *flag = find_kind(command, DYNO_FLAG_CONFIG);
    const char *path = flag != NULL ? *(const char **)(void *)(options + flag->offset_bytes) : NULL;
    return path != NULL ? dyno_cli_config_read(command, path, given, arena, options, err) : DYNO_OK;
}

/* An argument of a command that takes flags only; before it came `last` (may be NULL), as in
 * --ledger=a b. */
static enum dyno_status stray(const struct dyno_command *command, const struct dyno_flag *last,
                              const char *text, struct dyno_err *err)
{
    if (last != NULL && last->kind == DYNO_FLAG_LIST)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "'%s' belongs to no flag: %s takes one value, and is given again for each "
                         "further one (see dyno %s --help)",
                         text, last->name, command->name);
    return DYNO_FAIL(err, DYNO_E_ARG,
                     "'%s' belongs to no flag, and this takes flags only (see dyno %s --help)",
                     text, command->name);
}

enum dyno_status dyno_cli_parse(const struct dyno_command *command, int argc, char **argv,
                                struct dyno_arena *arena, void *options, bool *help_out,
                                struct dyno_err *err)
{
    struct dyno_cli_list *positional = options;
    const struct dyno_flag *flag = NULL;
    bool *given = dyno_arena_alloc(arena, command->flag_count + 1, sizeof(*given));
    *help_out = false;
    if (given == NULL)
        return DYNO_NOMEM(err);
    set_fallbacks(command, options);
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *help_out = true;
            return DYNO_OK;
        }
        if (argv[i][0] != '-' || argv[i][1] == 0) {
            if (command->positional == NULL)
                return stray(command, flag, argv[i], err);
            DYNO_TRY(add_item(positional, "a file", argv[i], err));
            continue;
        }
        const size_t bytes = strcspn(argv[i], "=");
        flag = find_flag(command, argv[i], bytes);
        if (flag == NULL)
            return DYNO_FAIL(err, DYNO_E_ARG, "there is no flag %.*s (see dyno %s --help)",
                             (int)bytes, argv[i], command->name);
        const char *value = argv[i][bytes] == '=' ? argv[i] + bytes + 1 : NULL;
        if (value == NULL && !is_switch(flag) && i + 1 < argc)
            value = argv[++i];
        DYNO_TRY(set_flag(flag, value, arena, options, err));
        given[flag - command->flags] = true;
    }
    if ((int)positional->count < command->positional_min ||
        (int)positional->count > command->positional_max)
        return DYNO_FAIL(err, DYNO_E_ARG, "wants %s, got %u of those (see dyno %s --help)",
                         command->positional, positional->count, command->name);
    return read_config(command, given, arena, options, err);
}

/* One line, whatever a file or an argument that it quotes holds. */
static int fail(const char *command, enum dyno_status status, const struct dyno_err *err)
{
    char text[sizeof(err->text)];
    const char *said = err->text[0] != 0 ? err->text : dyno_status_text(status);
    dyno_utf8_clean(said, strlen(said), text, sizeof(text));
    (void)fprintf(stderr, "dyno %s: %s\n", command, text);
    return dyno_status_exit_code(status);
}

/* What did not reach standard output (a full disk, a closed pipe) is a failure, too. */
static enum dyno_status flush_output(struct dyno_err *err)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return DYNO_FAIL(err, DYNO_E_IO, "cannot write to standard output: %s", strerror(errno));
    return DYNO_OK;
}

/* Become the program of that name: the one beside this one, or else the one in PATH. */
static enum dyno_status become(const char *program, int argc, char **argv, struct dyno_err *err)
{
    char path[4096];
    const ssize_t bytes = readlink("/proc/self/exe", path, sizeof(path) - 1);
    char **args = dyno_alloc((size_t)argc + 2, sizeof(*args));
    if (args == NULL)
        return DYNO_NOMEM(err);
    args[0] = (char *)(uintptr_t)program;
    memcpy(args + 1, argv, (size_t)argc * sizeof(*args));
    path[bytes > 0 ? bytes : 0] = 0;
    char *slash = strrchr(path, '/');
    if (slash != NULL && (size_t)(slash + 1 - path) + strlen(program) < sizeof(path)) {
        memcpy(slash + 1, program, strlen(program) + 1);
        (void)execv(path, args);
    }
    (void)execvp(program, args);
    dyno_free(args);
    return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "the program %s is neither here nor in PATH: %s",
                     program, strerror(errno));
}

static bool wants_config_printed(const struct dyno_command *command, const char *options)
{
    const struct dyno_flag *flag = find_kind(command, DYNO_FLAG_PRINT_CONFIG);
    return flag != NULL && *(const bool *)(options + flag->offset_bytes);
}

enum dyno_status dyno_cli_print(struct dyno_strbuf *text, struct dyno_err *err)
{
    const bool is_whole = dyno_strbuf_ok(text);
    if (is_whole)
        printf("%s\n", dyno_strbuf_text(text));
    dyno_strbuf_fini(text);
    return is_whole ? DYNO_OK : DYNO_NOMEM(err);
}

int dyno_cli_run(const struct dyno_command *command, int argc, char **argv)
{
    struct dyno_err err = {0};
    bool help = false;
    void *options = dyno_alloc(1, command->options_bytes);
    struct dyno_arena *arena = dyno_arena_create();
    enum dyno_status status = options != NULL && arena != NULL
                                  ? dyno_cli_parse(command, argc, argv, arena, options, &help, &err)
                                  : DYNO_NOMEM(&err);
    if (help)
        dyno_cli_help(command);
    else if (status == DYNO_OK && wants_config_printed(command, options))
        status = dyno_cli_config_print(command, options, &err);
    else if (status == DYNO_OK && command->program != NULL)
        status = become(command->program, argc, argv, &err);
    else if (status == DYNO_OK)
        status = command->run(options, &err);
    dyno_free(options);
    dyno_arena_destroy(arena);
    if (status == DYNO_OK)
        status = flush_output(&err);
    return status == DYNO_OK ? 0 : fail(command->name, status, &err);
}

/* Exit code of what only prints. */
static int printed(void)
{
    struct dyno_err err = {0};
    const enum dyno_status status = flush_output(&err);
    return status == DYNO_OK ? 0 : fail("help", status, &err);
}

static const struct dyno_command *find_command(const char *name)
{
    for (size_t i = 0; i < dyno_command_count; i++)
        if (strcmp(name, dyno_commands[i]->name) == 0)
            return dyno_commands[i];
    return NULL;
}

static int no_command(const char *name)
{
    (void)fprintf(stderr, "dyno: there is no command '%s' (see dyno --help)\n", name);
    return dyno_status_exit_code(DYNO_E_ARG);
}

/* help, or help COMMAND. */
static int help(int argc, char **argv)
{
    const struct dyno_command *command = argc > 2 ? find_command(argv[2]) : NULL;
    if (argc > 2 && command == NULL)
        return no_command(argv[2]);
    dyno_cli_help(command);
    return argc < 2 ? dyno_status_exit_code(DYNO_E_ARG) : printed();
}

int dyno_cli_main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return help(argc, argv);
    if (strcmp(argv[1], "--version") == 0) {
        printf("dyno %s\n", DYNO_VERSION);
        return printed();
    }
    if (strcmp(argv[1], "man") == 0) {
        dyno_cli_man();
        return printed();
    }
    const struct dyno_command *command = find_command(argv[1]);
    return command != NULL ? dyno_cli_run(command, argc - 2, argv + 2) : no_command(argv[1]);
}
