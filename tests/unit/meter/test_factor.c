/* test_factor.c - the table of devices: what it says, what it refuses, how a row is added. */
#include "meter/cert/factor.h"

#include "base/mem.h"
#include "cert_case.h"
#include "test.h"

static struct dyno_arena *arena;

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define PAIR(ratio)                                                        \
    "{\"model\": \"" HASH "\", \"here\": \"" HASH "\", \"there\": \"" HASH \
    "\", \"ratio_1e9\": " ratio "}"
#define FIRST       "{\"class\": \"r\", \"factor_1e9\": 1000000000, \"source\": \"definition\"}"
#define TABLE(rows) "{\"dyno_device_factors\": 1, \"reference\": \"r\", \"devices\": [" rows "]}"

static enum dyno_status parse(const char *text, struct dyno_factors *factors, struct dyno_err *err)
{
    return dyno_factors_parse(text, strlen(text), arena, factors, err);
}

static void test_reading(void)
{
    static const char text[] = TABLE(
        FIRST
        ", {\"class\": \"a\", \"factor_1e9\": 500000000, \"source\": \"measured\","
        " \"pairs\": [" PAIR("250000000") ", " PAIR(
            "1000000000") "]},"
                          " {\"class\": \"b\", \"factor_1e9\": 12345678, \"source\": \"elsewhere\","
                          " \"from\": \"a paper\"}");
    struct dyno_factors factors;
    struct dyno_err err = {0};
    CHECK_MSG(parse(text, &factors, &err) == DYNO_OK, "%s", err.text);
    CHECK(factors.row_count == 3 && factors.rows[1].pair_count == 2);
    CHECK(dyno_factors_find(&factors, "r") == DYNO_FACTOR_ONE);
    CHECK(dyno_factors_find(&factors, "") == DYNO_FACTOR_ONE);
    CHECK(dyno_factors_find(&factors, "a") == 500000000);
    CHECK(dyno_factors_find(&factors, "c") == 0);
    struct dyno_strbuf out = {0};
    struct dyno_strbuf again = {0};
    dyno_factors_print(&factors, &out);
    CHECK(dyno_factors_parse(dyno_strbuf_text(&out), out.bytes, arena, &factors, NULL) == DYNO_OK);
    dyno_factors_print(&factors, &again);
    CHECK_STR(dyno_strbuf_text(&again), dyno_strbuf_text(&out));
    dyno_strbuf_fini(&out);
    dyno_strbuf_fini(&again);
}

static void test_refusals(void)
{
#define ROW(more) TABLE(FIRST ", {\"class\": \"a\", " more "}")
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"[]", "it is no table of device factors"},
        {"{\"dyno_device_factors\": 2}", "it is no table of device factors"},
        {"{\"dyno_device_factors\": 1, \"reference\": \"\"}", "reference must be a text"},
        {TABLE(""), "devices must be an array of 1 to 1000"},
        {TABLE("7"), "class must be a text"},
        {TABLE("{\"class\": \"x\", \"factor_1e9\": 1000000000, \"source\": \"definition\"}"),
         "device 'x': the first row is not that of reference"},
        {TABLE("{\"class\": \"r\", \"factor_1e9\": 2, \"source\": \"definition\"}"),
         "device 'r': the reference device's factor_1e9 is 1000000000"},
        {TABLE("{\"class\": \"r\", \"factor_1e9\": 1000000000, \"source\": \"definition\","
               " \"from\": 7}"),
         "device 'r': from must be a text"},
        {TABLE("{\"class\": \"r\", \"factor_1e9\": 2, \"source\": \"elsewhere\", \"from\": \"x\"}"),
         "the first row, and no other"},
        {TABLE(FIRST ", " FIRST), "the first row, and no other"},
        {ROW("\"factor_1e9\": 0, \"source\": \"elsewhere\", \"from\": \"x\""),
         "device 'a': factor_1e9 must be a whole number from 1"},
        {ROW("\"factor_1e9\": -5, \"source\": \"elsewhere\", \"from\": \"x\""), "factor_1e9 must"},
        {ROW("\"factor_1e9\": 0.5, \"source\": \"elsewhere\", \"from\": \"x\""), "factor_1e9 must"},
        {ROW("\"factor_1e9\": 5, \"source\": \"elsewhere\""), "from must be a text"},
        {ROW("\"factor_1e9\": 5, \"source\": \"guess\""), "source must be definition, measured"},
        {ROW("\"factor_1e9\": 5, \"source\": \"measured\""), "pairs must be an array"},
        {ROW("\"factor_1e9\": 5, \"source\": \"measured\", \"pairs\": [" PAIR("500000000") "]"),
         "factor_1e9 is 5, and the mean of its pairs is 500000000"},
        {ROW("\"factor_1e9\": 5, \"source\": \"measured\", \"pairs\": [{\"model\": \"x\"}]"),
         "model must be a SHA-256"},
        {TABLE(FIRST ", {\"class\": \"a\", \"factor_1e9\": 5, \"source\": \"elsewhere\", \"from\":"
                     " \"x\"}, {\"class\": \"a\", \"factor_1e9\": 5, \"source\": \"elsewhere\","
                     " \"from\": \"x\"}"),
         "device 'a': there are two rows of this class"},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct dyno_factors factors;
        struct dyno_err err = {0};
        CHECK_MSG(parse(rows[i].text, &factors, &err) == DYNO_E_FORMAT, "row %zu", i);
        CHECK_MSG(strstr(err.text, rows[i].says) != NULL, "row %zu: %s", i, err.text);
    }
}

static struct dyno_cert *cert_of(const char *device_class, double item_ns)
{
    struct cert_case c = cert_good;
    c.item_ns = item_ns;
    struct dyno_cert *cert = cert_case_make(DYNO_CERT_REFERENCE, &c, 7);
    cert->device_class = device_class;
    CHECK(dyno_cert_derive(cert, NULL) == DYNO_OK && cert->outcome == DYNO_CERT_ACCEPTED);
    return cert;
}

/* A device that takes a quarter of the time has a factor of a quarter, from one model and from two.
 */
static void test_adding(void)
{
    struct dyno_factors factors;
    struct dyno_err err = {0};
    struct dyno_cert *there = cert_of("r", 20e6);
    struct dyno_cert *here = cert_of("fast", 5e6);
    CHECK(parse(TABLE(FIRST ", {\"class\": \"b\", \"factor_1e9\": 5, \"source\": \"elsewhere\","
                            " \"from\": \"x\"}"),
                &factors, NULL) == DYNO_OK);
    CHECK_MSG(dyno_factors_add(&factors, here, there, arena, &err) == DYNO_OK, "%s", err.text);
    const uint64_t factor = dyno_factors_find(&factors, "fast");
    CHECK_MSG(factor > 245000000 && factor < 255000000, "%llu", (unsigned long long)factor);
    CHECK(factors.row_count == 3 && factors.rows[2].source == DYNO_FACTOR_MEASURED);
    CHECK(dyno_factors_add(&factors, here, there, arena, NULL) == DYNO_OK); /* again: one pair */
    CHECK(factors.rows[2].pair_count == 1 && dyno_factors_find(&factors, "fast") == factor);
    struct dyno_strbuf out = {0};
    dyno_factors_print(&factors, &out);
    CHECK(dyno_factors_parse(dyno_strbuf_text(&out), out.bytes, arena, &factors, NULL) == DYNO_OK);
    dyno_strbuf_fini(&out);
    here->device_class = "b";
    CHECK(dyno_factors_add(&factors, here, there, arena, NULL) == DYNO_E_EXISTS);
    here->device_class = "fast";
    there->model.bytes[0] ^= 1;
    CHECK(dyno_factors_add(&factors, here, there, arena, NULL) == DYNO_E_MISMATCH);
    there->outcome = DYNO_CERT_TRIAL;
    CHECK(dyno_factors_add(&factors, here, there, arena, NULL) == DYNO_E_DENIED);
    dyno_cert_destroy(here);
    dyno_cert_destroy(there);
}

int main(void)
{
    arena = dyno_arena_create();
    REQUIRE(arena != NULL);
    test_reading();
    test_refusals();
    test_adding();
    dyno_arena_destroy(arena);
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
