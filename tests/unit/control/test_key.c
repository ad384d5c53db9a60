/* test_key.c - keys, names, permits, days and months. */
#include "control/control.h"
#include "test.h"

static void test_keys(void)
{
    struct dyno_key a;
    struct dyno_key b;
    uint8_t digest[DYNO_DIGEST_BYTES];
    uint8_t other[DYNO_DIGEST_BYTES];
    CHECK(dyno_key_make(&a, NULL) == DYNO_OK && dyno_key_make(&b, NULL) == DYNO_OK);
    CHECK(strlen(a.text) == DYNO_KEY_TEXT_BYTES && strcmp(a.text, b.text) != 0);
    CHECK(strcmp(a.id, b.id) != 0 && strstr(a.text, a.id) == a.text + strlen(DYNO_KEY_PREFIX));
    CHECK(dyno_key_id_ok(a.id) && !dyno_key_id_ok(a.text) && !dyno_key_id_ok(""));
    CHECK(!dyno_key_id_ok("00000000000G") && !dyno_key_id_ok("0000000000000"));
    CHECK(dyno_key_digest(a.text, DYNO_KEY_TEXT_BYTES, digest));
    CHECK(dyno_key_digest(a.text, DYNO_KEY_TEXT_BYTES, other) && dyno_digest_same(digest, other));
    for (size_t i = 0; i < DYNO_DIGEST_BYTES; i++) {
        other[i] ^= 1U;
        CHECK(!dyno_digest_same(digest, other));
        other[i] ^= 1U;
    }
    CHECK(dyno_key_digest(b.text, DYNO_KEY_TEXT_BYTES, other) && !dyno_digest_same(digest, other));
    /* Every place matters, and what has no form of a key is not hashed. */
    CHECK(!dyno_key_digest(a.text, DYNO_KEY_TEXT_BYTES - 1, other));
    for (size_t i = 0; i < DYNO_KEY_TEXT_BYTES; i++) {
        const char kept = a.text[i];
        a.text[i] = 'g'; /* no digit, no underscore, in no prefix */
        CHECK(!dyno_key_digest(a.text, DYNO_KEY_TEXT_BYTES, other));
        a.text[i] = kept;
    }
    dyno_key_wipe(&a);
    const struct dyno_key nothing = {0};
    CHECK(test_same(&a, &nothing, sizeof(a)));
}

/* The digest is plain SHA-256 of the text: what sha256sum says. */
static void test_known_digest(void)
{
    static const uint8_t want[] = {0x71, 0x73, 0x8b, 0x95, 0x12, 0xe2, 0x77, 0xb2};
    char text[DYNO_KEY_TEXT_BYTES + 1];
    uint8_t digest[DYNO_DIGEST_BYTES];
    (void)snprintf(text, sizeof(text), "dyno_0123456789ab_%064d", 7);
    REQUIRE(dyno_key_digest(text, DYNO_KEY_TEXT_BYTES, digest));
    CHECK(test_same(digest, want, sizeof(want)));
}

static void test_names(void)
{
    char longest[DYNO_CONTROL_NAME_BYTES_MAX + 2];
    CHECK(dyno_control_name_ok("a") && dyno_control_name_ok("9.A_b-c"));
    CHECK(!dyno_control_name_ok("") && !dyno_control_name_ok("-a") && !dyno_control_name_ok("."));
    CHECK(!dyno_control_name_ok("a b") && !dyno_control_name_ok("a/b") &&
          !dyno_control_name_ok("\xc3\xa9"));
    memset(longest, 'a', sizeof(longest));
    longest[DYNO_CONTROL_NAME_BYTES_MAX + 1] = 0;
    CHECK(!dyno_control_name_ok(longest));
    longest[DYNO_CONTROL_NAME_BYTES_MAX] = 0;
    CHECK(dyno_control_name_ok(longest));
}

static void test_permits(void)
{
    static const char *const bad[] = {"", ",", "infer,", ",read", "all", "infer read", "INFER"};
    uint32_t permits = 0;
    struct dyno_strbuf text = {0};
    CHECK(dyno_permits_parse("metrics,infer", &permits, NULL) == DYNO_OK);
    CHECK(permits == (DYNO_PERMIT_METRICS | DYNO_PERMIT_INFER));
    dyno_permits_print(permits, &text);
    CHECK_STR(dyno_strbuf_text(&text), "infer,metrics");
    dyno_strbuf_clear(&text);
    dyno_permits_print(DYNO_PERMIT_ALL, &text);
    CHECK(dyno_permits_parse(dyno_strbuf_text(&text), &permits, NULL) == DYNO_OK);
    CHECK(permits == DYNO_PERMIT_ALL);
    dyno_strbuf_fini(&text);
    for (size_t i = 0; i < DYNO_COUNT(bad); i++) {
        struct dyno_err err = {0};
        CHECK(dyno_permits_parse(bad[i], &permits, &err) == DYNO_E_ARG);
        CHECK(strstr(err.text, "is no list of rights") != NULL);
    }
}

static void check_month(int64_t day, int64_t first_want, int64_t next_want)
{
    int64_t first = 0;
    int64_t next = 0;
    dyno_period_of(DYNO_PERIOD_MONTH, day, &first, &next);
    CHECK_MSG(first == first_want && next == next_want, "day %lld: %lld to %lld", (long long)day,
              (long long)first, (long long)next);
    dyno_period_of(DYNO_PERIOD_DAY, day, &first, &next);
    CHECK(first == day && next == day + 1);
}

static void test_calendar(void)
{
    char text[DYNO_TIME_TEXT_ROOM];
    check_month(0, 0, 31);
    check_month(30, 0, 31);
    check_month(31, 31, 59);
    check_month(11016, 10988, 11017); /* 29 February 2000 */
    check_month(20088, 20058, 20089); /* 31 December 2024 */
    CHECK_STR(dyno_time_text(0, text), "1970-01-01T00:00:00Z");
    CHECK_STR(dyno_time_text(INT64_C(20089) * DYNO_DAY_S + 3661, text), "2025-01-01T01:01:01Z");
    CHECK_STR(dyno_time_text(INT64_MIN, text), "1970-01-01T00:00:00Z");
    CHECK_STR(dyno_time_text(INT64_MAX, text), "9999-12-31T23:59:59Z");
    CHECK(dyno_day_of(dyno_now_s()) > 20000);
}

int main(void)
{
    test_keys();
    test_known_digest();
    test_names();
    test_permits();
    test_calendar();
    return TEST_RESULT();
}
