/* log.h - messages for a person, one line each, to stderr.
 *
 * The level comes from the environment variable DYNO_LOG (error, warn, info, debug; default warn)
 * unless it was set.  Any thread; a line is written whole.
 */
#ifndef DYNO_BASE_LOG_H
#define DYNO_BASE_LOG_H

#include <stdbool.h>

#include "base/err.h"

enum dyno_log_level {
    DYNO_LOG_ERROR,
    DYNO_LOG_WARN,
    DYNO_LOG_INFO,
    DYNO_LOG_DEBUG,
    DYNO_LOG_LEVEL_COUNT
};

void dyno_log_set_level(enum dyno_log_level level);       /* this one and those that are worse */
void dyno_log_enable(enum dyno_log_level level, bool on); /* this one alone */
bool dyno_log_on(enum dyno_log_level level);
/* "warn: text" and a newline; longer than 4096 bytes is cut, and control characters are a '?'. */
void dyno_log(enum dyno_log_level level, const char *fmt, ...) DYNO_PRINTF(2, 3);

/* Begin lines with the time, as ISO 8601 has it: "2026-05-20T20:03:26Z warn: text".  Default: off.
 */
void dyno_log_set_time(bool on);
bool dyno_log_has_time(void);

#endif /* DYNO_BASE_LOG_H */
