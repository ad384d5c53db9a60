/* test_rate.c - from usage to lines: the row that the specification works out, each kind of line,
 * and what must hold of any usage. */
#include "desk.h"

#define FIRST_S INT64_C(1793491200) /* 2026-11-01 */
#define NEXT_S  INT64_C(1796083200) /* 2026-12-01 */
#define HOUR_NS UINT64_C(3600000000000)

enum {
    NOTHING,
    ACME,
    BOLT,
    MODEL,
    OTHER_MODEL,
    FP32,
    FP16,
    REALTIME,
    BATCH,
    CERT4,
    CERT2,
    NAME_COUNT
};
static const char *const names[NAME_COUNT] = {"",      "acme",     "bolt",    "resnet",
                                              "yolo",  "fp32",     "fp16",    "realtime",
                                              "batch", "sha256:4", "sha256:2"};

static int64_t speed_up(void *arg, const char *certificate)
{
    (void)arg;
    return (certificate[7] - '0') * DYNO_PPM;
}

/* One tariff for everybody; `fields` are members of it. */
#define BOOK(fields)                                                                        \
    "{\"tariffs\": [{\"name\": \"t\", \"version\": 1, \"currency\": \"USD\", " fields "}]," \
    " \"grants\": [{\"tariff\": \"t\"}]}"
#define GAIN_SHARE "\"kind\": \"gain-share\", \"device_hour\": \"3\", \"share\": \"0.5\""
#define FLAT       "\"kind\": \"flat-epu\", \"epu_hour\": \"2\""

static void open_desk(struct desk *desk, const char *book)
{
    desk_open(desk, book,
              (struct dyno_rater_options){.names = names,
                                          .name_count = NAME_COUNT,
                                          .speed_up_ppm = speed_up,
                                          .first_s = FIRST_S,
                                          .next_s = NEXT_S});
}

static void finish(struct desk *desk)
{
    struct dyno_err err = {0};
    const enum dyno_status status =
        dyno_rater_finish(desk->rater, desk->arena, &desk->statement, &err);
    CHECK_MSG(status == DYNO_OK, "%s", err.text);
    REQUIRE(status == DYNO_OK);
    dyno_rater_destroy(desk->rater);
}

static void close_desk(struct desk *desk)
{
    dyno_arena_destroy(desk->arena);
}

/* 10,000 requests a baseline hour at a speed-up of 4: each 1e-4 EPU-hours, a quarter in device
 * time. */
static struct dyno_usage usage_of(uint32_t tenant, uint64_t requests)
{
    return (struct dyno_usage){
        .key = {tenant, MODEL, FP32, REALTIME, FP32, CERT4},
        .kind = DYNO_USAGE_DELIVERED,
        .start_s = FIRST_S + 10,
        .requests = requests,
        .items = requests,
        .reference_ns = requests * (HOUR_NS / 10000),
        .device_ns = requests * (HOUR_NS / 40000),
    };
}

static void use(struct desk *desk, struct dyno_usage usage)
{
    struct dyno_err err = {0};
    CHECK_MSG(dyno_rater_add(desk->rater, &usage, &err) == DYNO_OK, "%s", err.text);
}

static const struct dyno_line *line_of(const struct desk *desk, enum dyno_line_kind kind)
{
    for (size_t i = 0; i < desk->statement->account_count; i++)
        for (size_t k = 0; k < desk->statement->accounts[i].line_count; k++)
            if (desk->statement->accounts[i].lines[k].kind == kind)
                return &desk->statement->accounts[i].lines[k];
    return NULL;
}

/* P = 3, s = 4, 10,000 requests: the row to the last digit, and what a busy device-hour earns. */
static void test_worked_row(void)
{
    static const struct {
        const char *book;
        int64_t unit_nano, request_nano, device_hour_nano;
    } rows[] = {
        {BOOK(GAIN_SHARE), 1875000000, 187500, 7500000000},
        {BOOK("\"kind\": \"gain-share\", \"device_hour\": \"3\", \"share\": \"0.8\""), 1200000000,
         120000, 4800000000},
        {BOOK("\"kind\": \"gain-share\", \"device_hour\": \"3\", \"share\": \"0.3\""), 2325000000,
         232500, 9300000000},
        {BOOK("\"kind\": \"flat-epu\", \"epu_hour\": \"3\""), 3000000000, 300000, 12000000000},
        {BOOK(FLAT), 2000000000, 200000, 8000000000},
        {BOOK("\"kind\": \"device-hour\", \"device_hour\": \"3\""), 3000000000, 75000, 3000000000},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct desk desk;
        open_desk(&desk, rows[i].book);
        use(&desk, usage_of(ACME, 1));
        use(&desk, usage_of(BOLT, 40000)); /* a device-hour */
        finish(&desk);
        const struct dyno_account *accounts = desk.statement->accounts;
        REQUIRE(desk.statement->account_count == 2);
        CHECK(accounts[0].lines[0].unit_nano == rows[i].unit_nano);
        CHECK(accounts[0].lines[0].nano == rows[i].request_nano);
        CHECK(accounts[1].lines[0].nano == rows[i].device_hour_nano);
        CHECK(accounts[1].device_ns == HOUR_NS && accounts[1].reference_ns == 4 * HOUR_NS);
        CHECK(accounts[1].total_minor == rows[i].device_hour_nano / 10000000);
        close_desk(&desk);
    }
    /* Unoptimised: no certificate, the device works as long as the reference. */
    struct desk desk;
    open_desk(&desk, BOOK(GAIN_SHARE));
    struct dyno_usage usage = usage_of(ACME, 1);
    usage.key.certificate = NOTHING;
    usage.device_ns = usage.reference_ns;
    use(&desk, usage);
    finish(&desk);
    CHECK(desk.statement->accounts[0].lines[0].nano == 300000);
    close_desk(&desk);
}

static void test_what_is_free(void)
{
    static const enum dyno_usage_kind kinds[] = {DYNO_USAGE_FAILED, DYNO_USAGE_CACHED,
                                                 DYNO_USAGE_UNCONFIRMED, DYNO_USAGE_COLD_START};
    struct desk desk;
    open_desk(&desk, BOOK(GAIN_SHARE));
    for (size_t i = 0; i < DYNO_COUNT(kinds); i++) {
        struct dyno_usage usage = usage_of(ACME, 1000000);
        usage.kind = kinds[i];
        use(&desk, usage);
    }
    finish(&desk);
    CHECK(desk.statement->charged_minor == 0 && desk.statement->revenue_nano == 0);
    CHECK(desk.statement->accounts[0].line_count == DYNO_COUNT(kinds)); /* told all the same */
    CHECK(desk.statement->reference_ns == 0);
    close_desk(&desk);
}

static void test_factors_and_cold_start(void)
{
    struct desk desk;
    open_desk(&desk, BOOK(GAIN_SHARE ", \"classes\": {\"realtime\": \"1.5\"},"
                                     " \"precisions\": {\"fp16\": \"0.9\"}, \"cold_start\": true"));
    struct dyno_usage usage = usage_of(ACME, 40000);
    usage.key.precision = FP16;
    use(&desk, usage); /* 7.50 * 1.5 * 0.9 */
    usage.key.class_name = BATCH;
    use(&desk, usage); /* 7.50 * 0.9 */
    usage.kind = DYNO_USAGE_COLD_START;
    use(&desk, usage); /* 3.00: a device-hour, no factors */
    finish(&desk);
    CHECK(desk.statement->charged_minor == 1013 + 675 + 300);
    CHECK(line_of(&desk, DYNO_LINE_COLD_START)->minor == 300);
    CHECK(desk.statement->reference_ns == 8 * HOUR_NS);
    close_desk(&desk);
}

static void test_tiers(void)
{
#define STEPS                                                                                    \
    "[{\"up_to_epu_hours\": \"1\", \"factor\": \"1\"}, {\"up_to_epu_hours\": \"3\", \"factor\":" \
    " \"0.8\"}, {\"factor\": \"0.5\"}]"
    static const struct {
        const char *book;
        uint64_t requests;
        int64_t minor;
    } rows[] = {
        {BOOK(FLAT ", \"tiers\": {\"mode\": \"graduated\", \"steps\": " STEPS "}"), 10000, 0},
        {BOOK(FLAT ", \"tiers\": {\"mode\": \"graduated\", \"steps\": " STEPS "}"), 20000, -40},
        {BOOK(FLAT ", \"tiers\": {\"mode\": \"graduated\", \"steps\": " STEPS "}"), 40000,
         -80 - 100},
        {BOOK(FLAT ", \"tiers\": {\"mode\": \"volume\", \"steps\": " STEPS "}"), 10000, 0},
        {BOOK(FLAT ", \"tiers\": {\"mode\": \"volume\", \"steps\": " STEPS "}"), 10001, -40},
        {BOOK(FLAT ", \"tiers\": {\"mode\": \"volume\", \"steps\": " STEPS "}"), 30000, -120},
        {BOOK(FLAT ", \"tiers\": {\"mode\": \"volume\", \"steps\": " STEPS "}"), 40000, -400},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct desk desk;
        open_desk(&desk, rows[i].book);
        use(&desk, usage_of(ACME, rows[i].requests));
        finish(&desk);
        const struct dyno_line *line = line_of(&desk, DYNO_LINE_TIERS);
        CHECK_MSG(line != NULL ? line->minor == rows[i].minor : rows[i].minor == 0, "row %zu", i);
        close_desk(&desk);
    }
}

static void test_minimum_and_credit(void)
{
    const struct dyno_credit credit = {"acme", INT64_C(2005000000)}; /* 2.005 USD */
    struct desk desk;
    open_desk(&desk, BOOK(FLAT ", \"minimum\": \"10\""));
    use(&desk, usage_of(ACME, 10000)); /* 2.00 */
    finish(&desk);
    CHECK(line_of(&desk, DYNO_LINE_MINIMUM)->minor == 800);
    CHECK(desk.statement->charged_minor == 1000);
    close_desk(&desk);

    /* In force for 15 of 30 days: half of it. */
    open_desk(&desk, BOOK(FLAT ", \"minimum\": \"10\", \"until\": \"2026-11-16\""));
    use(&desk, usage_of(ACME, 10000));
    finish(&desk);
    CHECK(desk.statement->charged_minor == 500);
    close_desk(&desk);

    open_desk(&desk, BOOK(FLAT));
    dyno_rater_destroy(desk.rater);
    desk.options.credits = &credit;
    desk.options.credit_count = 1;
    REQUIRE(dyno_rater_create(&desk.options, &desk.rater, NULL) == DYNO_OK);
    use(&desk, usage_of(ACME, 40000)); /* 8.00 */
    finish(&desk);
    CHECK(line_of(&desk, DYNO_LINE_CREDIT)->minor == -200);
    CHECK(desk.statement->charged_minor == 600 && desk.statement->credit_minor == 200);
    CHECK(desk.statement->revenue_nano == INT64_C(8000000000));     /* paid before, earned now */
    CHECK(desk.statement->accounts[0].credit_left_nano == 5000000); /* half a cent stays */
    close_desk(&desk);
}

/* 20 of 80 GB for two hours at lambda 0.5: 0.375 an hour, less what the hour was charged. */
static void test_residency_floor(void)
{
    struct desk desk;
    open_desk(&desk, BOOK(GAIN_SHARE ", \"residency\": {\"floor\": \"0.5\","
                                     " \"device_bytes\": 80000000000}"));
    struct dyno_usage held = {.key = {ACME, MODEL, FP32, NOTHING, NOTHING, NOTHING},
                              .kind = DYNO_USAGE_RESIDENCY,
                              .start_s = FIRST_S};
    held.byte_ns = UINT64_C(5000000) * HOUR_NS; /* as many as fit: added up to 20 GB */
    for (int hour = 0; hour < 3; hour++)
        for (int i = 0; i < 4000; i++) {
            held.start_s = FIRST_S + hour * 3600;
            use(&desk, held);
        }
    struct dyno_usage usage = usage_of(ACME, 1000); /* 0.1875 in the first hour */
    use(&desk, usage);
    usage.start_s += 3600;
    usage.requests = 4000; /* 0.75 in the second: above the floor */
    usage.reference_ns *= 4;
    use(&desk, usage);
    finish(&desk);
    const struct dyno_line *line = line_of(&desk, DYNO_LINE_RESIDENCY);
    REQUIRE(line != NULL);
    CHECK(line->nano == (375000000 - 187500000) + 0 + 375000000);
    CHECK(line->minor == 56); /* 0.5625 */
    close_desk(&desk);
}

static void test_late_records(void)
{
    struct desk desk;
    struct dyno_err err = {0};
    open_desk(&desk, "{\"tariffs\": ["
                     "{\"name\": \"t\", \"version\": 1, \"currency\": \"USD\", " FLAT
                     ", \"until\": \"2026-11-01\"},"
                     "{\"name\": \"t\", \"version\": 2, \"currency\": \"USD\", \"kind\":"
                     " \"flat-epu\", \"epu_hour\": \"5\", \"minimum\": \"7\","
                     " \"from\": \"2026-11-01\"}],"
                     " \"grants\": [{\"tariff\": \"t\"}]}");
    struct dyno_usage usage = usage_of(ACME, 10000);
    use(&desk, usage);
    usage.start_s = FIRST_S - 1; /* of October, by October's version */
    use(&desk, usage);
    usage.start_s = NEXT_S;
    CHECK(dyno_rater_add(desk.rater, &usage, &err) == DYNO_E_ARG);
    finish(&desk);
    const struct dyno_account *account = &desk.statement->accounts[0];
    REQUIRE(account->line_count == 3);
    CHECK(account->lines[0].is_late && account->lines[0].minor == 200);
    CHECK(!account->lines[1].is_late && account->lines[1].minor == 500);
    CHECK(account->lines[2].kind == DYNO_LINE_MINIMUM && account->lines[2].minor == 200);
    close_desk(&desk);
}

/* 15 minor units and a half: charged 16, given back 16 (half to even); 14 and a half: 15, 14. */
static void test_taken_back(void)
{
    static const struct {
        uint64_t requests;
        int64_t charged, given;
    } rows[] = {{775, 16, 16}, {725, 15, 14}, {10000, 200, 200}};
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct desk desk;
        open_desk(
            &desk,
            BOOK(FLAT
                 ", \"from\": \"2026-10-01\", \"cost_hour\": \"1\","
                 " \"minimum\": \"0.01\", \"device_hour\": \"3\", \"residency\": {\"floor\": \"1\","
                 " \"device_bytes\": 1}"));
        struct dyno_usage usage = usage_of(ACME, rows[i].requests);
        usage.start_s = FIRST_S - 10;
        use(&desk, usage);
        usage.is_taken_back = true;
        use(&desk, usage);
        finish(&desk);
        const struct dyno_account *account = &desk.statement->accounts[0];
        REQUIRE(account->line_count == 2); /* nothing was used in this period: no minimum */
        CHECK(account->lines[0].minor == rows[i].charged && !account->lines[0].is_taken_back);
        CHECK(account->lines[1].minor == -rows[i].given && account->lines[1].is_taken_back);
        CHECK(account->lines[1].requests == rows[i].requests);
        CHECK(desk.statement->revenue_nano ==
              desk.statement->charged_minor * 10000000 + desk.statement->residue_nano);
        CHECK(account->reference_ns == usage.reference_ns); /* once, as it was delivered */
        close_desk(&desk);
    }
}

/* A month's books are the same for the past: as long as nobody's price of then is another. */
static void test_same_books(void)
{
#define TARIFF(more)          "{\"name\": \"t\", \"version\": 1, \"currency\": \"USD\", " FLAT more "}"
#define PAIR(tariffs, grants) "{\"tariffs\": [" tariffs "], \"grants\": [" grants "]}"
#define LATER                                                                          \
    "{\"name\": \"t\", \"version\": 2, \"currency\": \"USD\", \"kind\": \"flat-epu\"," \
    " \"epu_hour\": \"9\", \"from\": \"2026-12-01\"}"
    static const struct {
        const char *now, *says;
    } rows[] = {
        {PAIR(TARIFF(), "{\"tariff\": \"t\"}"), NULL},
        {PAIR(TARIFF(", \"cost_hour\": \"1\""), "{\"tariff\": \"t\"}"), NULL},
        {PAIR(TARIFF(", \"until\": \"2026-12-01\"") ", " LATER, "{\"tariff\": \"t\"}"), NULL},
        {PAIR(TARIFF(), "{\"tariff\": \"t\", \"until\": \"2026-11-30\"}"),
         "everybody else had another tariff at 2026-11-30T00:00:00Z"},
        {PAIR(TARIFF(", \"minimum\": \"1\""), "{\"tariff\": \"t\"}"),
         "everybody else had another tariff at 2026-11-01T00:00:00Z"},
        {PAIR(TARIFF(", \"classes\": {\"batch\": \"0.5\"}"), "{\"tariff\": \"t\"}"), "everybody"},
        {PAIR(TARIFF(", \"from\": \"2026-11-02\""), "{\"tariff\": \"t\"}"),
         "everybody else had another tariff at 2026-11-01T00:00:00Z"},
    };
    struct dyno_arena *arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    const char *first = rows[0].now;
    const struct dyno_tariff_book *before = NULL;
    REQUIRE(dyno_tariff_book_parse(first, strlen(first), arena, &before, NULL) == DYNO_OK);
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        const struct dyno_tariff_book *now = NULL;
        struct dyno_err err = {0};
        if (dyno_tariff_book_parse(rows[i].now, strlen(rows[i].now), arena, &now, &err) != DYNO_OK)
            (void)test_say("%s", err.text);
        REQUIRE(now != NULL);
        const enum dyno_status status = dyno_tariff_book_same(before, now, FIRST_S, NEXT_S, &err);
        CHECK_MSG(status == (rows[i].says == NULL ? DYNO_OK : DYNO_E_MISMATCH), "row %zu", i);
        CHECK_MSG(rows[i].says == NULL || strstr(err.text, rows[i].says) != NULL, "%s", err.text);
    }
    dyno_arena_destroy(arena);
}

static void test_bad_usage(void)
{
    struct desk desk;
    struct dyno_err err = {0};
    open_desk(&desk, BOOK(FLAT ", \"from\": \"2026-11-02\""));
    struct dyno_usage usage = usage_of(ACME, 1);
    CHECK(dyno_rater_add(desk.rater, &usage, &err) == DYNO_E_NOT_FOUND);
    CHECK_STR(err.text, "tenant 'acme' has no tariff in force at 2026-11-01T00:00:10Z");
    usage.key.model = NAME_COUNT;
    CHECK(dyno_rater_add(desk.rater, &usage, NULL) == DYNO_E_ARG);
    usage.key.model = MODEL;
    usage.start_s = -1;
    CHECK(dyno_rater_add(desk.rater, &usage, NULL) == DYNO_E_ARG);
    finish(&desk);
    CHECK(desk.statement->account_count == 0 && desk.statement->currency == NULL);
    close_desk(&desk);
}

/* --- what must hold of any usage --- */

static uint64_t seed = 88172645463325252U;
static uint32_t draw(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % below;
}

static struct dyno_usage any_usage(void)
{
    static const uint32_t certificates[] = {NOTHING, CERT2, CERT4};
    struct dyno_usage usage = {
        .key = {ACME + draw(2), MODEL + draw(2), FP32 + draw(2), REALTIME + draw(2), FP32 + draw(2),
                certificates[draw(3)]},
        .kind = draw(10) == 0 ? draw(DYNO_USAGE_KIND_COUNT) : DYNO_USAGE_DELIVERED,
        .start_s = FIRST_S + draw((uint32_t)(NEXT_S - FIRST_S)),
        .requests = 1,
        .items = 1 + draw(8),
        .device_ns = draw(1000000000),
        .reference_ns = draw(UINT32_MAX),
    };
    if (usage.kind == DYNO_USAGE_RESIDENCY)
        usage.byte_ns = (dyno_u128)draw(UINT32_MAX) << 26;
    if (draw(5) == 0 && usage.kind != DYNO_USAGE_RESIDENCY) { /* late, and some of it taken back */
        usage.start_s -= NEXT_S - FIRST_S;
        usage.is_taken_back = usage.kind == DYNO_USAGE_DELIVERED && draw(2) == 0;
    }
    return usage;
}

/* All usage finds its line, and the parts of a line are the line, to the nano-unit. */
static void check_parts(const struct desk *desk, const struct dyno_usage *all, int count)
{
    struct dyno_rater *rater = NULL;
    size_t found_count = 0;
    REQUIRE(dyno_rater_create(&desk->options, &rater, NULL) == DYNO_OK);
    for (size_t i = 0; i < desk->statement->account_count; i++) {
        const struct dyno_account *account = &desk->statement->accounts[i];
        for (size_t k = 0; k < account->line_count; k++) {
            const struct dyno_line *line = &account->lines[k];
            dyno_u128 units = 0;
            dyno_i128 nano = 0;
            uint64_t requests = 0;
            for (int n = 0; dyno_line_has_usage(line) && n < count; n++) {
                bool found = false;
                CHECK(dyno_line_find(rater, account, line, &all[n], &found, NULL) == DYNO_OK);
                if (!found)
                    continue;
                found_count++;
                requests += all[n].requests;
                units += dyno_line_units(line, &all[n]);
                CHECK(dyno_line_part(line, units, &nano, NULL) == DYNO_OK);
            }
            CHECK(!dyno_line_has_usage(line) || nano == line->nano);
            CHECK(line->kind == DYNO_LINE_RESIDENCY || requests == line->requests);
        }
    }
    CHECK(found_count == (size_t)count);
    dyno_rater_destroy(rater);
}

#define EVERYTHING                                                                                \
    GAIN_SHARE ", \"classes\": {\"batch\": \"0.7\"}, \"precisions\": {\"fp16\": \"1.1\"},"        \
               " \"tiers\": {\"mode\": \"graduated\", \"steps\": [{\"up_to_epu_hours\": \"0.1\"," \
               " \"factor\": \"1\"}, {\"factor\": \"0.83\"}]}, \"minimum\": \"0.5\","             \
               " \"residency\": {\"floor\": \"0.01\", \"device_bytes\": 1000000},"                \
               " \"cold_start\": true, \"cost_hour\": \"1.8\""

static bool same_statement(const struct dyno_statement *a, const struct dyno_statement *b)
{
    if (a->account_count != b->account_count || a->charged_minor != b->charged_minor ||
        a->revenue_nano != b->revenue_nano || a->cost_nano != b->cost_nano)
        return false;
    for (size_t i = 0; i < a->account_count; i++) {
        const struct dyno_account *left = &a->accounts[i];
        const struct dyno_account *right = &b->accounts[i];
        if (left->line_count != right->line_count || left->total_minor != right->total_minor)
            return false;
        for (size_t k = 0; k < left->line_count; k++)
            if (left->lines[k].minor != right->lines[k].minor ||
                left->lines[k].nano != right->lines[k].nano ||
                left->lines[k].kind != right->lines[k].kind ||
                strcmp(left->lines[k].model, right->lines[k].model) != 0)
                return false;
    }
    return true;
}

static void test_properties(void)
{
    enum { COUNT = 3000 };
    static struct dyno_usage all[COUNT];
    for (int round = 0; round < 20; round++) {
        struct desk straight;
        struct desk mixed;
        struct desk what_if;
        open_desk(&straight, BOOK(EVERYTHING));
        open_desk(&mixed, BOOK(EVERYTHING));
        open_desk(&what_if, BOOK(EVERYTHING));
        dyno_rater_destroy(what_if.rater);
        what_if.options.tariff = "t";
        REQUIRE(dyno_rater_create(&what_if.options, &what_if.rater, NULL) == DYNO_OK);
        for (int i = 0; i < COUNT; i++) {
            all[i] = any_usage();
            use(&straight, all[i]);
            use(&what_if, all[i]);
        }
        /* The other way round, and each record in two: nothing changes. */
        for (int i = COUNT; i-- > 0;) {
            struct dyno_usage part = all[i];
            struct dyno_usage rest = all[i];
            part.device_ns = draw((uint32_t)part.device_ns + 1);
            part.reference_ns = draw((uint32_t)part.reference_ns);
            part.byte_ns /= 3;
            part.requests = 0;
            part.items /= 2;
            rest.device_ns -= part.device_ns;
            rest.reference_ns -= part.reference_ns;
            rest.byte_ns -= part.byte_ns;
            rest.items -= part.items;
            use(&mixed, rest);
            use(&mixed, part);
        }
        finish(&straight);
        finish(&mixed);
        finish(&what_if);
        CHECK(same_statement(straight.statement, mixed.statement));
        CHECK(same_statement(straight.statement, what_if.statement));
        if (round < 3)
            check_parts(&straight, all, COUNT);
        /* The books: what is charged, what rounding took, and the revenue are one sum. */
        const struct dyno_statement *statement = straight.statement;
        CHECK(statement->charged_minor * 10000000 + statement->residue_nano ==
              statement->revenue_nano);
        dyno_i128 charged = 0;
        for (size_t i = 0; i < statement->account_count; i++)
            for (size_t k = 0; k < statement->accounts[i].line_count; k++) {
                const struct dyno_line *line = &statement->accounts[i].lines[k];
                const dyno_i128 off = line->nano - line->minor * 10000000;
                charged += line->minor;
                CHECK(off >= -5000000 && off <= 5000000); /* one rounding a line */
            }
        CHECK(charged == statement->charged_minor);
        close_desk(&straight);
        close_desk(&mixed);
        close_desk(&what_if);
    }
}

static void test_memory(void)
{
    struct desk desk;
    const uint64_t before = dyno_mem_live_count();
    open_desk(&desk, BOOK(EVERYTHING));
    for (int i = 0; i < 5000; i++)
        use(&desk, any_usage());
    uint64_t failures = 0;
    for (uint64_t nth = 1;; nth++) {
        struct dyno_arena *arena = dyno_arena_create();
        dyno_mem_fail_at(nth);
        const enum dyno_status status = dyno_rater_finish(desk.rater, arena, &desk.statement, NULL);
        dyno_mem_fail_at(0);
        dyno_arena_destroy(arena);
        if (status == DYNO_OK)
            break;
        CHECK(status == DYNO_E_NOMEM);
        failures++;
    }
    CHECK(failures > 1);
    dyno_rater_destroy(desk.rater);
    close_desk(&desk);
    CHECK(dyno_mem_live_count() == before);
}

int main(void)
{
    test_worked_row();
    test_what_is_free();
    test_factors_and_cold_start();
    test_tiers();
    test_minimum_and_credit();
    test_residency_floor();
    test_late_records();
    test_taken_back();
    test_same_books();
    test_bad_usage();
    test_properties();
    test_memory();
    return TEST_RESULT();
}
