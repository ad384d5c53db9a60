/* calendar.c - days, months, and their text. */
#include "base/calendar.h"

#include <string.h>
#include <time.h>

#define TIME_MAX_S INT64_C(253402300799) /* the last second of 9999 */

const char *dyno_period_text(enum dyno_period period)
{
    return period == DYNO_PERIOD_DAY ? "day" : "month";
}

int64_t dyno_now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now.tv_sec;
}

static struct tm fields_of(int64_t time_s)
{
    const time_t clipped = time_s < 0 ? 0 : time_s > TIME_MAX_S ? TIME_MAX_S : time_s;
    struct tm fields = {0};
    (void)gmtime_r(&clipped, &fields);
    return fields;
}

void dyno_period_of(enum dyno_period period, int64_t day, int64_t *first_out, int64_t *next_out)
{
    *first_out = day;
    *next_out = day + 1;
    if (period == DYNO_PERIOD_DAY)
        return;
    const struct tm fields = fields_of(day * DYNO_DAY_S);
    struct tm next = {.tm_year = fields.tm_year, .tm_mon = fields.tm_mon + 1, .tm_mday = 1};
    *first_out = day - (fields.tm_mday - 1);
    *next_out = timegm(&next) / DYNO_DAY_S;
}

const char *dyno_time_text(int64_t time_s, char out[DYNO_TIME_TEXT_ROOM])
{
    const struct tm fields = fields_of(time_s);
    if (strftime(out, DYNO_TIME_TEXT_ROOM, "%Y-%m-%dT%H:%M:%SZ", &fields) == 0)
        out[0] = 0;
    return out;
}

const char *dyno_day_text(int64_t time_s, char out[DYNO_TIME_TEXT_ROOM])
{
    const struct tm fields = fields_of(time_s);
    if (strftime(out, DYNO_TIME_TEXT_ROOM, "%Y-%m-%d", &fields) == 0)
        out[0] = 0;
    return out;
}

bool dyno_time_parse(const char *text, int64_t *time_s_out)
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"};
    for (int i = 0; i < 2; i++) {
        char back[DYNO_TIME_TEXT_ROOM];
        struct tm fields = {0};
        const char *end = strptime(text, forms[i], &fields);
        if (end == NULL || *end != 0 || fields.tm_year < 70)
            continue;
        const int64_t time_s = timegm(&fields);
        /* strptime takes a 31st of February, a leap second and blanks. */
        if (time_s < 0 || time_s > TIME_MAX_S ||
            strncmp(dyno_time_text(time_s, back), text, strlen(text) - (i == 0 ? 1 : 0)) != 0)
            return false;
        *time_s_out = time_s;
        return true;
    }
    return false;
}
