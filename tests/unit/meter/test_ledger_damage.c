/* test_ledger_damage.c - whatever is changed in a ledger, verify finds it. */
#include "base/hash.h"
#include "base/le.h"
#include "db/sqlite.h"
#include "ledger_case.h"
#include "random.h"

/* --- a file, opened by somebody else --- */

static const struct dyno_sqlite *sqlite;
static sqlite3 *handle;
static char path[160];

static void open_file(uint32_t number)
{
    case_segment(number, path);
    REQUIRE(dyno_sqlite_get(&sqlite, NULL) == DYNO_OK);
    REQUIRE(sqlite->open_v2(path, &handle, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
    REQUIRE(sqlite->exec(handle, "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY", NULL,
                         NULL, NULL) == SQLITE_OK);
}

static void close_file(void)
{
    CHECK(sqlite->close(handle) == SQLITE_OK);
}

static void sql(const char *text)
{
    CHECK_MSG(sqlite->exec(handle, text, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", text,
              sqlite->errmsg(handle));
}

static size_t get_blob(const char *select, uint8_t *out, size_t room)
{
    sqlite3_stmt *stmt = NULL;
    REQUIRE(sqlite->prepare_v2(handle, select, -1, &stmt, NULL) == SQLITE_OK);
    REQUIRE(sqlite->step(stmt) == SQLITE_ROW);
    const size_t bytes = (size_t)sqlite->column_bytes(stmt, 0);
    REQUIRE(bytes <= room);
    if (bytes > 0)
        memcpy(out, sqlite->column_blob(stmt, 0), bytes);
    (void)sqlite->finalize(stmt);
    return bytes;
}

static uint64_t get_number(const char *select)
{
    sqlite3_stmt *stmt = NULL;
    REQUIRE(sqlite->prepare_v2(handle, select, -1, &stmt, NULL) == SQLITE_OK);
    REQUIRE(sqlite->step(stmt) == SQLITE_ROW);
    const uint64_t number = (uint64_t)sqlite->column_int64(stmt, 0);
    (void)sqlite->finalize(stmt);
    return number;
}

static void put_blob(const char *update, const uint8_t *data, size_t bytes)
{
    sqlite3_stmt *stmt = NULL;
    REQUIRE(sqlite->prepare_v2(handle, update, -1, &stmt, NULL) == SQLITE_OK);
    REQUIRE(sqlite->bind_blob(stmt, 1, data, (int)bytes, SQLITE_STATIC) == SQLITE_OK);
    CHECK(sqlite->step(stmt) == SQLITE_DONE);
    (void)sqlite->finalize(stmt);
}

/* --- verifying --- */

static struct dyno_verify_report good;

static void check_good(void)
{
    struct dyno_err err = {0};
    CHECK_MSG(case_verify(case_folder, &good, &err) == DYNO_OK, "%s", err.text);
}

/* It is found, and the sentence has these words; "": any. */
static void check_found(const char *what, const char *words)
{
    struct dyno_verify_report report;
    struct dyno_err err = {0};
    const enum dyno_status status = case_verify(case_folder, &report, &err);
    CHECK_MSG(status != DYNO_OK && err.text[0] != 0 && strstr(err.text, words) != NULL, "%s: %s",
              what, err.text);
}

/* --- one bit --- */

static uint8_t blob[1 << 20];

static void flip_each_byte(const char *what, const char *select, const char *update)
{
    const size_t bytes = get_blob(select, blob, sizeof(blob));
    for (size_t i = 0; i < bytes; i++) {
        char place[96];
        const uint8_t bit = (uint8_t)(1U << random_below(8));
        (void)snprintf(place, sizeof(place), "%s, byte %zu, bit %u", what, i, (unsigned)bit);
        blob[i] ^= bit;
        put_blob(update, blob, bytes);
        check_found(place, "");
        blob[i] ^= bit;
    }
    if (bytes > 0) {
        put_blob(update, blob, bytes - 1);
        check_found("a byte is cut off", "");
    }
    blob[bytes] = 0;
    put_blob(update, blob, bytes + 1);
    check_found("a byte is added", "");
    put_blob(update, blob, bytes);
}

#define LAST_HEAD " WHERE group_count = (SELECT max(group_count) FROM head)"

/* Two files of three groups: start, one record, close. */
static void make_small(void)
{
    struct dyno_ledger_options options = case_options();
    options.sent_interval_ns = UINT64_C(3600000000000); /* however slow the machine is */
    case_clear();
    for (uint64_t i = 0; i < 2; i++) {
        struct dyno_ledger *ledger = case_open(&options);
        case_append(ledger, 10 * i, 1, true);
        case_close(ledger);
    }
    check_good();
    REQUIRE(good.groups == 6);
}

/* The second file: its opening has what lies before. */
static void test_bits(void)
{
    char select[96];
    char update[96];
    make_small();
    open_file(2);
    flip_each_byte("opening", "SELECT bytes FROM opening", "UPDATE opening SET bytes = ?1");
    flip_each_byte("head", "SELECT bytes FROM head" LAST_HEAD,
                   "UPDATE head SET bytes = ?1" LAST_HEAD);
    flip_each_byte("proof", "SELECT proof FROM head" LAST_HEAD,
                   "UPDATE head SET proof = ?1" LAST_HEAD);
    const uint64_t first = get_number("SELECT min(number) FROM record_group");
    for (uint64_t number = first; number < good.groups; number++) {
        static const char *const columns[] = {"header", "items"};
        for (size_t i = 0; i < DYNO_COUNT(columns); i++) {
            (void)snprintf(select, sizeof(select),
                           "SELECT %s FROM record_group WHERE number = %llu", columns[i],
                           (unsigned long long)number);
            (void)snprintf(update, sizeof(update),
                           "UPDATE record_group SET %s = ?1 WHERE number = %llu", columns[i],
                           (unsigned long long)number);
            flip_each_byte(columns[i], select, update);
        }
    }
    close_file();
    check_good();
}

/* Any bit of the file itself: found, or of no meaning. */
static void test_file_bits(void)
{
    make_small();
    const struct dyno_verify_report before = good;
    case_segment(2, path);
    FILE *file = fopen(path, "r+b");
    REQUIRE(file != NULL);
    const size_t bytes = fread(blob, 1, sizeof(blob), file);
    REQUIRE(bytes > 4096 && bytes < sizeof(blob));
    for (int i = 0; i < 1500; i++) {
        struct dyno_verify_report report;
        struct dyno_err err = {0};
        const size_t at = random_below(bytes);
        const uint8_t changed = (uint8_t)(blob[at] ^ (1U << random_below(8)));
        CHECK(pwrite(fileno(file), &changed, 1, (off_t)at) == 1);
        if (case_verify(case_folder, &report, &err) == DYNO_OK)
            CHECK_MSG(dyno_digest_equal(&report.root, &before.root) &&
                          report.records == before.records && report.heads == before.heads &&
                          report.device_ns == before.device_ns,
                      "byte %zu changed what is read", at);
        else
            CHECK(err.text[0] != 0);
        CHECK(pwrite(fileno(file), &blob[at], 1, (off_t)at) == 1);
    }
    (void)fclose(file);
    check_good();
}

/* --- somebody who knows the format --- */

static void fix_record(uint8_t *record)
{
    dyno_le_put_u32(record + 124, dyno_crc32c(0, record, 124));
}

static void fix_header(uint8_t *header)
{
    dyno_le_put_u32(header + 128, dyno_crc32c(0, header, 128));
}

static void fix_root(uint8_t *header, const uint8_t *items, size_t items_bytes)
{
    struct dyno_group group;
    struct dyno_items opened;
    static struct dyno_digest leaves[DYNO_GROUP_ITEMS_MAX];
    struct dyno_digest root;
    REQUIRE(dyno_group_decode(header, DYNO_GROUP_HEADER_BYTES, &group, NULL) == DYNO_OK);
    REQUIRE(dyno_items_open(&group, items, items_bytes, &opened, NULL) == DYNO_OK);
    REQUIRE(dyno_items_leaves(&opened, leaves, NULL) == DYNO_OK);
    dyno_merkle_root(leaves, (size_t)opened.entry_count + opened.record_count, &root);
    memcpy(header + 96, root.bytes, DYNO_DIGEST_BYTES);
    fix_header(header);
}

/* Ten times the device time for the last record of group `number`, with all that can be mended. */
static void test_clever(void)
{
    uint8_t header[DYNO_GROUP_HEADER_BYTES];
    static uint8_t kept[1 << 16];
    make_small();
    open_file(2);
    const size_t bytes =
        get_blob("SELECT items FROM record_group WHERE length(items) > 100", kept, sizeof(kept));
    (void)get_blob("SELECT header FROM record_group WHERE length(items) > 100", header,
                   sizeof(header));
    memcpy(blob, kept, bytes);
    uint8_t *record = blob + bytes - DYNO_RECORD_BYTES;
    dyno_le_put_u64(record + 88, 10 * dyno_le_u64(record + 88));
    fix_record(record);
    put_blob("UPDATE record_group SET items = ?1 WHERE length(items) > 100", blob, bytes);
    check_found("a record", "another hash than was written");
    fix_root(header, blob, bytes);
    put_blob("UPDATE record_group SET header = ?1 WHERE length(items) > 100", header,
             sizeof(header));
    check_found("a record and its root", "the hash of the group before is another one");
    close_file();

    static const struct {
        const char *sql, *words;
    } rows[] = {
        {"DELETE FROM record_group WHERE number = (SELECT min(number) + 1 FROM record_group)",
         "is missing"},
        {"DELETE FROM record_group WHERE number = (SELECT max(number) FROM record_group)",
         "there is a head over"},
        {"UPDATE record_group SET number = number + 1000 WHERE number = (SELECT max(number) FROM "
         "record_group)",
         "its header says that it is group"},
        {"INSERT INTO record_group SELECT max(number) + 1, header, items FROM record_group",
         "its header says that it is group"},
        {"UPDATE head SET group_count = group_count - 1" LAST_HEAD, "it says that it is over"},
        {"DELETE FROM opening", "it has no opening"},
        {"UPDATE record_group SET items = NULL || 'text'", "NOT NULL"},
        {"DROP TABLE head", "no such table: head"},
        {"PRAGMA user_version = 2", "has schema 2"},
        {"PRAGMA application_id = 5", "is no ledger"},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        make_small();
        open_file(2);
        if (strcmp(rows[i].words, "NOT NULL") == 0)
            CHECK(sqlite->exec(handle, rows[i].sql, NULL, NULL, NULL) == SQLITE_CONSTRAINT);
        else
            sql(rows[i].sql);
        close_file();
        if (strcmp(rows[i].words, "NOT NULL") != 0)
            check_found(rows[i].sql, rows[i].words);
    }
}

/* The end is cut off, heads and all: only who has kept a head can tell. */
static void test_cut_off(void)
{
    struct dyno_verify_report report;
    struct dyno_err err = {0};
    struct dyno_head head;
    make_small();
    open_file(2);
    (void)get_blob("SELECT bytes FROM head" LAST_HEAD, blob, sizeof(blob));
    CHECK(dyno_head_decode(blob, DYNO_HEAD_BYTES, &head, NULL) == DYNO_OK);
    const struct dyno_verify_options options = {.heads = &head, .head_count = 1};
    CHECK(case_verify_with(case_folder, &options, &report, &err) == DYNO_OK &&
          report.seen_heads == 1);
    sql("DELETE FROM head; DELETE FROM record_group WHERE number = (SELECT max(number) FROM "
        "record_group)");
    close_file();
    check_good();
    CHECK(case_verify_with(case_folder, &options, &report, &err) == DYNO_E_MISMATCH);
    CHECK_MSG(strstr(err.text, "of these files none ends there") != NULL, "%s", err.text);
    make_small(); /* another ledger, as large: written again by whoever has the disk */
    err = (struct dyno_err){0};
    CHECK(case_verify_with(case_folder, &options, &report, &err) == DYNO_E_MISMATCH);
    CHECK_MSG(strstr(err.text, "is of another ledger") != NULL, "%s", err.text);
}

/* A writer does not go on from what it cannot follow. */
static void test_writer(void)
{
    struct dyno_ledger *ledger = NULL;
    struct dyno_err err = {0};
    const struct dyno_ledger_options options = case_options();
    make_small();
    open_file(2);
    sql("DELETE FROM record_group WHERE number = (SELECT min(number) + 1 FROM record_group)");
    close_file();
    CHECK(dyno_ledger_open(&options, &ledger, &err) == DYNO_E_CORRUPT && ledger == NULL);
    CHECK_MSG(strstr(err.text, "does not follow") != NULL, "%s", err.text);
    make_small();
    case_segment(2, path);
    char moved[176];
    (void)snprintf(moved, sizeof(moved), "%s.moved", path);
    CHECK(rename(path, moved) == 0);
    case_segment(3, path); /* only an unfinished third file is left of the last two */
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL && fclose(file) == 0);
    err = (struct dyno_err){0};
    CHECK(dyno_ledger_open(&options, &ledger, &err) == DYNO_E_NOT_FOUND && ledger == NULL);
    CHECK_MSG(strstr(err.text, "a ledger goes on from its last file") != NULL, "%s", err.text);
}

int main(void)
{
    case_begin();
    test_bits();
    test_file_bits();
    test_clever();
    test_cut_off();
    test_writer();
    case_end();
    return TEST_RESULT();
}
