/* help.c - `--help` and dyno(1), both from the tables. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"

#define TEXT_COLUMN 34
#define LINE_WIDTH  98

/* Words of `text` wrapped after `column`, each further line indented by `indent`. */
static void wrap(const char *text, int column, int indent)
{
    while (*text != 0) {
        const int word = (int)strcspn(text, " ");
        if (column + 1 + word > LINE_WIDTH) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            printf(" ");
            column++;
        }
        printf("%.*s", word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    printf("\n");
}

static void print_default(const struct dyno_flag *flag, char *out, size_t bytes)
{
    out[0] = 0;
    if ((flag->kind == DYNO_FLAG_INT || flag->kind == DYNO_FLAG_F64) &&
        flag->fallback >= flag->min && flag->fallback <= flag->max)
        (void)snprintf(out, bytes, " (default %g)", flag->fallback);
    else if (flag->kind == DYNO_FLAG_STR && flag->fallback_text != NULL)
        (void)snprintf(out, bytes, " (default %s)", flag->fallback_text);
}

static void print_flag(const struct dyno_flag *flag)
{
    char left[64];
    char fallback[40];
    char help[512];
    (void)snprintf(left, sizeof(left), "  %s%s%s", flag->name, flag->value != NULL ? "=" : "",
                   flag->value != NULL ? flag->value : "");
    print_default(flag, fallback, sizeof(fallback));
    (void)snprintf(help, sizeof(help), "%s%s", flag->help, fallback);
    int column = printf("%-*s", TEXT_COLUMN, left);
    if (column > TEXT_COLUMN) {
        printf("\n%*s", TEXT_COLUMN, "");
        column = TEXT_COLUMN;
    }
    wrap(help, column, TEXT_COLUMN);
}

#define EXIT_CODE_MAX 127

/* In their order; several meanings of a code stand together. */
static void print_exit_codes(void)
{
    static const struct {
        int code;
        const char *text;
    } rows[] = {
#define X(sym, value, exit_code, text) {exit_code, text},
        DYNO_STATUS_MAP(X)
#undef X
    };
    for (int code = 0; code <= EXIT_CODE_MAX; code++) {
        bool is_there = false;
        for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
            if (rows[i].code != code)
                continue;
            if (is_there)
                printf("; %s", rows[i].text);
            else
                printf("  %-10d %s", code, rows[i].text);
            is_there = true;
        }
        if (is_there)
            printf("\n");
    }
}

static void help_all(void)
{
    printf("dyno %s - makes a tuned engine of an ONNX model and runs it\n\n", DYNO_VERSION);
    printf("usage: dyno COMMAND [--help] ...\n       dyno help COMMAND\n\n");
    for (size_t i = 0; i < dyno_command_count; i++) {
        if (!dyno_commands[i]->is_internal)
            printf("  %-10s %s\n", dyno_commands[i]->name, dyno_commands[i]->summary);
    }
    printf("  %-10s %s\n", "man", "Print the manual page dyno(1)");
    printf("\nExit codes:\n");
    print_exit_codes();
}

void dyno_cli_help(const struct dyno_command *command)
{
    if (command == NULL) {
        help_all();
        return;
    }
    printf("dyno %s - %s\n\nusage: dyno %s [flags]%s%s\n\n", command->name, command->summary,
           command->name, command->positional != NULL ? " " : "",
           command->positional != NULL ? command->positional : "");
    if (command->text[0] != 0) {
        wrap(command->text, 0, 0);
        printf("\n");
    }
    for (size_t i = 0; i < command->flag_count; i++)
        print_flag(&command->flags[i]);
}

/* man(7) wants hyphens and backslashes escaped. */
static void man_text(const char *text)
{
    for (; *text != 0; text++) {
        if (*text == '-' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
}

void dyno_cli_man(void)
{
    printf(".TH DYNO 1 \"\" \"dyno %s\" \"User Commands\"\n.SH NAME\n", DYNO_VERSION);
    printf("dyno \\- makes a tuned engine of an ONNX model and runs it\n");
    printf(".SH SYNOPSIS\n.B dyno\nCOMMAND [flags] ...\n.SH COMMANDS\n");
    for (size_t i = 0; i < dyno_command_count; i++) {
        const struct dyno_command *command = dyno_commands[i];
        if (command->is_internal)
            continue;
        printf(".SS dyno %s %s\n", command->name,
               command->positional != NULL ? command->positional : "");
        man_text(command->summary);
        printf(".\n");
        man_text(command->text);
        printf("\n");
        for (size_t k = 0; k < command->flag_count; k++) {
            const struct dyno_flag *flag = &command->flags[k];
            char fallback[40];
            print_default(flag, fallback, sizeof(fallback));
            printf(".TP\n.B ");
            man_text(flag->name);
            printf("%s%s\n", flag->value != NULL ? "=" : "",
                   flag->value != NULL ? flag->value : "");
            man_text(flag->help);
            printf("%s.\n", fallback);
        }
    }
    printf(".SH EXIT STATUS\n");
#define X(sym, value, exit_code, text) printf(".TP\n%d\n%s\n", exit_code, text);
    DYNO_STATUS_MAP(X)
#undef X
}
