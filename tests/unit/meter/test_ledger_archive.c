/* test_ledger_archive.c - archives are what they were made of; whatever stops the making leaves one
 * of the two whole; whatever is changed in one is found. */
#include "meter/ledger/archive.h"

#include <errno.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/le.h"
#include "ledger_case.h"
#include "random.h"

/* Files 1 and 2 are closed, 3 is the last. */
static void make_ledger(size_t records)
{
    case_clear();
    struct dyno_ledger_options options = case_options();
    options.group_records_max = 16;
    options.segment_records_max = records / 2;
    struct dyno_ledger *ledger = case_open(&options);
    for (size_t i = 0; i < records; i += 10) /* several groups, and files */
        case_append(ledger, i, 10, true);
    case_close(ledger);
    case_close(case_open(&options));
}

static void name_of(uint32_t number, const char *suffix, char out[192])
{
    (void)snprintf(out, 192, "%s/%08u%s", case_folder, (unsigned)number, suffix);
}

static bool is_there(uint32_t number, const char *suffix)
{
    char path[192];
    name_of(number, suffix, path);
    return access(path, F_OK) == 0;
}

static bool same_report(const struct dyno_verify_report *a, const struct dyno_verify_report *b)
{
    return a->files == b->files && a->groups == b->groups && a->records == b->records &&
           a->heads == b->heads && a->device_ns == b->device_ns &&
           dyno_digest_equal(&a->root, &b->root) && dyno_digest_equal(&a->chain, &b->chain);
}

static void test_is_what_it_was(void)
{
    struct dyno_verify_report before;
    struct dyno_verify_report after;
    struct dyno_archive_report report;
    struct dyno_err err = {0};
    char path[192];
    make_ledger(20000);
    CHECK(case_verify(case_folder, &before, &err) == DYNO_OK && before.files >= 3);
    for (uint32_t number = 1; number < before.files; number++) {
        name_of(number, ".ledger", path);
        const enum dyno_status status = dyno_archive_make(path, NULL, &report, &err);
        CHECK_MSG(status == DYNO_OK, "%s", err.text);
        CHECK(!is_there(number, ".ledger") && is_there(number, DYNO_ARCHIVE_SUFFIX));
        CHECK(report.archive_bytes * 2 < report.file_bytes && !report.was_there);
        CHECK_MSG(case_verify(case_folder, &after, &err) == DYNO_OK, "%s", err.text);
        CHECK(same_report(&before, &after));
    }
    /* A start goes on from the last file. */
    const struct dyno_ledger_options options = case_options();
    struct dyno_ledger *ledger = case_open(&options);
    case_append(ledger, 5, 5, true);
    case_close(ledger);
    CHECK_MSG(case_verify(case_folder, &after, &err) == DYNO_OK, "%s", err.text);
    CHECK(after.records == before.records + 5 && after.first_group == 0);
}

static void test_refusals(void)
{
    struct dyno_archive_report report;
    struct dyno_err err = {0};
    char path[192];
    make_ledger(100);
    CHECK(dyno_archive_make("nofile", NULL, &report, &err) == DYNO_E_ARG);
    name_of(1, ".ledger", path);
    CHECK(dyno_archive_make(path, "/nowhere", &report, &err) == DYNO_E_IO);
    CHECK(is_there(1, ".ledger"));
    /* A file that is damaged stays, and so does what stands in its archive's place. */
    FILE *file = fopen(path, "r+b");
    REQUIRE(file != NULL && fseek(file, 9000, SEEK_SET) == 0);
    for (int i = 0; i < 4096; i++)
        (void)fputc(0, file);
    REQUIRE(fclose(file) == 0);
    CHECK(dyno_archive_make(path, NULL, &report, &err) != DYNO_OK);
    CHECK(is_there(1, ".ledger") && !is_there(1, DYNO_ARCHIVE_SUFFIX));
}

/* Each system call on files fails once: the ledger is whole after it, and the next go ends it. */
static void test_faults(void)
{
    struct dyno_verify_report before;
    uint64_t failures = 0;
    char path[192];
    name_of(1, ".ledger", path);
    for (uint64_t nth = 1;; nth++) {
        struct dyno_verify_report after;
        struct dyno_archive_report report;
        struct dyno_err err = {0};
        if (nth == 1 || !is_there(1, ".ledger"))
            make_ledger(100);
        CHECK(case_verify(case_folder, &before, &err) == DYNO_OK);
        dyno_file_fail_at(nth, ENOSPC);
        const enum dyno_status status = dyno_archive_make(path, NULL, &report, &err);
        dyno_file_fail_at(0, 0);
        CHECK_MSG(case_verify(case_folder, &after, &err) == DYNO_OK, "%llu: %s",
                  (unsigned long long)nth, err.text);
        CHECK(same_report(&before, &after));
        if (status == DYNO_OK)
            break;
        failures++;
        /* As a crash leaves it: both, or an aside. */
        if (nth % 2 == 0) {
            CHECK(dyno_archive_make(path, NULL, &report, &err) == DYNO_OK);
            CHECK(case_verify(case_folder, &after, &err) == DYNO_OK);
            CHECK(same_report(&before, &after) && !is_there(1, ".ledger"));
        }
    }
    CHECK(failures > 5);
}

static uint8_t *read_all(const char *path, size_t *bytes_out)
{
    struct dyno_file_map map = {0};
    REQUIRE(dyno_file_map(path, &map, NULL) == DYNO_OK);
    uint8_t *copy = malloc(map.bytes);
    REQUIRE(copy != NULL);
    memcpy(copy, map.data, map.bytes);
    *bytes_out = map.bytes;
    dyno_file_unmap(&map);
    return copy;
}

static void write_all(const char *path, const uint8_t *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    REQUIRE(file != NULL && fwrite(data, 1, bytes, file) == bytes && fclose(file) == 0);
}

/* Both there, and the archive is another one: it is made anew. */
static void test_twins(void)
{
    struct dyno_verify_report report;
    struct dyno_archive_report made;
    struct dyno_err err = {0};
    char path[192];
    char archive[192];
    size_t bytes = 0;
    make_ledger(100);
    name_of(1, ".ledger", path);
    name_of(1, DYNO_ARCHIVE_SUFFIX, archive);
    size_t file_bytes = 0;
    uint8_t *file = read_all(path, &file_bytes);
    CHECK(dyno_archive_make(path, NULL, &made, &err) == DYNO_OK);
    uint8_t *good = read_all(archive, &bytes);
    write_all(path, file, file_bytes); /* it was never removed */
    CHECK(case_verify(case_folder, &report, &err) == DYNO_OK && report.first_group == 0);
    CHECK(dyno_archive_make(path, NULL, &made, &err) == DYNO_OK && made.was_there);
    write_all(path, file, file_bytes);
    good[bytes / 2] ^= 1;
    write_all(archive, good, bytes);
    CHECK(case_verify(case_folder, &report, &err) == DYNO_OK);
    CHECK(dyno_archive_make(path, NULL, &made, &err) == DYNO_OK && !made.was_there);
    CHECK(case_verify(case_folder, &report, &err) == DYNO_OK && report.first_group == 0);
    free(good);
    free(file);
}

/* Any byte that is another, any end that is missing: never a crash, never another ledger. */
static void test_damage(void)
{
    struct dyno_verify_report before;
    struct dyno_archive_report made;
    struct dyno_err err = {0};
    char path[192];
    size_t bytes = 0;
    make_ledger(60);
    CHECK(case_verify(case_folder, &before, &err) == DYNO_OK);
    name_of(1, ".ledger", path);
    CHECK(dyno_archive_make(path, NULL, &made, &err) == DYNO_OK);
    name_of(1, DYNO_ARCHIVE_SUFFIX, path);
    uint8_t *data = read_all(path, &bytes);
    for (size_t i = 0; i<bytes; i += bytes> 3000 ? 3 : 1) {
        struct dyno_verify_report after;
        data[i] ^= (uint8_t)(1U << (i % 8));
        write_all(path, data, bytes);
        const enum dyno_status status = case_verify(case_folder, &after, &err);
        CHECK_MSG(status != DYNO_OK, "byte %zu", i);
        data[i] ^= (uint8_t)(1U << (i % 8));
    }
    for (size_t end = 0; end < bytes; end += 1 + bytes / 97) {
        struct dyno_verify_report after;
        write_all(path, data, end);
        CHECK(case_verify(case_folder, &after, &err) != DYNO_OK);
    }
    write_all(path, data, bytes);
    CHECK(case_verify(case_folder, &before, &err) == DYNO_OK);
    free(data);
}

/* Numbers of the end and of the index that cannot be, with checksums that are right. */
static void test_lies(void)
{
    struct dyno_verify_report report;
    struct dyno_archive_report made;
    struct dyno_err err = {0};
    char path[192];
    size_t bytes = 0;
    make_ledger(60);
    name_of(1, ".ledger", path);
    CHECK(dyno_archive_make(path, NULL, &made, &err) == DYNO_OK);
    name_of(1, DYNO_ARCHIVE_SUFFIX, path);
    uint8_t *data = read_all(path, &bytes);
    uint8_t *bad = malloc(bytes);
    REQUIRE(bad != NULL);
    uint8_t *end = bad + bytes - DYNO_ARCHIVE_END_BYTES;
    for (int round = 0; round < 3000; round++) {
        memcpy(bad, data, bytes);
        for (uint32_t i = 0; i <= random_below(3); i++) {
            const size_t room = DYNO_ARCHIVE_END_BYTES + DYNO_ARCHIVE_ROW_BYTES - 4;
            uint8_t *at = end - DYNO_ARCHIVE_ROW_BYTES + random_below(room);
            *at = random_below(2) == 0 ? (uint8_t)random_below(256) : 0xff;
        }
        dyno_le_put_u32(end + DYNO_ARCHIVE_END_BYTES - 4,
                        dyno_crc32c(0, end, DYNO_ARCHIVE_END_BYTES - 4));
        write_all(path, bad, bytes);
        const enum dyno_status status = case_verify(case_folder, &report, &err);
        CHECK(status == DYNO_OK ? memcmp(bad, data, bytes) == 0 : err.text[0] != 0);
    }
    free(bad);
    free(data);
}

int main(void)
{
    case_begin();
    test_is_what_it_was();
    test_refusals();
    test_faults();
    test_twins();
    test_damage();
    test_lies();
    case_end();
    return TEST_RESULT();
}
