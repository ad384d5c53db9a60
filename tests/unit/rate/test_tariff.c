/* test_tariff.c - books of tariffs: what is taken, what is refused, which version when. */
#include "rate/tariff.h"

#include "base/calendar.h"
#include "test.h"

static struct dyno_arena *arena;

static const struct dyno_tariff_book *parse(const char *text, struct dyno_err *err)
{
    const struct dyno_tariff_book *book = NULL;
    *err = (struct dyno_err){0};
    return dyno_tariff_book_parse(text, strlen(text), arena, &book, err) == DYNO_OK ? book : NULL;
}

static int64_t at(const char *text)
{
    int64_t time_s = -1;
    REQUIRE(dyno_time_parse(text, &time_s));
    return time_s;
}

static void test_versions(void)
{
    struct dyno_err err;
    const struct dyno_tariff_book *book = parse(
        "{\"tariffs\": ["
        "{\"name\": \"a\", \"version\": 2, \"currency\": \"EUR\", \"kind\": \"flat-epu\","
        " \"epu_hour\": \"2.5\", \"from\": \"2026-11-15\"},"
        "{\"name\": \"a\", \"version\": 1, \"currency\": \"EUR\", \"kind\": \"flat-epu\","
        " \"epu_hour\": \"2\", \"from\": \"2026-01-01\", \"until\": \"2026-11-15T00:00:00Z\"},"
        "{\"name\": \"old\", \"version\": 1, \"currency\": \"EUR\", \"kind\": \"device-hour\","
        " \"device_hour\": \"3\"}],"
        "\"grants\": [{\"tariff\": \"old\"}, {\"tenant\": \"acme\", \"tariff\": \"a\","
        " \"from\": \"2026-02-01\"}]}",
        &err);
    REQUIRE(book != NULL);
    CHECK(dyno_tariff_of(book, "acme", at("2026-01-15"))->kind == DYNO_TARIFF_DEVICE_HOUR);
    CHECK(dyno_tariff_of(book, "acme", at("2026-02-01"))->version == 1);
    CHECK(dyno_tariff_of(book, "acme", at("2026-11-15") - 1)->version == 1);
    CHECK(dyno_tariff_of(book, "acme", at("2026-11-15"))->epu_hour == INT64_C(2500000000));
    CHECK(dyno_tariff_of(book, "other", at("2026-11-15"))->kind == DYNO_TARIFF_DEVICE_HOUR);
    CHECK(dyno_tariff_at(book, "a", at("2025-12-31")) == NULL);
    CHECK(dyno_tariff_at(book, "b", at("2026-12-31")) == NULL);
}

static void test_prices(void)
{
    struct dyno_tariff tariff = {.kind = DYNO_TARIFF_GAIN_SHARE,
                                 .device_hour = 3 * DYNO_NANO,
                                 .share_ppm = 500000,
                                 .speed_up_max_ppm = 5 * DYNO_PPM};
    static const struct {
        int64_t s_ppm, share_ppm, nano;
    } rows[] = {{4000000, 500000, 1875000000}, {4000000, 800000, 1200000000},
                {4000000, 300000, 2325000000}, {2000000, 500000, 2250000000},
                {3000000, 500000, 2000000000}, {5000000, 500000, 1800000000},
                {9000000, 500000, 1800000000}, /* clamped to 5 */
                {1000000, 500000, 3000000000}, {900000, 500000, 3000000000},
                {4000000, 0, 3000000000},      {4000000, 1000000, 750000000}};
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        tariff.share_ppm = rows[i].share_ppm;
        const struct dyno_price price = dyno_tariff_price(&tariff, rows[i].s_ppm);
        const struct dyno_ratio ratio = {.a = price.nano,
                                         .b = 1,
                                         .nums = {price.num},
                                         .num_count = 1,
                                         .dens = {price.den},
                                         .den_count = 1};
        dyno_i128 nano = 0;
        CHECK(dyno_ratio_round(&ratio, DYNO_ROUND_DOWN, &nano) && nano == rows[i].nano);
    }
}

#define HEAD                  "{\"name\": \"t\", \"version\": 1, \"currency\": \"USD\", "
#define FLAT                  HEAD "\"kind\": \"flat-epu\", \"epu_hour\": \"2\""
#define BOOK(tariffs, grants) "{\"tariffs\": [" tariffs "], \"grants\": [" grants "]}"

static void test_refusals(void)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"[]", "must be an object"},
        {"{\"tariffs\": []}", "grants must be an array"},
        {BOOK(HEAD "\"kind\": \"epu\"}", ""), "not epu"},
        {BOOK(HEAD "\"kind\": \"flat-epu\"}", ""), "wants epu_hour"},
        {BOOK(HEAD "\"kind\": \"gain-share\", \"device_hour\": \"3\"}", ""), "wants share"},
        {BOOK(HEAD "\"kind\": \"device-hour\", \"device_hour\": \"-3\"}", ""), "is negative"},
        {BOOK(HEAD "\"kind\": \"device-hour\", \"device_hour\": 3}", ""), "as a text"},
        {BOOK(HEAD "\"kind\": \"gain-share\", \"device_hour\": \"3\", \"share\": \"1.5\"}", ""),
         "is above 1"},
        {BOOK(FLAT ", \"epu_hours\": \"1\"}", ""), "no field \"epu_hours\""},
        {BOOK(FLAT ", \"speed_up_max\": \"0.5\"}", ""), "at least 1"},
        {BOOK(FLAT ", \"until\": \"2026-02-30\"}", ""), "until must be a day"},
        {BOOK(FLAT ", \"from\": \"2026-02-02\", \"until\": \"2026-02-01\"}", ""), "later than"},
        {BOOK(FLAT ", \"residency\": {\"floor\": \"0.5\", \"device_bytes\": 1}}", ""),
         "wants device_hour"},
        {BOOK(FLAT ", \"tiers\": {\"mode\": \"graduated\", \"steps\": []}}", ""), "1 to 32"},
        {BOOK(FLAT ", \"tiers\": {\"mode\": \"volume\", \"steps\": [{\"factor\": \"1\"},"
                   " {\"factor\": \"1\"}]}}",
              ""),
         "all steps but the last"},
        {BOOK(FLAT ", \"tiers\": {\"mode\": \"volume\", \"steps\": [{\"factor\": \"1\","
                   " \"up_to_epu_hours\": \"2\"}, {\"factor\": \"1\", \"up_to_epu_hours\": \"2\"},"
                   " {\"factor\": \"1\"}]}}",
              ""),
         "must rise"},
        {BOOK(FLAT "}, " FLAT "}", ""), "are in force at one time"},
        {BOOK(FLAT "}, {\"name\": \"u\", \"version\": 1, \"currency\": \"EUR\", \"kind\":"
                   " \"flat-epu\", \"epu_hour\": \"2\"}",
              ""),
         "a book has one currency"},
        {BOOK("{\"name\": \"t\", \"version\": 1, \"currency\": \"XYZ\", \"kind\": \"flat-epu\","
              " \"epu_hour\": \"2\"}",
              ""),
         "currency 'XYZ' is not known"},
        {BOOK(FLAT "}", "{\"tariff\": \"u\"}"), "which is not there"},
        {BOOK(FLAT "}", "{\"tariff\": \"t\"}, {\"tariff\": \"t\"}"), "at one time"},
        {BOOK(FLAT ", \"until\": \"2026-01-01\"}, {\"name\": \"t\", \"version\": 1, \"currency\":"
                   " \"USD\", \"kind\": \"flat-epu\", \"epu_hour\": \"2\","
                   " \"from\": \"2026-01-01\"}",
              ""),
         "comes after version 1"},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct dyno_err err;
        CHECK_MSG(parse(rows[i].text, &err) == NULL, "%s", rows[i].text);
        CHECK_MSG(strstr(err.text, rows[i].says) != NULL, "%s\n    says %s", rows[i].text,
                  err.text);
    }
}

static void test_times(void)
{
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-1-01",
                                      "2026-02-29",
                                      "2026-11-01T24:00:00Z",
                                      "2026-11-01 00:00:00",
                                      "2026-11-01T00:00:00",
                                      "1969-12-31",
                                      "2026-11-01x",
                                      " 2026-11-01",
                                      "2026-11-01T00:00:60Z"};
    int64_t time_s = 0;
    char text[DYNO_TIME_TEXT_ROOM];
    for (size_t i = 0; i < DYNO_COUNT(bad); i++)
        CHECK_MSG(!dyno_time_parse(bad[i], &time_s), "%s", bad[i]);
    CHECK(dyno_time_parse("2024-02-29T23:59:59Z", &time_s));
    CHECK_STR(dyno_time_text(time_s, text), "2024-02-29T23:59:59Z");
    CHECK(dyno_time_parse("1970-01-01", &time_s) && time_s == 0);
}

int main(void)
{
    arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    test_versions();
    test_prices();
    test_refusals();
    test_times();
    dyno_arena_destroy(arena);
    return TEST_RESULT();
}
