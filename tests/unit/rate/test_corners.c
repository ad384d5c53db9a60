/* test_corners.c - where two features meet: what is late and a period's own lines, loading and
 * classes, tiers and the last reference-ns. */
#include "desk.h"

#define FIRST_S INT64_C(1793491200) /* 2026-11-01 */
#define NEXT_S  INT64_C(1796083200) /* 2026-12-01 */
#define HOUR_NS UINT64_C(3600000000000)

enum { NOTHING, ACME, MODEL, FP32, REALTIME, BATCH, CERT4, CERT2, NAME_COUNT };
static const char *const names[NAME_COUNT] = {"",         "acme",  "resnet",   "fp32",
                                              "realtime", "batch", "sha256:4", "sha256:2"};

#define BOOK(fields, grant)                                                                        \
    "{\"tariffs\": [{\"name\": \"t\", \"version\": 1, \"currency\": \"USD\", \"device_hour\":"     \
    " \"3\", \"kind\": \"flat-epu\", \"epu_hour\": \"2\"" fields "}], \"grants\": [{" grant "\"ta" \
    "riff\": \"t\"}]}"

static void open_desk(struct desk *desk, const char *book)
{
    desk_open(desk, book,
              (struct dyno_rater_options){
                  .names = names, .name_count = NAME_COUNT, .first_s = FIRST_S, .next_s = NEXT_S});
}

static void use(struct desk *desk, struct dyno_usage usage)
{
    REQUIRE(dyno_rater_add(desk->rater, &usage, NULL) == DYNO_OK);
}

static void finish(struct desk *desk)
{
    REQUIRE(dyno_rater_finish(desk->rater, desk->arena, &desk->statement, NULL) == DYNO_OK);
}

static void close_desk(struct desk *desk)
{
    dyno_rater_destroy(desk->rater);
    dyno_arena_destroy(desk->arena);
}

static struct dyno_usage usage_of(enum dyno_usage_kind kind, int64_t start_s, uint64_t ns)
{
    return (struct dyno_usage){.key = {ACME, MODEL, FP32, REALTIME, FP32, CERT4},
                               .kind = kind,
                               .start_s = start_s,
                               .requests = 1,
                               .device_ns = ns,
                               .reference_ns = kind == DYNO_USAGE_DELIVERED ? ns : 0};
}

/* Loading has no class and no certificate: of a variant it is one line, rounded once, and all that
 * was loaded is found in it. */
static void test_cold_starts_are_one_line(void)
{
    static const uint32_t classes[] = {REALTIME, BATCH, NOTHING};
    static const uint32_t certificates[] = {CERT4, CERT2, NOTHING};
    struct desk desk;
    open_desk(&desk, BOOK(", \"cold_start\": true, \"classes\": {\"batch\": \"0.5\"}", ""));
    struct dyno_usage all[DYNO_COUNT(classes)];
    for (size_t i = 0; i < DYNO_COUNT(classes); i++) {
        all[i] = usage_of(DYNO_USAGE_COLD_START, FIRST_S + 5, HOUR_NS / 600); /* 0.005 each */
        all[i].key.class_name = classes[i];
        all[i].key.certificate = certificates[i];
        use(&desk, all[i]);
    }
    finish(&desk);
    const struct dyno_account *account = &desk.statement->accounts[0];
    REQUIRE(account->line_count == 1);
    CHECK(account->lines[0].nano == 15000000 && account->lines[0].minor == 2);
    CHECK(account->lines[0].class_name[0] == 0 && account->lines[0].certificate[0] == 0);
    for (size_t i = 0; i < DYNO_COUNT(all); i++) {
        bool found = false;
        CHECK(dyno_line_find(desk.rater, account, &account->lines[0], &all[i], &found, NULL) ==
              DYNO_OK);
        CHECK(found);
    }
    close_desk(&desk);
}

/* A step ends with the last reference-ns that it is up to. */
static void test_tiers_to_the_last_ns(void)
{
    static const struct {
        const char *mode;
        uint64_t reference_ns;
        int64_t nano; /* of the line; 0: there is none, or it is nothing */
    } rows[] = {
        {"volume", HOUR_NS - 1, 0},
        {"volume", HOUR_NS, 0},
        {"volume", HOUR_NS + 1, -1000000000},
        {"volume", HOUR_NS + 999, -1000000000},
        {"graduated", HOUR_NS + 1800000, -500}, /* 2e-6 / 4 */
        {"graduated", 2 * HOUR_NS, -1000000000},
        {"volume", 6000 * HOUR_NS, -INT64_C(6000000000000)}, /* past 64 bits of ns */
        {"graduated", 6000 * HOUR_NS, -INT64_C(5999000000000)},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct desk desk;
        char book[1024];
        dyno_i128 nano = 0;
        (void)snprintf(book, sizeof(book),
                       BOOK(", \"tiers\": {\"mode\": \"%s\", \"steps\": [{\"up_to_epu_hours\": "
                            "\"1\", \"factor\": \"1\"}, {\"factor\": \"0.5\"}]}",
                            ""),
                       rows[i].mode);
        open_desk(&desk, book);
        for (uint64_t left = rows[i].reference_ns; left > 0;) {
            const uint64_t part = left < 100 * HOUR_NS ? left : 100 * HOUR_NS;
            use(&desk, usage_of(DYNO_USAGE_DELIVERED, FIRST_S, part));
            left -= part;
        }
        finish(&desk);
        const struct dyno_account *account = &desk.statement->accounts[0];
        for (size_t k = 0; k < account->line_count; k++)
            nano += account->lines[k].kind == DYNO_LINE_TIERS ? account->lines[k].nano : 0;
        CHECK_MSG(nano == rows[i].nano, "row %zu: %lld", i, (long long)nano);
        close_desk(&desk);
    }
}

/* Whose records of an earlier period came late used nothing in this one: by the grant of everybody
 * else no minimum is owed; by a grant of its own it is, as by whoever used nothing. */
static void test_late_use_owes_no_minimum(void)
{
    static const struct {
        const char *book;
        int64_t start_s;
        int64_t minor;
    } rows[] = {
        {BOOK(", \"minimum\": \"10\"", ""), FIRST_S - 1, 200},
        {BOOK(", \"minimum\": \"10\"", ""), FIRST_S, 1000},
        {BOOK(", \"minimum\": \"10\"", "\"tenant\": \"acme\", "), FIRST_S - 1, 1200},
        {BOOK(", \"minimum\": \"10\"", "\"tenant\": \"acme\", "), FIRST_S, 1000},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct desk desk;
        open_desk(&desk, rows[i].book);
        use(&desk, usage_of(DYNO_USAGE_DELIVERED, rows[i].start_s, HOUR_NS));
        finish(&desk);
        CHECK_MSG(desk.statement->charged_minor == rows[i].minor, "row %zu: %lld", i,
                  (long long)desk.statement->charged_minor);
        close_desk(&desk);
    }
}

/* The hour's requests came to more than its floor and were billed with their period; memory of the
 * same hour that is told later costs nothing more. */
static void test_late_memory_is_free(void)
{
    for (int late = 0; late < 2; late++) {
        struct desk desk;
        struct dyno_usage held = usage_of(DYNO_USAGE_RESIDENCY, FIRST_S - late, 0);
        open_desk(&desk, BOOK(", \"residency\": {\"floor\": \"0.5\", \"device_bytes\": 1000}", ""));
        held.requests = 0;
        held.byte_ns = 1000 * (dyno_u128)HOUR_NS;
        use(&desk, held);
        finish(&desk);
        CHECK(desk.statement->charged_minor == (late ? 0 : 150));
        CHECK(desk.statement->account_count == (late ? 0 : 1));
        close_desk(&desk);
    }
}

int main(void)
{
    test_cold_starts_are_one_line();
    test_tiers_to_the_last_ns();
    test_late_use_owes_no_minimum();
    test_late_memory_is_free();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
