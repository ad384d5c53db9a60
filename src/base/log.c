/* log.c - one write call a line, so that lines of several threads do not mix. */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES_MAX 4096

static const char *const level_names[DYNO_LOG_LEVEL_COUNT] = {"error", "warn", "info", "debug"};

static atomic_int level_now = -1; /* -1: not asked the environment yet */

static int level_from_environment(void)
{
    const char *wanted = getenv("DYNO_LOG");
    for (int i = 0; wanted != NULL && i < DYNO_LOG_LEVEL_COUNT; i++)
        if (strcmp(wanted, level_names[i]) == 0)
            return i;
    return DYNO_LOG_WARN;
}

void dyno_log_set_level(enum dyno_log_level level)
{
    atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
}

bool dyno_log_on(enum dyno_log_level level)
{
    int now = atomic_load_explicit(&level_now, memory_order_relaxed);
    if (now < 0) {
        const int from_environment = level_from_environment();
        if (atomic_compare_exchange_strong(&level_now, &now, from_environment))
            now = from_environment;
    }
    return (int)level <= now;
}

void dyno_log(enum dyno_log_level level, const char *fmt, ...)
{
    if (!dyno_log_on(level))
        return;
    char line[LINE_BYTES_MAX];
    const int prefix = snprintf(line, sizeof(line), "%s: ", level_names[level]);
    va_list args;
    va_start(args, fmt);
    const int text = vsnprintf(line + prefix, sizeof(line) - (size_t)prefix - 1, fmt, args);
    va_end(args);
    if (text < 0)
        return;
    size_t bytes = strlen(line);
    line[bytes++] = '\n';
    (void)!write(STDERR_FILENO, line, bytes);
}
