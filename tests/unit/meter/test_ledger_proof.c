/* test_ledger_proof.c - proofs: of every record, checked alone; whatever is changed in one;
 * signatures. */
#include <fcntl.h>

#include "base/hex.h"
#include "ledger_case.h"
#include "meter/ledger/export.h"
#include "meter/ledger/proof.h"
#include "random.h"

static const char **paths;
static size_t path_count;

static enum dyno_status prove(struct dyno_record_id id, struct dyno_strbuf *text,
                              struct dyno_err *err)
{
    dyno_strbuf_clear(text);
    return dyno_proof_make(NULL, paths, path_count, id, text, err);
}

static enum dyno_status check(const char *text, size_t bytes, struct dyno_arena *arena,
                              struct dyno_proof_report *report, struct dyno_err *err)
{
    dyno_arena_reset(arena);
    return dyno_proof_check(text, bytes, arena, report, err);
}

/* --- keys --- */

static char key_path[96];
static char public_path[96];

/* RFC 8032, section 7.1, test 1, as OpenSSL's PEM. */
static void write_keys(void)
{
    static const char private_pem[] =
        "-----BEGIN PRIVATE KEY-----\n"
        "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
        "-----END PRIVATE KEY-----\n";
    static const char public_hex[] =
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\n";
    (void)snprintf(key_path, sizeof(key_path), "%s/key.pem", case_root);
    (void)snprintf(public_path, sizeof(public_path), "%s/key.pub", case_root);
    FILE *file = fopen(key_path, "wb");
    REQUIRE(file != NULL && fputs(private_pem, file) >= 0 && fclose(file) == 0);
    file = fopen(public_path, "wb");
    REQUIRE(file != NULL && fputs(public_hex, file) >= 0 && fclose(file) == 0);
}

static void test_signatures(void)
{
    /* RFC 8032, section 7.1, test 1: the empty message. */
    static const uint8_t want[] = {0xe5, 0x56, 0x43, 0x00, 0xc3, 0x60, 0xac, 0x72};
    struct dyno_signer *signer = NULL;
    struct dyno_err err = {0};
    uint8_t key[DYNO_KEY_BYTES];
    uint8_t read_key[DYNO_KEY_BYTES];
    uint8_t signature[DYNO_SIGNATURE_BYTES];
    CHECK_MSG(dyno_signer_open(key_path, &signer, &err) == DYNO_OK, "%s", err.text);
    REQUIRE(signer != NULL);
    dyno_signer_key(signer, key);
    CHECK(dyno_public_key_read(public_path, read_key, NULL) == DYNO_OK);
    CHECK(memcmp(key, read_key, sizeof(key)) == 0);
    CHECK(dyno_signer_sign(signer, "", 0, signature, NULL) == DYNO_OK);
    CHECK(memcmp(signature, want, sizeof(want)) == 0);
    CHECK(dyno_signature_check(key, "", 0, signature, NULL) == DYNO_OK);
    CHECK(dyno_signature_check(key, "x", 1, signature, &err) == DYNO_E_CORRUPT);
    signature[60] ^= 1;
    CHECK(dyno_signature_check(key, "", 0, signature, NULL) == DYNO_E_CORRUPT);
    dyno_signer_close(signer);
    err = (struct dyno_err){0};
    CHECK(dyno_signer_open(public_path, &signer, &err) == DYNO_E_FORMAT && signer == NULL);
    CHECK(strstr(err.text, "is no private key for Ed25519") != NULL);
    err = (struct dyno_err){0};
    CHECK(dyno_public_key_read(key_path, read_key, &err) == DYNO_E_FORMAT);
    CHECK(strstr(err.text, "is no public key for Ed25519") != NULL);
    CHECK(dyno_signer_open("/nowhere/key.pem", &signer, NULL) == DYNO_E_NOT_FOUND);
}

/* --- a ledger of some files --- */

static uint32_t epochs[2];

static void make_ledger(struct dyno_arena *arena)
{
    struct dyno_ledger_options options = case_options();
    const char *given = case_folder;
    case_clear();
    options.group_records_max = 7;
    options.segment_records_max = 40;
    options.key_path = key_path;
    for (uint64_t i = 0; i < 2; i++) {
        struct dyno_ledger *ledger = case_open(&options);
        epochs[i] = dyno_ledger_epoch(ledger);
        for (uint64_t k = 0; k < 5; k++)
            case_append(ledger, 100 * i + 20 * k, 20, true);
        case_close(ledger);
    }
    REQUIRE(dyno_ledger_paths(&given, 1, arena, &paths, &path_count, NULL) == DYNO_OK);
    REQUIRE(path_count > 4);
}

static void test_all(struct dyno_arena *scratch)
{
    struct dyno_strbuf text = {0};
    struct dyno_proof_report report;
    for (uint64_t i = 0; i < 2; i++) {
        for (uint64_t seq = 1; seq <= 100; seq++) {
            struct dyno_err err = {0};
            const struct dyno_record_id id = {7, epochs[i], seq};
            CHECK_MSG(prove(id, &text, &err) == DYNO_OK, "%s", err.text);
            CHECK_MSG(check(text.text, text.bytes, scratch, &report, &err) == DYNO_OK, "%s",
                      err.text);
            CHECK(report.record.id.seq == seq && report.record.id.epoch == epochs[i]);
            CHECK(report.head.is_signed && report.record.device_ns >= 2000000);
            CHECK_STR(report.names[DYNO_NAME_VARIANT - 1], "1/int8");
            CHECK_STR(report.names[DYNO_NAME_TARIFF - 1], "gain-share/3");
        }
    }
    static const struct dyno_record_id none[] = {
        {7, 1, 1}, {8, 2, 3}, {7, UINT32_MAX, 1}, {7, 0, 0}};
    for (size_t i = 0; i < DYNO_COUNT(none); i++) {
        struct dyno_err err = {0};
        CHECK(prove(none[i], &text, &err) == DYNO_E_NOT_FOUND);
        CHECK(strstr(err.text, "there is no record") != NULL);
    }
    CHECK(prove((struct dyno_record_id){7, epochs[0], 101}, &text, NULL) == DYNO_E_NOT_FOUND);
    dyno_strbuf_fini(&text);
}

static bool is_digit_of_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Every digit of every value in the text. */
static void test_changed(struct dyno_arena *scratch)
{
    struct dyno_strbuf text = {0};
    struct dyno_proof_report report;
    REQUIRE(prove((struct dyno_record_id){7, epochs[1], 77}, &text, NULL) == DYNO_OK);
    size_t tried = 0;
    for (size_t i = 0; i < text.bytes; i++) {
        struct dyno_err err = {0};
        const char kept = text.text[i];
        if (!is_digit_of_hex(kept))
            continue;
        text.text[i] = kept == '1' ? '2' : '1';
        const enum dyno_status status = check(text.text, text.bytes, scratch, &report, &err);
        CHECK_MSG(status != DYNO_OK && err.text[0] != 0, "byte %zu: %.40s", i, text.text + i);
        text.text[i] = kept;
        tried++;
    }
    CHECK(tried > 2000);
    for (size_t bytes = 0; bytes < text.bytes; bytes += 1 + random_below(40)) { /* cut off */
        struct dyno_err err = {0};
        CHECK(check(text.text, bytes, scratch, &report, &err) != DYNO_OK && err.text[0] != 0);
    }
    for (int i = 0; i < 2000; i++) { /* anything anywhere: an error, or the same record */
        struct dyno_err err = {0};
        const size_t at = random_below(text.bytes);
        const char kept = text.text[at];
        text.text[at] = (char)random_below(256);
        if (check(text.text, text.bytes, scratch, &report, &err) == DYNO_OK)
            CHECK(report.record.id.seq == 77 && report.head.is_signed);
        text.text[at] = kept;
    }
    dyno_strbuf_fini(&text);
}

/* A name that is left out: the record would read as somebody else's, or as nobody's. */
static void test_left_out(struct dyno_arena *scratch)
{
    struct dyno_strbuf text = {0};
    struct dyno_proof_report report;
    struct dyno_err err = {0};
    REQUIRE(prove((struct dyno_record_id){7, epochs[0], 5}, &text, NULL) == DYNO_OK);
    char *names = strstr(text.text, "\"names\": [");
    REQUIRE(names != NULL);
    memcpy(names, "\"names\": []}", sizeof("\"names\": []}"));
    CHECK(check(text.text, strlen(text.text), scratch, &report, &err) == DYNO_E_FORMAT);
    CHECK_MSG(strstr(err.text, "leaves out the name of the tenant") != NULL, "%s", err.text);
    dyno_strbuf_fini(&text);
}

/* While it is written: no head is over the newest record yet. */
static void test_live(struct dyno_arena *scratch)
{
    struct dyno_strbuf text = {0};
    struct dyno_proof_report report;
    struct dyno_arena *arena = dyno_arena_create();
    const char *given = case_folder;
    struct dyno_ledger_options options = case_options();
    options.key_path = key_path;
    struct dyno_ledger *ledger = case_open(&options);
    case_append(ledger, 0, 10, true);
    REQUIRE(arena != NULL &&
            dyno_ledger_paths(&given, 1, arena, &paths, &path_count, NULL) == DYNO_OK);
    const struct dyno_record_id id = {7, dyno_ledger_epoch(ledger), 9};
    CHECK(prove(id, &text, NULL) == DYNO_OK);
    CHECK(check(text.text, text.bytes, scratch, &report, NULL) == DYNO_OK);
    CHECK(!report.head.is_signed && report.record.id.seq == 9);
    case_close(ledger);
    CHECK(prove(id, &text, NULL) == DYNO_OK);
    CHECK(check(text.text, text.bytes, scratch, &report, NULL) == DYNO_OK);
    CHECK(report.head.is_signed);
    dyno_strbuf_fini(&text);
    dyno_arena_destroy(arena);
}

static void test_key(void)
{
    uint8_t key[DYNO_KEY_BYTES];
    struct dyno_verify_report report;
    struct dyno_err err = {0};
    CHECK(dyno_public_key_read(public_path, key, NULL) == DYNO_OK);
    const struct dyno_verify_options options = {.key = key};
    CHECK_MSG(case_verify_with(case_folder, &options, &report, &err) == DYNO_OK, "%s", err.text);
    CHECK(report.signed_heads == report.heads && report.heads > 4);
    key[0] ^= 1;
    CHECK(case_verify_with(case_folder, &options, &report, &err) == DYNO_E_MISMATCH);
    CHECK(strstr(err.text, "is not signed with the key that was given") != NULL);
}

/* --- what an earlier build wrote --- */

static enum dyno_status show_third(void *arg, const struct dyno_scanned *scanned,
                                   struct dyno_err *err)
{
    (void)err;
    if (scanned->record.id.seq == 3)
        dyno_export_csv(scanned, arg);
    return DYNO_OK;
}

/* Format 1 is a promise: this file stays readable, and its root what it was. */
static void test_format_1(void)
{
    static const char *const path = "tests/unit/meter/data/format_1.ledger";
    uint8_t key[DYNO_KEY_BYTES];
    char root[2 * DYNO_DIGEST_BYTES + 1];
    struct dyno_strbuf text = {0};
    struct dyno_verify_report report;
    struct dyno_err err = {0};
    CHECK(dyno_public_key_read(public_path, key, NULL) == DYNO_OK);
    const struct dyno_verify_options options = {.key = key};
    CHECK_MSG(case_verify_with(path, &options, &report, &err) == DYNO_OK, "%s", err.text);
    CHECK(report.records == 13 && report.voids == 1 && report.has_end && report.signed_heads == 2);
    CHECK_STR(dyno_hex_text(report.root.bytes, DYNO_DIGEST_BYTES, root),
              "1ad684c47c47df5a996d519a80d3b5c493614e2a22e13ad2681653b86554c307");
    CHECK(dyno_ledger_scan(&path, 1, show_third, &text, NULL) == DYNO_OK);
    CHECK_STR(dyno_strbuf_text(&text),
              "7-1795946371-3,1,usage,sent,ok,,ténant,resnet50,1/int8,sha256:aa,sha256:bb,stand"
              "ard,3x224x224,cpu-zen4,gain-share/3,3,1,4,2025-11-29T07:23:21.002000000Z,1002,"
              "2000002,8000002,147573952589676412931,\r\n");
    dyno_strbuf_fini(&text);
}

/* --- scanning and exporting --- */

struct counts {
    uint64_t records, sent, unconfirmed, voided;
    struct dyno_strbuf csv, json;
};

static enum dyno_status count(void *arg, const struct dyno_scanned *scanned, struct dyno_err *err)
{
    struct counts *counts = arg;
    (void)err;
    counts->records++;
    counts->sent += scanned->state == DYNO_RECORD_STATE_SENT;
    counts->unconfirmed += scanned->state == DYNO_RECORD_STATE_UNCONFIRMED;
    counts->voided += scanned->state == DYNO_RECORD_STATE_VOIDED;
    dyno_export_csv(scanned, &counts->csv);
    dyno_export_json(scanned, &counts->json);
    return DYNO_OK;
}

static void test_scan(void)
{
    struct counts counts = {0};
    struct dyno_err err = {0};
    struct dyno_arena *arena = dyno_arena_create();
    const char *given = case_folder;
    sem_t done;
    struct dyno_ledger_options options = case_options();
    case_clear();
    options.segment_records_max = 30;
    struct dyno_ledger *ledger = case_open(&options);
    const uint32_t epoch = dyno_ledger_epoch(ledger);
    case_append(ledger, 0, 50, true);
    case_append(ledger, 50, 7, false);
    case_close(ledger);
    ledger = case_open(&options);
    case_append(ledger, 57, 3, true);
    struct case_entry gone = {.entry = {.record = {.kind = DYNO_RECORD_VOID}, .done = case_done}};
    CHECK(sem_init(&done, 0, 0) == 0);
    gone.done = &done;
    gone.entry.record.voids = (struct dyno_record_id){0, epoch, 10}; /* of the epoch before */
    dyno_ledger_append(ledger, &gone.entry);
    CHECK(sem_wait(&done) == 0);
    (void)sem_destroy(&done);
    REQUIRE(arena != NULL &&
            dyno_ledger_paths(&given, 1, arena, &paths, &path_count, NULL) == DYNO_OK);
    CHECK_MSG(dyno_ledger_scan(paths, path_count, count, &counts, &err) == DYNO_OK, "%s", err.text);
    CHECK(counts.records == 61 && counts.voided == 1 && counts.unconfirmed == 7);
    CHECK(counts.sent == 53);
    CHECK(strstr(counts.csv.text, "-10,") != NULL && strstr(counts.csv.text, ",voided,") != NULL);
    CHECK(strstr(counts.json.text, "\"state\": \"unconfirmed\"") != NULL);
    CHECK(strstr(counts.json.text, "t\xc3\xa9nant") != NULL);
    case_close(ledger);
    dyno_strbuf_fini(&counts.csv);
    dyno_strbuf_fini(&counts.json);
    dyno_arena_destroy(arena);
}

static void test_columns(void)
{
    struct dyno_strbuf text = {0};
    const struct dyno_scanned scanned = {
        .record = {.id = {1, 2, 3},
                   .kind = DYNO_RECORD_USAGE,
                   .outcome = DYNO_OUTCOME_OK,
                   .flags = DYNO_RECORD_RELAXED | DYNO_RECORD_CORE_NS,
                   .items = 4,
                   .batch_id = 5,
                   .batch_count = 6,
                   .start_ns = 1764401001000000007,
                   .queue_ns = 8,
                   .device_ns = 9,
                   .reference_ns = UINT64_MAX,
                   .memory_byte_ns = (dyno_u128)1 << 70},
        .names = {"a,\"b\"", "m", "", "", "", "", "", "", ""},
        .group = 11,
    };
    dyno_export_csv_head(&text);
    CHECK_STR(dyno_strbuf_text(&text),
              "id,group,kind,state,outcome,flags,tenant,model,variant,reference_certificate,"
              "engine_certificate,class,shape,device,tariff,items,batch_id,batch_size,start,"
              "queue_ns,device_ns,reference_ns,memory_byte_ns,voids\r\n");
    dyno_strbuf_clear(&text);
    dyno_export_csv(&scanned, &text);
    CHECK_STR(dyno_strbuf_text(&text),
              "1-2-3,11,usage,sent,ok,\"relaxed,core-ns\",\"a,\"\"b\"\"\",m,,,,,,,,4,5,6,"
              "2025-11-29T07:23:21.000000007Z,8,9,18446744073709551615,1180591620717411303424,"
              "\r\n");
    dyno_strbuf_fini(&text);
}

static void test_times(void)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"1970-01-01", 0},
                {"2025-11-29T07:23:21Z", 1764401001000000000},
                {"2025-11-29T07:23:21.000000007Z", 1764401001000000007},
                {"2025-11-29T07:23:21.5Z", 1764401001500000000},
                {"2024-02-29", 1709164800000000000}};
    static const char *const bad[] = {"",
                                      "2025",
                                      "2025-02-30",
                                      "2025-13-01",
                                      "1969-12-31",
                                      "2025-11-29T24:00:00Z",
                                      "2025-11-29T07:23:21",
                                      "2025-11-29T07:23:21.Z",
                                      "2025-11-29T07:23:21.0000000001Z",
                                      "2025-11-29 07:23:21Z",
                                      "2600-01-01",
                                      "2025-1-29xx"};
    char text[DYNO_NS_TEXT_ROOM];
    uint64_t ns = 0;
    for (size_t i = 0; i < DYNO_COUNT(good); i++)
        CHECK_MSG(dyno_ns_parse(good[i].text, &ns) && ns == good[i].ns, "%s", good[i].text);
    for (size_t i = 0; i < DYNO_COUNT(bad); i++)
        CHECK_MSG(!dyno_ns_parse(bad[i], &ns), "%s", bad[i]);
    for (int i = 0; i < 1000; i++) {
        const uint64_t any = random_u64() % 18400000000000000000U;
        CHECK(dyno_ns_parse(dyno_ns_text(any, text), &ns) && ns == any);
    }
}

int main(void)
{
    case_begin();
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_arena *scratch = dyno_arena_create();
    REQUIRE(arena != NULL && scratch != NULL);
    write_keys();
    test_signatures();
    test_format_1();
    make_ledger(arena);
    test_all(scratch);
    test_changed(scratch);
    test_left_out(scratch);
    test_live(scratch);
    test_key();
    dyno_arena_destroy(arena);
    dyno_arena_destroy(scratch);
    test_scan();
    test_columns();
    test_times();
    case_end();
    return TEST_RESULT();
}
