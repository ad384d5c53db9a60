/* err.c - recording of the first failure. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum dyno_status dyno_err_set(struct dyno_err *err, enum dyno_status status, const char *file,
                              int line, const char *fmt, ...)
{
    if (err == NULL || err->status != DYNO_OK)
        return status;

    err->status = status;
    err->file = file;
    err->line = line;

    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    return status;
}

void dyno_err_prefix(struct dyno_err *err, const char *fmt, ...)
{
    if (err == NULL || err->status == DYNO_OK)
        return;
    char text[DYNO_ERR_TEXT_BYTES];
    va_list args;
    va_start(args, fmt);
    int used = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (used < 0 || (size_t)used + 3 > sizeof(text))
        return;
    size_t at = (size_t)used;
    text[at++] = ':';
    text[at++] = ' ';
    const size_t room = sizeof(text) - 1 - at;
    const size_t kept = strnlen(err->text, room);
    memcpy(text + at, err->text, kept);
    text[at + kept] = 0;
    memcpy(err->text, text, at + kept + 1);
}

void dyno_assert_fail(const char *cond, const char *file, int line)
{
    (void)fprintf(stderr, "dyno: broken invariant: %s (%s:%d)\n", cond, file, line);
    abort();
}
