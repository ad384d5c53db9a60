/* billing.c - periods, books, documents that are written once. */
#include "cli/billing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/file.h"

#define BOOK_BYTES_MAX ((size_t)64 << 20)

void dyno_bill_defaults(struct dyno_bill_options *options)
{
    if (options->ledgers.count == 0 && options->fleet == NULL && access("ledger", R_OK | X_OK) == 0)
        options->ledgers.items[options->ledgers.count++] = "ledger";
    if (options->certificates == NULL && access("certificates", R_OK | X_OK) == 0)
        options->certificates = "certificates";
    if (options->tariffs == NULL && access("tariffs.json", R_OK) == 0)
        options->tariffs = "tariffs.json";
}

static enum dyno_status take_month(const char *text, int64_t *first_s, int64_t *next_s,
                                   struct dyno_err *err)
{
    char day[16];
    int64_t first_day = 0;
    int64_t next_day = 0;
    if (strlen(text) != 7 || snprintf(day, sizeof(day), "%s-01", text) >= (int)sizeof(day) ||
        !dyno_time_parse(day, first_s))
        return DYNO_FAIL(err, DYNO_E_ARG, "--period=%s: wants a month, as 2026-11", text);
    dyno_period_of(DYNO_PERIOD_MONTH, dyno_day_of(*first_s), &first_day, &next_day);
    *next_s = next_day * DYNO_DAY_S;
    return DYNO_OK;
}

static enum dyno_status take_time(const char *name, const char *text, int64_t *time_s,
                                  struct dyno_err *err)
{
    if (text != NULL && !dyno_time_parse(text, time_s))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "%s=%s: wants a day or a time in UTC, as 2026-11-01 or "
                         "2026-11-01T00:00:00Z",
                         name, text);
    return DYNO_OK;
}

enum dyno_status dyno_bill_period(const struct dyno_bill_options *options, int64_t *first_s_out,
                                  int64_t *next_s_out, struct dyno_err *err)
{
    int64_t first_day = 0;
    int64_t next_day = 0;
    char first[DYNO_TIME_TEXT_ROOM];
    char next[DYNO_TIME_TEXT_ROOM];
    if (options->period != NULL && (options->since != NULL || options->until != NULL))
        return DYNO_FAIL(err, DYNO_E_ARG, "give either --period, or --since and --until");
    if (options->period != NULL)
        return take_month(options->period, first_s_out, next_s_out, err);
    const int64_t now_s = dyno_now_s();
    dyno_period_of(DYNO_PERIOD_MONTH, dyno_day_of(now_s), &first_day, &next_day);
    *first_s_out = first_day * DYNO_DAY_S;
    *next_s_out = options->since != NULL ? now_s + 1 : next_day * DYNO_DAY_S;
    DYNO_TRY(take_time("--since", options->since, first_s_out, err));
    DYNO_TRY(take_time("--until", options->until, next_s_out, err));
    if (*next_s_out <= *first_s_out)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "--until must be later than --since: this is from %s until %s",
                         dyno_time_text(*first_s_out, first), dyno_time_text(*next_s_out, next));
    return DYNO_OK;
}

enum dyno_status dyno_bill_book(const char *path, struct dyno_arena *arena,
                                const struct dyno_tariff_book **book_out, struct dyno_err *err)
{
    struct dyno_file_map map = {0};
    if (path == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG, "--tariffs=FILE is missing");
    DYNO_TRY(dyno_file_map(path, &map, err));
    const enum dyno_status status =
        map.bytes > BOOK_BYTES_MAX
            ? DYNO_FAIL(err, DYNO_E_LIMIT, "a book of tariffs has at most %zu bytes",
                        BOOK_BYTES_MAX)
            : dyno_tariff_book_parse(map.data, map.bytes, arena, book_out, err);
    dyno_file_unmap(&map);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "%s", path);
    return status;
}

enum dyno_status dyno_bill_write(const char *path, const struct dyno_strbuf *text,
                                 struct dyno_err *err)
{
    if (!dyno_strbuf_ok(text))
        return DYNO_NOMEM(err);
    if (path != NULL)
        return dyno_file_write_new(path, dyno_strbuf_text(text), text->bytes, err);
    return fwrite(dyno_strbuf_text(text), 1, text->bytes, stdout) == text->bytes &&
                   fflush(stdout) == 0
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_IO, "standard output: %s", strerror(errno));
}
