/* log.c - one write call a line, so that lines of several threads do not mix. */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 4096

static const char *const level_names[DYNO_LOG_LEVEL_COUNT] = {"error", "warn", "info", "debug"};

#define KNOWN (1U << DYNO_LOG_LEVEL_COUNT)

/* A bit a level; KNOWN: the environment was asked, or nobody needs to. */
static atomic_uint levels;
static atomic_bool has_time;

/* The bits of a level and of those that are worse. */
static unsigned up_to(enum dyno_log_level level)
{
    return (2U << (unsigned)level) - 1U;
}

static unsigned from_environment(void)
{
    const char *wanted = getenv("DYNO_LOG");
    for (int i = 0; wanted != NULL && i < DYNO_LOG_LEVEL_COUNT; i++)
        if (strcmp(wanted, level_names[i]) == 0)
            return up_to((enum dyno_log_level)i);
    return up_to(DYNO_LOG_WARN);
}

static unsigned levels_now(void)
{
    unsigned now = atomic_load_explicit(&levels, memory_order_relaxed);
    if ((now & KNOWN) == 0) {
        const unsigned asked = from_environment() | KNOWN;
        if (atomic_compare_exchange_strong(&levels, &now, asked))
            now = asked;
    }
    return now;
}

void dyno_log_set_level(enum dyno_log_level level)
{
    atomic_store_explicit(&levels, up_to(level) | KNOWN, memory_order_relaxed);
}

void dyno_log_enable(enum dyno_log_level level, bool on)
{
    const unsigned bit = 1U << (unsigned)level;
    (void)levels_now();
    if (on)
        atomic_fetch_or_explicit(&levels, bit, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&levels, ~bit, memory_order_relaxed);
}

bool dyno_log_on(enum dyno_log_level level)
{
    return (levels_now() >> (unsigned)level & 1U) != 0;
}

void dyno_log_set_time(bool on)
{
    atomic_store_explicit(&has_time, on, memory_order_relaxed);
}

bool dyno_log_has_time(void)
{
    return atomic_load_explicit(&has_time, memory_order_relaxed);
}

/* "2026-05-20T20:03:26Z warn: "; returns its length. */
static size_t print_prefix(enum dyno_log_level level, char *line, size_t room)
{
    struct tm parts;
    size_t bytes = 0;
    const time_t now = time(NULL);
    if (dyno_log_has_time() && gmtime_r(&now, &parts) != NULL)
        bytes = strftime(line, room, "%Y-%m-%dT%H:%M:%SZ ", &parts);
    const int more = snprintf(line + bytes, room - bytes, "%s: ", level_names[level]);
    return bytes + (more > 0 ? (size_t)more : 0);
}

void dyno_log(enum dyno_log_level level, const char *fmt, ...)
{
    if (!dyno_log_on(level))
        return;
    char line[LINE_BYTES_MAX];
    const size_t prefix = print_prefix(level, line, sizeof(line));
    va_list args;
    va_start(args, fmt);
    const int text = vsnprintf(line + prefix, sizeof(line) - prefix - 1, fmt, args);
    va_end(args);
    if (text < 0)
        return;
    size_t bytes = strlen(line);
    for (size_t i = prefix; i < bytes; i++) /* what others named must not make a line of its own */
        line[i] = (unsigned char)line[i] < 0x20 || line[i] == 0x7f ? '?' : line[i];
    line[bytes++] = '\n';
    (void)!write(STDERR_FILENO, line, bytes);
}
