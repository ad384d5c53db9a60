/* try_pg.c - src/db/pg.h against a server: for the cases of test_pg.py.
 *
 *     try_pg CONNINFO all|open|wait
 *
 * all: values, types, transactions, COPY, failures; open: prints what opening says; wait: a
 * statement that the server does not answer.
 */
#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"
#include "db/pg.h"
#include "test.h"

static const char *const changes[] = {
    "CREATE TABLE dyno_try.t (n bigint PRIMARY KEY, s text, b bytea)",
    "CREATE TABLE dyno_try.u (i integer)",
};
static const struct dyno_pg_kind kinds[] = {
    {.what = "trial", .schema = "dyno_try", .version = 1, .changes = changes},
    {.what = "trial", .schema = "dyno_try", .version = 2, .changes = changes},
};
static struct dyno_err err;

static bool says(const char *part)
{
    const bool ok = strstr(err.text, part) != NULL;
    if (!ok)
        (void)test_say("says \"%s\", wants \"%s\"", err.text, part);
    err = (struct dyno_err){0};
    return ok;
}

static struct dyno_pg *open_one(const char *conninfo, const struct dyno_pg_kind *kind, bool creates)
{
    struct dyno_pg *pg = NULL;
    const struct dyno_pg_options options = {
        .conninfo = conninfo, .creates = creates, .timeout_ms = 5000};
    const enum dyno_status status = dyno_pg_open(kind, &options, &pg, &err);
    CHECK_MSG(status == DYNO_OK, "%s", err.text);
    REQUIRE(pg != NULL);
    return pg;
}

static void try_schema(const char *conninfo)
{
    struct dyno_pg *pg = NULL;
    struct dyno_pg_options options = {.conninfo = conninfo};
    CHECK(dyno_pg_open(&kinds[0], &options, &pg, &err) == DYNO_E_NOT_FOUND && pg == NULL);
    CHECK(says("trial: there is none in the database \"dyno\" yet"));
    dyno_pg_close(open_one(conninfo, &kinds[0], true));
    CHECK(dyno_pg_open(&kinds[1], &options, &pg, &err) == DYNO_E_UNSUPPORTED);
    CHECK(says("has version 1 of its tables, this build reads 2"));
    dyno_pg_close(open_one(conninfo, &kinds[1], true));
    dyno_pg_close(open_one(conninfo, &kinds[1], false));
    options.creates = true;
    CHECK(dyno_pg_open(&kinds[0], &options, &pg, &err) == DYNO_E_UNSUPPORTED);
    CHECK(says("made by a newer build: this one knows 1"));
}

static void try_values(struct dyno_pg *pg)
{
    static const char insert[] = "INSERT INTO dyno_try.t VALUES ($1, $2, $3)";
    static const char all[] =
        "SELECT n, s, b, n::int4 AS i, (n < 0), 1.5::float8 FROM dyno_try.t ORDER BY t.n";
    static const uint8_t bytes[] = {0, 255, '\n', 0};
    const struct dyno_pg_value rows[][3] = {
        {dyno_pg_number(-7), dyno_pg_string("zwölf"), dyno_pg_blob(bytes, sizeof(bytes))},
        {dyno_pg_number(8), {.kind = DYNO_PG_NULL}, dyno_pg_blob(NULL, 0)},
    };
    struct dyno_pg_rows got = {0};
    int64_t number = 0;
    const char *text = NULL;
    const uint8_t *data = NULL;
    size_t count = 0;
    for (size_t i = 0; i < DYNO_COUNT(rows); i++)
        CHECK_MSG(dyno_pg_run(pg, insert, rows[i], 3, &err) == DYNO_OK, "%s", err.text);
    CHECK(dyno_pg_run(pg, insert, rows[0], 3, &err) == DYNO_E_EXISTS);
    CHECK(says("trial: duplicate key value violates unique constraint \"t_pkey\""));
    CHECK_STR(dyno_pg_state(pg), "23505");
    CHECK_MSG(dyno_pg_query(pg, all, NULL, 0, &got, &err) == DYNO_OK, "%s", err.text);
    REQUIRE(got.result != NULL);
    CHECK(got.count == 2 && got.changed == 2);
    CHECK(dyno_pg_i64(&got, 0, 0, INT64_MIN, INT64_MAX, &number, &err) == DYNO_OK && number == -7);
    CHECK(dyno_pg_i64(&got, 0, 3, -7, -7, &number, &err) == DYNO_OK && number == -7);
    CHECK(dyno_pg_i64(&got, 0, 4, 0, 1, &number, &err) == DYNO_OK && number == 1);
    CHECK(dyno_pg_text(&got, 0, 1, 6, &text, &err) == DYNO_OK && strcmp(text, "zwölf") == 0);
    CHECK(dyno_pg_bytes(&got, 0, 2, 4, &data, &count, &err) == DYNO_OK && count == 4);
    CHECK(memcmp(data, bytes, 4) == 0);
    CHECK(dyno_pg_is_null(&got, 1, 1) && !dyno_pg_is_null(&got, 1, 2));
    CHECK(dyno_pg_bytes(&got, 1, 2, 0, &data, &count, &err) == DYNO_OK && count == 0);
    CHECK(dyno_pg_i64(&got, 0, 0, 0, 9, &number, &err) == DYNO_E_FORMAT);
    CHECK(says("trial: a row's n is out of range"));
    CHECK(dyno_pg_i64(&got, 0, 5, 0, 9, &number, &err) == DYNO_E_FORMAT);
    CHECK(says("a row's float8 is no whole number"));
    CHECK(dyno_pg_text(&got, 0, 0, 9, &text, &err) == DYNO_E_FORMAT && says("n is no text"));
    CHECK(dyno_pg_text(&got, 0, 1, 5, &text, &err) == DYNO_E_FORMAT && says("s is too long"));
    CHECK(dyno_pg_text(&got, 1, 1, 5, &text, &err) == DYNO_E_FORMAT && says("s is null"));
    CHECK(dyno_pg_bytes(&got, 0, 1, 9, &data, &count, &err) == DYNO_E_FORMAT);
    CHECK(says("s is of another type"));
    CHECK(dyno_pg_bytes(&got, 0, 2, 3, &data, &count, &err) == DYNO_E_FORMAT);
    CHECK(says("b is too long"));
    dyno_pg_rows_close(&got);
}

static int64_t count_rows(struct dyno_pg *pg)
{
    struct dyno_pg_rows got = {0};
    int64_t number = -1;
    if (dyno_pg_query(pg, "SELECT count(*) FROM dyno_try.t", NULL, 0, &got, &err) == DYNO_OK)
        (void)dyno_pg_i64(&got, 0, 0, 0, INT64_MAX, &number, &err);
    dyno_pg_rows_close(&got);
    return number;
}

static void try_transactions(struct dyno_pg *pg)
{
    const int64_t before = count_rows(pg);
    CHECK(dyno_pg_begin(pg, &err) == DYNO_OK);
    CHECK(dyno_pg_exec(pg, "INSERT INTO dyno_try.t (n) VALUES (100); SELECT 1", &err) == DYNO_OK);
    CHECK(dyno_pg_end(pg, DYNO_E_ARG, &err) == DYNO_E_ARG && count_rows(pg) == before);
    CHECK(dyno_pg_begin(pg, &err) == DYNO_OK);
    CHECK(dyno_pg_exec(pg, "SELECT 1 / 0", &err) == DYNO_E_FORMAT && says("division by zero"));
    CHECK(dyno_pg_end(pg, DYNO_OK, &err) == DYNO_E_IO);
    CHECK(says("trial: the server took the transaction back"));
    CHECK(dyno_pg_begin_to_read(pg, &err) == DYNO_OK);
    CHECK(dyno_pg_exec(pg, "DELETE FROM dyno_try.t", &err) == DYNO_E_FORMAT);
    CHECK(says("cannot execute DELETE in a read-only transaction"));
    CHECK(dyno_pg_end(pg, DYNO_E_FORMAT, &err) == DYNO_E_FORMAT && count_rows(pg) == before);
    CHECK(dyno_pg_exec(pg, "SELECT nothing FROM nowhere", &err) == DYNO_E_FORMAT);
    CHECK(says("relation \"nowhere\" does not exist"));
}

static enum dyno_status copy(struct dyno_pg *pg, int64_t first, int64_t count, bool ends_well)
{
    static uint8_t bytes[50000];
    enum dyno_status status =
        dyno_pg_copy_begin(pg, "COPY dyno_try.t (n, s, b) FROM STDIN (FORMAT binary)", &err);
    if (status != DYNO_OK)
        return status;
    for (int64_t i = 0; i < count && status == DYNO_OK; i++) {
        const struct dyno_pg_value row[] = {
            dyno_pg_number(first + i),
            i % 2 == 0 ? dyno_pg_string("even") : (struct dyno_pg_value){.kind = DYNO_PG_NULL},
            dyno_pg_blob(bytes, (size_t)(i * 1000 % 50000))};
        status = dyno_pg_copy_row(pg, row, 3, &err);
    }
    return dyno_pg_copy_end(pg, status == DYNO_OK && !ends_well ? DYNO_E_ARG : status, &err);
}

static void try_copy(struct dyno_pg *pg)
{
    const int64_t before = count_rows(pg);
    CHECK_MSG(copy(pg, 1000, 500, true) == DYNO_OK, "%s", err.text);
    CHECK(count_rows(pg) == before + 500);
    CHECK(copy(pg, 5000, 500, false) == DYNO_E_ARG && count_rows(pg) == before + 500);
    CHECK(copy(pg, 800, 500, true) == DYNO_E_EXISTS && says("duplicate key"));
    CHECK(count_rows(pg) == before + 500 && copy(pg, 0, 0, true) == DYNO_OK);
    CHECK(dyno_pg_copy_begin(pg, "COPY nowhere FROM STDIN (FORMAT binary)", &err) == DYNO_E_FORMAT);
    CHECK(says("nowhere") && count_rows(pg) == before + 500);
}

static void try_many_statements(struct dyno_pg *pg)
{
    static char texts[40][64];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 40; i++) {
            struct dyno_pg_rows got = {0};
            int64_t number = 0;
            (void)snprintf(texts[i], sizeof(texts[i]), "SELECT $1 + %d", i);
            const struct dyno_pg_value one = dyno_pg_number(1);
            CHECK(dyno_pg_query(pg, texts[i], &one, 1, &got, &err) == DYNO_OK);
            CHECK(dyno_pg_i64(&got, 0, 0, 0, 99, &number, &err) == DYNO_OK && number == i + 1);
            dyno_pg_rows_close(&got);
        }
}

static void try_loss(const char *conninfo, struct dyno_pg *pg)
{
    struct dyno_pg *other = open_one(conninfo, &kinds[1], false);
    CHECK(dyno_pg_exec(pg,
                       "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                       "WHERE application_name = 'dyno' AND pid <> pg_backend_pid()",
                       &err) == DYNO_OK);
    CHECK(dyno_pg_begin(other, &err) == DYNO_E_IO && dyno_pg_is_lost(other));
    CHECK(says("trial: terminating connection due to administrator command"));
    CHECK(dyno_pg_end(other, DYNO_OK, &err) == DYNO_E_IO && says("the connection is lost"));
    dyno_pg_close(other);
    CHECK(dyno_pg_exec(pg, "SELECT pg_sleep(60)", &err) == DYNO_E_BUSY && !dyno_pg_is_lost(pg));
    CHECK(says("trial: canceling statement due to statement timeout"));
}

/* The server is made to stand still by who reads this. */
static int wait_for_answer(const char *conninfo)
{
    struct dyno_pg *pg = open_one(conninfo, &kinds[1], true);
    printf("ready\n");
    (void)fflush(stdout);
    (void)getchar();
    const uint64_t start_ns = dyno_clock_ns();
    CHECK(copy(pg, 0, 2000, true) == DYNO_E_IO && dyno_pg_is_lost(pg));
    CHECK(says("trial: the server has not answered for 5 seconds"));
    CHECK(dyno_clock_ns() - start_ns < UINT64_C(30000000000));
    dyno_pg_close(pg);
    return TEST_RESULT();
}

int main(int argc, char **argv)
{
    struct dyno_pg *pg = NULL;
    if (argc != 3)
        return 2;
    if (strcmp(argv[2], "open") == 0) {
        const struct dyno_pg_options options = {
            .conninfo = argv[1], .creates = true, .timeout_ms = 2000};
        const enum dyno_status status = dyno_pg_open(&kinds[1], &options, &pg, &err);
        printf("%s: %s\n", dyno_status_text(status), err.text);
        dyno_pg_close(pg);
        return 0;
    }
    if (strcmp(argv[2], "wait") == 0)
        return wait_for_answer(argv[1]);
    try_schema(argv[1]);
    pg = open_one(argv[1], &kinds[1], false);
    CHECK_STR(dyno_pg_database(pg), "dyno");
    try_values(pg);
    try_transactions(pg);
    try_copy(pg);
    try_many_statements(pg);
    try_loss(argv[1], pg);
    dyno_pg_close(pg);
    return TEST_RESULT();
}
