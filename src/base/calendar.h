/* calendar.h - days and months of UTC, counted from 1970-01-01.  Any thread. */
#ifndef DYNO_BASE_CALENDAR_H
#define DYNO_BASE_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#define DYNO_DAY_S          86400
#define DYNO_TIME_TEXT_ROOM 24

enum dyno_period {
    DYNO_PERIOD_DAY,
    DYNO_PERIOD_MONTH,
};

/* "day", "month". */
const char *dyno_period_text(enum dyno_period period);

/* Seconds since 1970, of the system's clock; exact to some milliseconds, cheap. */
int64_t dyno_now_s(void);

static inline int64_t dyno_day_of(int64_t now_s)
{
    return now_s / DYNO_DAY_S;
}

/* The period that a day lies in: its first day, and the first one of the next. */
void dyno_period_of(enum dyno_period period, int64_t day, int64_t *first_out, int64_t *next_out);

/* "2026-01-31T00:00:00Z"; a time outside the years 1970 to 9999 is cut to them. */
const char *dyno_time_text(int64_t time_s, char out[DYNO_TIME_TEXT_ROOM]);
/* Its day alone: "2026-01-31". */
const char *dyno_day_text(int64_t time_s, char out[DYNO_TIME_TEXT_ROOM]);

/* The inverse; "2026-01-31" is its midnight.  False: it is neither, or no day of the years 1970 to
 * 9999. */
bool dyno_time_parse(const char *text, int64_t *time_s_out);

#endif /* DYNO_BASE_CALENDAR_H */
