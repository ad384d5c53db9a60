/* space.c - a full disk: the reserve, waiting, and what cannot be waited for. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "meter/ledger/internal.h"

#define TRIES_MAX 10 /* of a ledger that is being closed */

_Noreturn void dyno_ledger_end_process(struct dyno_ledger *ledger, const struct dyno_err *err)
{
    if (ledger->options.on_failure != NULL)
        ledger->options.on_failure(ledger->options.arg, err);
    else
        dyno_log(DYNO_LOG_ERROR, "the ledger cannot be written: %s", err->text);
    abort();
}

static bool put_path(const struct dyno_ledger *ledger, char path_out[DYNO_SEGMENT_PATH_ROOM])
{
    const int bytes = snprintf(path_out, DYNO_SEGMENT_PATH_ROOM, "%s/reserve", ledger->folder);
    return bytes > 0 && bytes < DYNO_SEGMENT_PATH_ROOM;
}

void dyno_ledger_drop_reserve(struct dyno_ledger *ledger)
{
    char path[DYNO_SEGMENT_PATH_ROOM];
    if (put_path(ledger, path))
        (void)unlink(path);
    ledger->has_reserve = false;
}

void dyno_ledger_release(struct dyno_ledger *ledger)
{
    if (ledger->has_reserve)
        dyno_ledger_drop_reserve(ledger);
    if (atomic_exchange(&ledger->admits, false))
        dyno_log(DYNO_LOG_WARN, "no space is left for the ledger \"%s\": no new work is admitted",
                 ledger->folder);
}

void dyno_ledger_reserve(struct dyno_ledger *ledger)
{
    char path[DYNO_SEGMENT_PATH_ROOM];
    ledger->reserve_mono_ns = dyno_clock_ns();
    if (!ledger->has_reserve && put_path(ledger, path)) {
        const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        ledger->has_reserve =
            fd >= 0 && posix_fallocate(fd, 0, (off_t)ledger->options.reserve_bytes) == 0;
        if (fd >= 0)
            (void)close(fd);
        if (!ledger->has_reserve)
            (void)unlink(path); /* a part of it helps nobody */
    }
    if (ledger->has_reserve && !atomic_exchange(&ledger->admits, true))
        dyno_log(DYNO_LOG_INFO, "the ledger \"%s\" has space: work is admitted", ledger->folder);
}

bool dyno_ledger_wait_for_space(struct dyno_ledger *ledger, uint32_t *tries)
{
    const uint64_t until_ns = dyno_clock_ns() + ledger->options.retry_interval_ns;
    const struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000U),
                                   .tv_nsec = (long)(until_ns % 1000000000U)};
    (void)pthread_mutex_lock(&ledger->lock);
    while (dyno_clock_ns() < until_ns)
        (void)pthread_cond_timedwait(&ledger->wakes, &ledger->lock, &until);
    const bool is_closing = ledger->is_closing;
    (void)pthread_mutex_unlock(&ledger->lock);
    *tries += is_closing ? 1 : 0;
    return *tries < TRIES_MAX;
}
