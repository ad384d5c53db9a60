/* test_minimum.c - who owes the least amount of a tariff: whoever has it, for as long as he has it,
 * whether he used anything or not. */
#include "base/mem.h"
#include "rate/rate.h"
#include "test.h"

#define FIRST_S INT64_C(1793491200) /* 2026-11-01 */
#define NEXT_S  INT64_C(1796083200) /* 2026-12-01, 30 days */
#define HOUR_NS UINT64_C(3600000000000)

enum { NOTHING, ACME, COLD, MODEL, NAME_COUNT };
static const char *const names[NAME_COUNT] = {"", "acme", "cold", "model"};

/* An EPU-hour at 2, at least 30 a month; one at 4, at least 60; one at 1, no least amount. */
#define TARIFFS                                                                           \
    "{\"tariffs\": ["                                                                     \
    "{\"name\": \"low\", \"version\": 1, \"currency\": \"USD\", \"kind\": \"flat-epu\","  \
    " \"epu_hour\": \"2\", \"minimum\": \"30\"},"                                         \
    "{\"name\": \"high\", \"version\": 1, \"currency\": \"USD\", \"kind\": \"flat-epu\"," \
    " \"epu_hour\": \"4\", \"minimum\": \"60\", \"until\": \"2026-11-16\"},"              \
    "{\"name\": \"high\", \"version\": 2, \"currency\": \"USD\", \"kind\": \"flat-epu\"," \
    " \"epu_hour\": \"4\", \"minimum\": \"90\", \"from\": \"2026-11-16\"},"               \
    "{\"name\": \"none\", \"version\": 1, \"currency\": \"USD\", \"kind\": \"flat-epu\"," \
    " \"epu_hour\": \"1\"}], \"grants\": ["

struct use {
    uint32_t tenant;
    int64_t day; /* of the month, from 1 on */
    uint64_t hours;
};

struct want {
    const char *tenant; /* NULL: no further account */
    int64_t total;      /* of the least amount */
    size_t minimums;    /* lines of that kind */
};

static const struct row {
    const char *grants, *tariff;
    struct use uses[3];
    struct want wants[4];
    int64_t credit; /* of cold, of the least amount */
} rows[] = {
    /* Nothing used, and a grant of his own: all of it.  Who only could have that of everybody else
     * is nobody. */
    {"{\"tenant\": \"cold\", \"tariff\": \"low\"}, {\"tariff\": \"none\"}",
     NULL,
     {{ACME, 2, 5}},
     {{"acme", 500, 0}, {"cold", 3000, 1}},
     0},
    {"{\"tariff\": \"low\"}", NULL, {{ACME, 2, 5}}, {{"acme", 3000, 1}}, 0},
    {"{\"tenant\": \"bold\", \"tariff\": \"low\"}, {\"tenant\": \"zeta\", \"tariff\": \"low\"},"
     " {\"tenant\": \"free\", \"tariff\": \"none\"}, {\"tariff\": \"none\"}",
     NULL,
     {{ACME, 2, 5}},
     {{"acme", 500, 0}, {"bold", 3000, 1}, {"zeta", 3000, 1}},
     0},
    /* Half a month each of two tariffs: half of each least amount, and not all of both. */
    {"{\"tenant\": \"acme\", \"tariff\": \"low\", \"until\": \"2026-11-16\"},"
     " {\"tenant\": \"acme\", \"tariff\": \"none\", \"from\": \"2026-11-16\"}",
     NULL,
     {{ACME, 2, 5}, {ACME, 20, 5}},
     {{"acme", 1500 + 500, 1}},
     0},
    /* Used in the one half alone: what the other half costs at least is owed too. */
    {"{\"tenant\": \"acme\", \"tariff\": \"high\"}",
     NULL,
     {{ACME, 2, 10}},
     {{"acme", 4000 + 4500, 1}},
     0},
    {"{\"tenant\": \"acme\", \"tariff\": \"high\"}", NULL, {{0}}, {{"acme", 3000 + 4500, 2}}, 0},
    /* It ended in October, and nobody goes on owing what everybody else has. */
    {"{\"tenant\": \"cold\", \"tariff\": \"low\", \"until\": \"2026-10-20\"},"
     " {\"tariff\": \"low\"}",
     NULL,
     {{0}},
     {{NULL, 0, 0}},
     0},
    /* It begins on the 21st: a third. */
    {"{\"tenant\": \"cold\", \"tariff\": \"low\", \"from\": \"2026-11-21\"}",
     NULL,
     {{0}},
     {{"cold", 1000, 1}},
     0},
    /* Paid by credit. */
    {"{\"tenant\": \"cold\", \"tariff\": \"low\"}", NULL, {{0}}, {{"cold", 1750, 1}}, 1250},
    /* What if everybody had this one? */
    {"{\"tenant\": \"cold\", \"tariff\": \"none\"}, {\"tariff\": \"none\"}",
     "high",
     {{ACME, 2, 100}},
     {{"acme", 40000 + 4500, 1}, {"cold", 3000 + 4500, 2}},
     0},
};

static const struct dyno_statement *make(const struct row *row, struct dyno_arena *arena)
{
    struct dyno_err err = {0};
    char text[2048];
    struct dyno_rater *rater = NULL;
    struct dyno_statement *statement = NULL;
    const struct dyno_credit credit = {"cold", row->credit * INT64_C(10000000)};
    struct dyno_rater_options options = {.tariff = row->tariff,
                                         .names = names,
                                         .name_count = NAME_COUNT,
                                         .first_s = FIRST_S,
                                         .next_s = NEXT_S,
                                         .credits = &credit,
                                         .credit_count = row->credit > 0 ? 1 : 0};
    (void)snprintf(text, sizeof(text), "%s%s]}", TARIFFS, row->grants);
    REQUIRE(dyno_tariff_book_parse(text, strlen(text), arena, &options.book, &err) == DYNO_OK);
    REQUIRE(dyno_rater_create(&options, &rater, &err) == DYNO_OK);
    for (size_t i = 0; i < DYNO_COUNT(row->uses) && row->uses[i].tenant != NOTHING; i++) {
        const struct dyno_usage usage = {.key = {.tenant = row->uses[i].tenant, .model = MODEL},
                                         .start_s = FIRST_S + (row->uses[i].day - 1) * 86400,
                                         .requests = 1,
                                         .reference_ns = row->uses[i].hours * HOUR_NS};
        REQUIRE(dyno_rater_add(rater, &usage, &err) == DYNO_OK);
    }
    REQUIRE(dyno_rater_finish(rater, arena, &statement, &err) == DYNO_OK);
    dyno_rater_destroy(rater);
    return statement;
}

static void check(const struct row *row, size_t n)
{
    struct dyno_arena *arena = dyno_arena_create();
    const struct dyno_statement *statement = make(row, arena);
    size_t count = 0;
    dyno_i128 charged = 0;
    for (; count < DYNO_COUNT(row->wants) && row->wants[count].tenant != NULL; count++) {
        const struct want *want = &row->wants[count];
        REQUIRE(count < statement->account_count);
        const struct dyno_account *account = &statement->accounts[count];
        size_t minimums = 0;
        for (size_t i = 0; i < account->line_count; i++)
            minimums += account->lines[i].kind == DYNO_LINE_MINIMUM ? 1 : 0;
        CHECK_MSG(strcmp(account->tenant, want->tenant) == 0, "row %zu: %s", n, account->tenant);
        CHECK_MSG(account->total_minor == want->total, "row %zu: %s owes %lld", n, want->tenant,
                  (long long)account->total_minor);
        CHECK_MSG(minimums == want->minimums, "row %zu: %zu lines", n, minimums);
        charged += account->total_minor;
    }
    CHECK_MSG(statement->account_count == count, "row %zu: %zu", n, statement->account_count);
    CHECK((statement->currency != NULL) == (count > 0));
    CHECK(statement->charged_minor == charged && statement->credit_minor == row->credit);
    CHECK((charged + row->credit) * 10000000 + statement->residue_nano == statement->revenue_nano);
    dyno_arena_destroy(arena);
}

int main(void)
{
    for (size_t i = 0; i < DYNO_COUNT(rows); i++)
        check(&rows[i], i);
    return TEST_RESULT();
}
