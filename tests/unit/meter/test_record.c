/* test_record.c - records: there and back, each flipped bit, what no record may say; wide numbers.
 */
#include "meter/account/record.h"

#include "base/hash.h"
#include "base/le.h"
#include "base/wide.h"
#include "random.h"
#include "test.h"

static struct dyno_record usage(void)
{
    return (struct dyno_record){
        .id = {.node = 7, .epoch = 1764401000, .seq = 42},
        .kind = DYNO_RECORD_USAGE,
        .outcome = DYNO_OUTCOME_OK,
        .flags = DYNO_RECORD_CORE_NS | DYNO_RECORD_OUT_OF_RANGE,
        .names = {1, 2, 3, 4, 5, 6, 7, 8, 9},
        .items = 16,
        .batch_count = 4,
        .batch_id = 99,
        .start_ns = 1764401001000000000,
        .queue_ns = 12345,
        .device_ns = 678901234,
        .reference_ns = 2345678901234,
        .memory_byte_ns = ((dyno_u128)5 << 64) | 17,
    };
}

static bool same(const struct dyno_record *a, const struct dyno_record *b)
{
    uint8_t x[DYNO_RECORD_BYTES];
    uint8_t y[DYNO_RECORD_BYTES];
    dyno_record_encode(a, x);
    dyno_record_encode(b, y);
    return memcmp(x, y, sizeof(x)) == 0;
}

static void test_round(void)
{
    struct dyno_record record = usage();
    struct dyno_record back;
    uint8_t bytes[DYNO_RECORD_BYTES];
    CHECK(dyno_record_check(&record, NULL) == DYNO_OK);
    dyno_record_encode(&record, bytes);
    CHECK(dyno_record_decode(bytes, &back, NULL) == DYNO_OK);
    CHECK(same(&record, &back));
    CHECK(back.memory_byte_ns == record.memory_byte_ns && back.reference_ns == 2345678901234 &&
          dyno_record_name(&back, DYNO_NAME_TARIFF) == 9 && back.batch_count == 4 &&
          back.id.seq == 42 && back.start_ns == record.start_ns);
    struct dyno_record gone = {.id = {7, 3, 43}, .kind = DYNO_RECORD_VOID, .voids = {7, 2, 41}};
    CHECK(dyno_record_check(&gone, NULL) == DYNO_OK);
    dyno_record_encode(&gone, bytes);
    CHECK(dyno_record_decode(bytes, &back, NULL) == DYNO_OK);
    CHECK(back.voids.node == 7 && back.voids.epoch == 2 && back.voids.seq == 41 &&
          back.batch_id == 0 && back.batch_count == 0);
}

/* The bytes are a promise: this is what the document says. */
static void test_layout(void)
{
    const struct dyno_record record = usage();
    uint8_t bytes[DYNO_RECORD_BYTES];
    dyno_record_encode(&record, bytes);
    CHECK(dyno_le_u16(bytes) == 1 && bytes[2] == 1 && bytes[3] == 1);
    CHECK(dyno_le_u32(bytes + 8) == 7 && dyno_le_u32(bytes + 12) == 1764401000);
    CHECK(dyno_le_u64(bytes + 16) == 42 && dyno_le_u32(bytes + 24) == 1);
    CHECK(dyno_le_u32(bytes + 56) == 9 && dyno_le_u32(bytes + 60) == 16);
    CHECK(dyno_le_u64(bytes + 64) == 99 && dyno_le_u64(bytes + 72) == record.start_ns);
    CHECK(dyno_le_u64(bytes + 80) == 12345 && dyno_le_u64(bytes + 88) == 678901234);
    CHECK(dyno_le_u64(bytes + 96) == 2345678901234);
    CHECK(dyno_le_u64(bytes + 104) == 17 && dyno_le_u64(bytes + 112) == 5);
    CHECK(dyno_le_u32(bytes + 120) == 4 && dyno_le_u32(bytes + 124) == dyno_crc32c(0, bytes, 124));
}

static void test_flips(void)
{
    const struct dyno_record record = usage();
    uint8_t bytes[DYNO_RECORD_BYTES];
    struct dyno_record back;
    dyno_record_encode(&record, bytes);
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        struct dyno_err err = {0};
        bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        CHECK(dyno_record_decode(bytes, &back, &err) == DYNO_E_CORRUPT && err.text[0] != 0);
        bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
    bytes[0] = 2; /* a format of the future, with its checksum right */
    dyno_le_put_u32(bytes + 124, dyno_crc32c(0, bytes, 124));
    CHECK(dyno_record_decode(bytes, &back, NULL) == DYNO_E_UNSUPPORTED);
}

static void refuse(const char *field, struct dyno_record record)
{
    struct dyno_err err = {0};
    struct dyno_record back;
    uint8_t bytes[DYNO_RECORD_BYTES];
    CHECK_MSG(dyno_record_check(&record, &err) == DYNO_E_ARG && err.text[0] != 0, "%s", field);
    dyno_record_encode(&record, bytes);
    err = (struct dyno_err){0};
    CHECK_MSG(dyno_record_decode(bytes, &back, &err) == DYNO_E_FORMAT, "%s", field);
    CHECK(err.status == DYNO_E_FORMAT && err.text[0] != 0);
}

static void test_rules(void)
{
    static const enum dyno_outcome nothing[] = {DYNO_OUTCOME_FAILED, DYNO_OUTCOME_REFUSED,
                                                DYNO_OUTCOME_CACHED, DYNO_OUTCOME_CANCELLED};
    struct dyno_record r;
#define REFUSE(field, value) (r = usage(), r.field = (value), refuse(#field, r))
    REFUSE(kind, (enum dyno_record_kind)0);
    REFUSE(kind, (enum dyno_record_kind)77);
    REFUSE(outcome, (enum dyno_outcome)55);
    REFUSE(outcome, DYNO_OUTCOME_NONE);
    REFUSE(flags, 0x8000);
    REFUSE(names[0], 0); /* no tenant */
    REFUSE(names[1], 0); /* no model */
    REFUSE(batch_id, 0);
    REFUSE(batch_count, 0);
    REFUSE(kind, DYNO_RECORD_IDLE);
    for (size_t i = 0; i < DYNO_COUNT(nothing); i++) /* a cached answer delivers nothing */
        REFUSE(outcome, nothing[i]);
    refuse("void of nothing", (struct dyno_record){.id = {1, 1, 1}, .kind = DYNO_RECORD_VOID});
    refuse("void with amounts",
           (struct dyno_record){
               .id = {1, 1, 2}, .kind = DYNO_RECORD_VOID, .voids = {1, 1, 1}, .device_ns = 1});
    refuse("idle in a batch",
           (struct dyno_record){.id = {1, 1, 2}, .kind = DYNO_RECORD_IDLE, .batch_count = 1});
    uint8_t bytes[DYNO_RECORD_BYTES];
    r = usage();
    r.id.seq = 0;
    dyno_record_encode(&r, bytes);
    CHECK(dyno_record_decode(bytes, &r, NULL) == DYNO_E_FORMAT);
}

static void test_ids(void)
{
    static const char *const bad[] = {"",
                                      "1",
                                      "1-2",
                                      "1-2-",
                                      "1-2-3-",
                                      "-1-2-3",
                                      "1-0-3",
                                      "1-2-0",
                                      "a-2-3",
                                      "1-2-3 ",
                                      "1- 2-3",
                                      "1--2",
                                      "1-2-18446744073709551616",
                                      "4294967296-1-1",
                                      "1-4294967296-1"};
    char text[DYNO_RECORD_TEXT_ROOM];
    struct dyno_record_id id = {UINT32_MAX, UINT32_MAX, UINT64_MAX};
    CHECK_STR(dyno_record_id_text(id, text), "4294967295-4294967295-18446744073709551615");
    CHECK(dyno_record_id_parse(text, &id, NULL) == DYNO_OK);
    CHECK(id.node == UINT32_MAX && id.epoch == UINT32_MAX && id.seq == UINT64_MAX);
    for (size_t i = 0; i < DYNO_COUNT(bad); i++) {
        struct dyno_err err = {0};
        CHECK_MSG(dyno_record_id_parse(bad[i], &id, &err) == DYNO_E_ARG, "%s", bad[i]);
        CHECK(strstr(err.text, "NODE-EPOCH-SEQ") != NULL);
    }
}

static void test_words(void)
{
    struct dyno_strbuf text = {0};
    dyno_record_flags_print(DYNO_RECORD_RELAXED | DYNO_RECORD_DEGRADED, &text);
    CHECK_STR(dyno_strbuf_text(&text), "relaxed,degraded");
    dyno_strbuf_fini(&text);
    CHECK_STR(dyno_record_kind_text(DYNO_RECORD_IDLE), "idle");
    CHECK_STR(dyno_name_kind_text(DYNO_NAME_REFERENCE), "reference_certificate");
    CHECK(dyno_name_kind_text(0) == NULL && dyno_name_kind_text(DYNO_NAME_KINDS + 1) == NULL);
    CHECK(dyno_record_kind_text(6) == NULL && dyno_outcome_text(6) == NULL);
}

static void test_wide(void)
{
    static const char largest[] = "340282366920938463463374607431768211455";
    char text[DYNO_U128_TEXT_ROOM];
    dyno_u128 value = 0;
    CHECK_STR(dyno_u128_text(~(dyno_u128)0, text), largest);
    CHECK(dyno_u128_parse(largest, strlen(largest), &value) && value == ~(dyno_u128)0);
    CHECK(!dyno_u128_parse("340282366920938463463374607431768211456", 39, &value));
    CHECK(!dyno_u128_parse("", 0, &value) && !dyno_u128_parse("1x", 2, &value));
    CHECK_STR(dyno_u128_text(0, text), "0");
    CHECK_STR(dyno_i128_text(-17, text), "-17");
    CHECK_STR(dyno_i128_text((dyno_i128)((dyno_u128)1 << 127), text),
              "-170141183460469231731687303715884105728");
    for (int i = 0; i < 1000; i++) {
        const dyno_u128 any = ((dyno_u128)random_bits(64) << 64) | random_u64();
        (void)dyno_u128_text(any, text);
        CHECK(dyno_u128_parse(text, strlen(text), &value) && value == any);
    }
}

int main(void)
{
    test_round();
    test_layout();
    test_flips();
    test_rules();
    test_ids();
    test_words();
    test_wide();
    return TEST_RESULT();
}
