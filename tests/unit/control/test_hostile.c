/* test_hostile.c - files that are damaged, of others, newer, or hold what was never written; no
 * room; no memory. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "control_case.h"

#define ATTEMPTS_MAX 5000

/* Everything that is done with a database, in one go. */
static enum dyno_status use_all(struct dyno_err *err)
{
    struct dyno_control *control = NULL;
    struct dyno_tenant *tenants = NULL;
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_key key = {0};
    size_t count = 0;
    bool changed = false;
    const struct dyno_use_row row = {.tenant = 1, .day = 1, .use = {1, 1}};
    const struct dyno_tenant fresh = dyno_tenant_defaults("c");
    const struct dyno_tenant change = {.name = "a", .class_name = "x"};
    enum dyno_status status = arena != NULL ? DYNO_OK : DYNO_NOMEM(err);
    if (status == DYNO_OK)
        status = dyno_control_open(case_path, false, 10, &control, err);
    if (status == DYNO_OK)
        status = dyno_control_has_changed(control, &changed, err);
    if (status == DYNO_OK)
        status = dyno_control_read(control, NULL, 1, arena, &tenants, &count, err);
    if (status == DYNO_OK)
        status = dyno_control_add(control, &fresh, &key, err);
    if (status == DYNO_OK)
        status = dyno_control_set(control, &change, DYNO_TENANT_CLASS | DYNO_TENANT_MODELS, err);
    if (status == DYNO_OK)
        status = dyno_control_rotate(control, "a", 1, &key, err);
    if (status == DYNO_OK)
        status = dyno_control_revoke(control, "a", NULL, err);
    if (status == DYNO_OK)
        status = dyno_control_add_use(control, &row, 1, err);
    if (status == DYNO_OK)
        status = dyno_control_forget_use(control, 1, err);
    if (status == DYNO_OK)
        status = dyno_control_remove(control, "c", err);
    dyno_control_close(control);
    dyno_arena_destroy(arena);
    return status;
}

static void make(void)
{
    struct dyno_key key;
    dyno_control_close(case_make(&key));
}

static void refused(enum dyno_status want, const char *says)
{
    struct dyno_err err = {0};
    struct dyno_control *control = NULL;
    const enum dyno_status status = dyno_control_open(case_path, false, 10, &control, &err);
    CHECK_MSG(status == want && strstr(err.text, says) != NULL, "status %d, '%s', wants '%s'",
              (int)status, err.text, says);
    CHECK(control == NULL && strpbrk(err.text, "\n\r\t") == NULL);
    dyno_control_close(control);
}

/* --- other files --- */

static void test_no_control_database(void)
{
    struct dyno_control *control = NULL;
    char noise[8192];
    size_t bytes = 0;
    case_clear();
    refused(DYNO_E_NOT_FOUND, "c.db\": No such file or directory");
    CHECK(dyno_control_open("/nonexistent/c.db", true, 0, &control, NULL) == DYNO_E_IO);
    CHECK(dyno_control_open("/tmp", true, 0, &control, NULL) == DYNO_E_IO);
    CHECK(dyno_control_open("/dev/null", false, 0, &control, NULL) == DYNO_E_IO);
    case_spill("", 0);
    refused(DYNO_E_FORMAT, "is no control database");
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)(i * 31 + i / 7);
    case_spill(noise, sizeof(noise));
    refused(DYNO_E_FORMAT, "file is not a database");
    char *data = case_slurp(&bytes);
    CHECK(bytes == sizeof(noise) && test_same(data, noise, bytes)); /* and left alone */
    free(data);
    case_clear();
    case_spill("", 0);
    CHECK(case_sql("CREATE TABLE t (x)"));
    refused(DYNO_E_FORMAT, "is no control database");
    CHECK(dyno_control_open(case_path, true, 0, &control, NULL) == DYNO_E_FORMAT);
    make();
    CHECK(case_sql("PRAGMA application_id = 7"));
    refused(DYNO_E_FORMAT, "is no control database");
    make();
    CHECK(case_sql("PRAGMA user_version = 3"));
    refused(DYNO_E_UNSUPPORTED, "has schema 3, made by a newer version: this build knows 2");
    CHECK(case_sql("PRAGMA user_version = -1"));
    refused(DYNO_E_FORMAT, "is no control database");
}

/* Names that SQLite would take for something else than a file. */
static void test_names_of_files(void)
{
    static const char *const names[] = {":memory:", "file:x?mode=memory", "a b?c#d"};
    struct stat info;
    char before[4096];
    REQUIRE(getcwd(before, sizeof(before)) != NULL && chdir(case_folder) == 0);
    for (size_t i = 0; i < DYNO_COUNT(names); i++) {
        struct dyno_control *control = NULL;
        CHECK(dyno_control_open(names[i], true, 0, &control, NULL) == DYNO_OK);
        dyno_control_close(control);
        CHECK_MSG(stat(names[i], &info) == 0 && info.st_size > 0, "%s", names[i]);
        CHECK(unlink(names[i]) == 0);
    }
    REQUIRE(chdir(before) == 0);
}

/* --- rows that nobody wrote --- */

/* The same table without its types. */
#define LOOSE(table, columns)                                                  \
    "CREATE TABLE loose (" columns "); INSERT INTO loose SELECT * FROM " table \
    "; DROP TABLE " table "; ALTER TABLE loose RENAME TO " table "; "
#define LOOSE_TENANT                                                                         \
    LOOSE("tenant", "id, name, enabled, permits, class, rate_per_s, burst, concurrent_max, " \
                    "period, quota_requests, quota_device_ns, created_s")
#define LOOSE_KEY   LOOSE("tenant_key", "id, tenant, digest, created_s, ends_s")
#define LOOSE_MODEL LOOSE("tenant_model", "tenant, model")
#define LOOSE_USE   LOOSE("tenant_use", "tenant, day, requests, device_ns")

static const struct {
    const char *sql, *says;
    enum dyno_status status;
} spoilt[] = {
    {LOOSE_TENANT "UPDATE tenant SET id = 'x'", "a row's id is no whole number", DYNO_E_FORMAT},
    {LOOSE_TENANT "UPDATE tenant SET id = -5", "a row's id is out of range", DYNO_E_FORMAT},
    {LOOSE_TENANT "UPDATE tenant SET name = 7", "a row's name is no text", DYNO_E_FORMAT},
    {LOOSE_TENANT "UPDATE tenant SET name = NULL", "a row's name is no text", DYNO_E_FORMAT},
    {LOOSE_TENANT "UPDATE tenant SET name = x'6100'", "a row's name is no text", DYNO_E_FORMAT},
    {LOOSE_TENANT "UPDATE tenant SET name = 'a' || char(0) || 'b'", "name is no text",
     DYNO_E_FORMAT},
    {"UPDATE tenant SET name = 'a' || char(10)||id", "breaks the rule of names", DYNO_E_FORMAT},
    {"UPDATE tenant SET name = hex(zeroblob(500000))||id", "a row's name is too long",
     DYNO_E_FORMAT},
    {"UPDATE tenant SET class = ''", "breaks the rule of names", DYNO_E_FORMAT},
    {"UPDATE tenant SET enabled = 2", "a row's enabled is out of range", DYNO_E_FORMAT},
    {"UPDATE tenant SET permits = 16", "a row's permits is out of range", DYNO_E_FORMAT},
    {LOOSE_TENANT "UPDATE tenant SET permits = 1.5", "a row's permits is no whole number",
     DYNO_E_FORMAT},
    {LOOSE_TENANT "UPDATE tenant SET rate_per_s = 'fast'", "rate_per_s is no number",
     DYNO_E_FORMAT},
    {"UPDATE tenant SET rate_per_s = 9e999", "a row's rate_per_s is out of range", DYNO_E_FORMAT},
    {"UPDATE tenant SET rate_per_s = -1", "a row's rate_per_s is out of range", DYNO_E_FORMAT},
    {"UPDATE tenant SET burst = 9223372036854775807", "burst is out of range", DYNO_E_FORMAT},
    {"UPDATE tenant SET concurrent_max = -1", "concurrent_max is out of range", DYNO_E_FORMAT},
    {"UPDATE tenant SET period = 2", "a row's period is out of range", DYNO_E_FORMAT},
    {"UPDATE tenant SET quota_requests = -1", "quota_requests is out of range", DYNO_E_FORMAT},
    {"UPDATE tenant SET quota_device_ns = 9223372036854775807", "quota_device_ns is out of range",
     DYNO_E_FORMAT},
    {"UPDATE tenant SET created_s = -1", "created_s is out of range", DYNO_E_FORMAT},
    {LOOSE_MODEL "UPDATE tenant_model SET model = 5", "a row's model is no text", DYNO_E_FORMAT},
    {"UPDATE tenant_model SET model = '../' || model", "breaks the rule of names", DYNO_E_FORMAT},
    {"WITH n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1100)"
     " INSERT INTO tenant_model SELECT 1, 'm' || i FROM n",
     "has more than 1024 models of a tenant", DYNO_E_LIMIT},
    {LOOSE_KEY "UPDATE tenant_key SET id = 17", "a row's id is no text", DYNO_E_FORMAT},
    {"UPDATE tenant_key SET id = 'ID' WHERE tenant = 1", "breaks the rule of ids", DYNO_E_FORMAT},
    {"UPDATE tenant_key SET digest = zeroblob(31) WHERE tenant = 1", "of another length or type",
     DYNO_E_FORMAT},
    {LOOSE_KEY "UPDATE tenant_key SET digest = hex(zeroblob(16))", "of another length or type",
     DYNO_E_FORMAT},
    {"UPDATE tenant_key SET ends_s = 0", "a row's ends_s is out of range", DYNO_E_FORMAT},
    {LOOSE_KEY "UPDATE tenant_key SET ends_s = 'never'", "ends_s is no whole number",
     DYNO_E_FORMAT},
    {"WITH n AS (SELECT 100 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO"
     " tenant_key SELECT '000000000' || i, 1, randomblob(32), 0, NULL FROM n",
     "has more than 64 keys of a tenant", DYNO_E_LIMIT},
    {"INSERT INTO tenant_use VALUES (1, 1, -1, 1)", "a row's requests is out of range",
     DYNO_E_FORMAT},
    {"INSERT INTO tenant_use VALUES (1, 1, 9223372036854775807, 0), (1, 2, 1, 0)",
     "integer overflow", DYNO_E_FORMAT},
    {LOOSE_USE "INSERT INTO tenant_use VALUES (1, 1, 1, 0.5)", "device_ns is no whole number",
     DYNO_E_FORMAT},
    {"DROP TABLE tenant_key", "no such table: tenant_key", DYNO_E_FORMAT},
    {"DROP TABLE tenant_use; CREATE TABLE tenant_use (\"a\nb\")", "no such column", DYNO_E_FORMAT},
    {"ALTER TABLE tenant RENAME TO t; CREATE VIEW tenant AS SELECT * FROM t", "access to view",
     DYNO_E_FORMAT},
};

static void test_spoilt_rows(void)
{
    for (size_t i = 0; i < DYNO_COUNT(spoilt); i++) {
        struct dyno_err err = {0};
        make();
        if (!case_sql(spoilt[i].sql)) {
            CHECK_MSG(false, "row %zu was not spoilt", i);
            continue;
        }
        const uint64_t live = dyno_mem_live_count();
        const enum dyno_status status = use_all(&err);
        CHECK_MSG(status == spoilt[i].status && strstr(err.text, spoilt[i].says) != NULL,
                  "%s: status %d, '%s'", spoilt[i].sql, (int)status, err.text);
        CHECK(strpbrk(err.text, "\n\r\t") == NULL && dyno_mem_live_count() == live);
    }
}

/* What stands in a file is not executed. */
static void test_triggers_sleep(void)
{
    struct dyno_err err = {0};
    make();
    CHECK(case_sql("CREATE TRIGGER t AFTER UPDATE ON tenant_key BEGIN"
                   " DELETE FROM tenant WHERE name = 'b'; END;"
                   "CREATE TRIGGER u AFTER INSERT ON tenant_use BEGIN"
                   " DELETE FROM tenant WHERE name = 'b'; END"));
    CHECK_MSG(use_all(&err) == DYNO_OK, "%s", err.text);
    CHECK(case_sql("CREATE TABLE one (x CHECK (x = 1));"
                   "INSERT INTO one SELECT count(*) FROM tenant WHERE name = 'b'"));
}

/* --- damage --- */

/* Any status, but a status; and what can be said about it. */
static void survive(const char *data, size_t bytes)
{
    struct dyno_err err = {0};
    case_clear();
    case_spill(data, bytes);
    const enum dyno_status status = use_all(&err);
    CHECK(status == DYNO_OK || err.text[0] != 0);
}

static void test_damage(void)
{
    size_t bytes = 0;
    uint32_t random = 1;
    make();
    char *data = case_slurp(&bytes);
    char *spoilt_data = malloc(bytes);
    REQUIRE(spoilt_data != NULL);
    const uint64_t live = dyno_mem_live_count();
    for (size_t cut = 0; cut < bytes; cut += cut < 200 ? 20 : 3001)
        survive(data, cut);
    for (int round = 0; round < 150; round++) {
        memcpy(spoilt_data, data, bytes);
        const int count = 1 + round % 8;
        for (int i = 0; i < count; i++) {
            random = random * 1664525 + 1013904223;
            const size_t at = round % 3 == 0 ? random % 200 : random % bytes;
            spoilt_data[at] = (char)(random >> 24);
        }
        survive(spoilt_data, bytes);
    }
    CHECK(dyno_mem_live_count() == live);
    free(spoilt_data);
    free(data);
}

/* --- no room, no memory --- */

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void test_no_room(void)
{
    struct dyno_key key;
    (void)signal(SIGXFSZ, SIG_IGN);
    struct dyno_control *control = case_make(&key);
    const struct dyno_tenant tenant = dyno_tenant_defaults("c");
    /* A commit that does not fit leaves everything as it was, and the next one works. */
    for (rlim_t room = 4096; room < 40000; room += 4096) {
        struct dyno_err err = {0};
        limit_files(room);
        const enum dyno_status status = dyno_control_add(control, &tenant, &key, &err);
        limit_files(RLIM_INFINITY);
        CHECK_MSG(status == DYNO_E_IO && strstr(err.text, "disk I/O error") != NULL,
                  "%llu: status %d, '%s'", (unsigned long long)room, (int)status, err.text);
        CHECK(key.text[0] == 0);
    }
    CHECK(dyno_control_add(control, &tenant, &key, NULL) == DYNO_OK);
    dyno_control_close(control);
    /* One that cannot be made is not left half made. */
    for (rlim_t room = 0; room < 12000; room += 1000) {
        case_clear();
        control = NULL;
        limit_files(room);
        const enum dyno_status status = dyno_control_open(case_path, true, 0, &control, NULL);
        limit_files(RLIM_INFINITY);
        CHECK(status == DYNO_E_IO && control == NULL && access(case_path, F_OK) != 0);
        dyno_control_close(control);
    }
}

/* SQLite allocates through base/mem.h: its allocations are lost, too.  Some it can do without. */
static void test_no_memory(void)
{
    uint64_t lost = 0;
    size_t bytes = 0;
    make();
    char *data = case_slurp(&bytes);
    const uint64_t live = dyno_mem_live_count();
    bool is_done = false;
    for (uint64_t nth = 1; nth <= ATTEMPTS_MAX && !is_done; nth++) {
        struct dyno_err err = {0};
        case_clear();
        case_spill(data, bytes);
        dyno_mem_fail_at(nth);
        const enum dyno_status status = use_all(&err);
        void *probe = dyno_alloc(1, 1);
        dyno_mem_fail_at(0);
        is_done = probe == NULL; /* it was not reached before */
        dyno_free(probe);
        CHECK_MSG(status == DYNO_E_NOMEM || status == DYNO_OK, "allocation %llu: %d, '%s'",
                  (unsigned long long)nth, (int)status, err.text);
        lost += status == DYNO_E_NOMEM;
        CHECK_MSG(dyno_mem_live_count() == live, "allocation %llu: something is left",
                  (unsigned long long)nth);
    }
    CHECK_MSG(is_done && lost > 100, "%llu were missed", (unsigned long long)lost);
    free(data);
}

int main(void)
{
    case_begin();
    test_no_control_database();
    test_names_of_files();
    test_spoilt_rows();
    test_triggers_sleep();
    test_damage();
    test_no_room();
    test_no_memory();
    case_end();
    return TEST_RESULT();
}
