/* Certificates of a GPU, of made-up samples: their version, what they say of the card, its clock.
 */
#include "test.h"
#include "unit/meter/cert_case.h"

static const struct dyno_cert_gpu card = {.compute = 90,
                                          .cuda = 13000,
                                          .driver = "580.1.02",
                                          .multiprocessors = 132,
                                          .memory_bytes = 150 * UINT64_C(1000000000),
                                          .power_limit_mw = 700000,
                                          .memory_mhz = 3201,
                                          .libraries = "cuDNN 9.19.0",
                                          .host = "a processor",
                                          .by_host = {false, true}};

static struct dyno_cert *make(enum dyno_cert_kind kind, const struct dyno_cert_energy *energy)
{
    struct dyno_err err = {0};
    struct cert_case c = cert_good;
    c.axis_count = 0;
    struct dyno_cert *cert = cert_case_make(kind, &c, 7);
    cert->gpu = card;
    if (energy != NULL)
        cert->energy = *energy;
    CHECK_MSG(dyno_cert_derive(cert, &err) == DYNO_OK, "%s", err.text);
    return cert;
}

static void text_of(const struct dyno_cert *cert, struct dyno_strbuf *text)
{
    dyno_strbuf_clear(text);
    dyno_cert_text(cert, text);
    CHECK(dyno_strbuf_ok(text));
}

/* --- texts --- */

static void test_round_trip(void)
{
    const struct dyno_cert_energy energy = {.items = {1000, 4000}, .millijoules = {250000, 300001}};
    struct dyno_strbuf text = {0}, again = {0};
    for (int kind = DYNO_CERT_REFERENCE; kind <= DYNO_CERT_ENGINE; kind++) {
        struct dyno_err err = {0};
        struct dyno_cert *read = NULL;
        struct dyno_cert *cert =
            make((enum dyno_cert_kind)kind, kind == DYNO_CERT_ENGINE ? &energy : NULL);
        CHECK(cert->outcome == DYNO_CERT_ACCEPTED);
        text_of(cert, &text);
        CHECK(strncmp(text.text, "{\"dyno_certificate\":2,", 22) == 0);
        CHECK(
            strstr(
                text.text,
                "\"gpu\":{\"compute\":90,\"cuda\":13000,\"driver\":\"580.1.02\",\"multiprocessors\":132,"
                "\"memory_bytes\":150000000000,\"power_limit_mw\":700000,"
                "\"memory_mhz\":3201,\"libraries\":\"cuDNN 9.19.0\","
                "\"host\":\"a processor\",\"timed_by\":[\"events\",\"host\"]}") != NULL);
        REQUIRE(dyno_cert_parse(text.text, text.bytes, &read, &err) == DYNO_OK);
        text_of(read, &again);
        CHECK_STR(dyno_strbuf_text(&again), dyno_strbuf_text(&text));
        CHECK(dyno_cert_same(&read->address, &cert->address));
        CHECK(read->gpu.by_host[1] && !read->gpu.by_host[0] && read->gpu.multiprocessors == 132);
        if (kind == DYNO_CERT_ENGINE) {
            CHECK(read->energy.item_uj[0] == 250000 && read->energy.item_uj[1] == 75000);
            CHECK(strstr(text.text,
                         "\"energy\":{\"estimate\":true,\"baseline\":[1000,250000],"
                         "\"engine\":[4000,300001],\"item_uj\":[250000,75000]}") != NULL);
        }
        dyno_cert_destroy(read);
        dyno_cert_destroy(cert);
    }
    struct dyno_cert *cert = make(DYNO_CERT_ENGINE, NULL);
    text_of(cert, &text);
    CHECK(strstr(text.text, "\"energy\":null,") != NULL);
    dyno_cert_destroy(cert);
    dyno_strbuf_fini(&text);
    dyno_strbuf_fini(&again);
}

static void edited(const char *from, const char *to, enum dyno_status status, const char *says)
{
    const struct dyno_cert_energy energy = {.items = {1000, 4000}, .millijoules = {250000, 300000}};
    struct dyno_strbuf text = {0}, changed = {0};
    struct dyno_cert *cert = make(DYNO_CERT_ENGINE, &energy);
    struct dyno_cert *read = NULL;
    struct dyno_err err = {0};
    text_of(cert, &text);
    const char *at = strstr(text.text, from);
    REQUIRE(at != NULL);
    dyno_strbuf_add(&changed, text.text, (size_t)(at - text.text));
    dyno_strbuf_puts(&changed, to);
    dyno_strbuf_puts(&changed, at + strlen(from));
    const enum dyno_status got = dyno_cert_parse(changed.text, changed.bytes, &read, &err);
    CHECK_MSG(got == status && read == NULL && strstr(err.text, says) != NULL,
              "'%s' to '%s': %d, '%s'", from, to, (int)got, err.text);
    dyno_cert_destroy(read);
    dyno_cert_destroy(cert);
    dyno_strbuf_fini(&changed);
    dyno_strbuf_fini(&text);
}

static void test_edited(void)
{
    edited("\"dyno_certificate\":2", "\"dyno_certificate\":1", DYNO_E_CORRUPT, "edited");
    edited("\"dyno_certificate\":2", "\"dyno_certificate\":3", DYNO_E_UNSUPPORTED,
           "a certificate of version 3, this build knows versions 1 and 2");
    edited("\"compute\":90", "\"compute\":0", DYNO_E_FORMAT, "a GPU of compute capability 0");
    edited("\"gpu\":", "\"cpu\":", DYNO_E_FORMAT, "'gpu' is missing");
    edited("[\"events\",\"host\"]", "[\"events\"]", DYNO_E_FORMAT,
           "'timed_by' is not of two sides");
    edited("[\"events\",\"host\"]", "[\"events\",7]", DYNO_E_FORMAT, "'timed_by' is not a list");
    edited("[\"events\",\"host\"]", "[\"events\",\"sun\"]", DYNO_E_CORRUPT, "edited");
    edited("\"item_uj\":[250000", "\"item_uj\":[250001", DYNO_E_CORRUPT, "edited");
    edited("\"estimate\":true", "\"estimate\":false", DYNO_E_CORRUPT, "edited");
    edited("\"engine\":[4000,300000]", "\"engine\":[0,300000]", DYNO_E_FORMAT,
           "the energy is not possible");
    edited("\"energy\":{", "\"energy\":[],\"more\":{", DYNO_E_CORRUPT, "edited");
}

/* A certificate of the CPU has no energy, whatever its text says. */
static void test_of_the_cpu(void)
{
    struct dyno_strbuf text = {0}, changed = {0};
    struct dyno_err err = {0};
    struct dyno_cert *read = NULL;
    struct cert_case c = cert_good;
    struct dyno_cert *cert = cert_case_make(DYNO_CERT_ENGINE, &c, 7);
    REQUIRE(dyno_cert_derive(cert, &err) == DYNO_OK);
    text_of(cert, &text);
    CHECK(strncmp(text.text, "{\"dyno_certificate\":1,", 22) == 0);
    CHECK(strstr(text.text, "\"gpu\"") == NULL);
    const char *at = strstr(text.text, "\"energy\":null");
    REQUIRE(at != NULL);
    dyno_strbuf_add(&changed, text.text, (size_t)(at - text.text));
    dyno_strbuf_puts(&changed, "\"energy\":{\"estimate\":true,\"baseline\":[1,1],\"engine\":[1,1],"
                               "\"item_uj\":[1000,1000]}");
    dyno_strbuf_puts(&changed, at + strlen("\"energy\":null"));
    CHECK(dyno_cert_parse(changed.text, changed.bytes, &read, &err) == DYNO_E_CORRUPT);
    dyno_cert_destroy(cert);
    dyno_strbuf_fini(&text);
    dyno_strbuf_fini(&changed);
}

/* --- the clock --- */

static bool held(bool on_gpu, const uint64_t chain_ns[4], uint64_t steal_ns)
{
    struct dyno_cert_block block;
    for (int i = 0; i < 4; i++)
        block.segments[i] = (struct dyno_cert_segment){
            .items = 1, .ns = 1000000, .chain_ns = chain_ns[i], .steal_ns = steal_ns};
    return dyno_cert_block_held(&block, on_gpu);
}

static void test_clock(void)
{
    static const uint64_t steady[] = {66000, 66500, 66300, 66100};
    static const uint64_t apart[] = {66000, 77000, 77100,
                                     66100}; /* B's load takes the clock down */
    static const uint64_t a_moved[] = {66000, 66000, 66000, 68000};
    static const uint64_t b_moved[] = {66000, 66000, 68000, 66000};
    static const uint64_t untold[] = {0, 0, 0, 0};
    static const uint64_t half_told[] = {66000, 0, 66000, 66000};
    CHECK(held(true, steady, 0) && held(false, steady, 0));
    CHECK(held(true, apart, 0) && !held(false, apart, 0));
    CHECK(!held(true, a_moved, 0) && !held(true, b_moved, 0));
    CHECK(held(true, untold, 0) && !held(false, untold, 0));
    CHECK(!held(true, half_told, 0));
    CHECK(held(true, steady, 20000) && !held(true, steady, 20001)); /* 2 % of the block */
}

/* --- pairs --- */

static void test_pair(void)
{
    struct dyno_err err = {0};
    struct dyno_cert *reference = make(DYNO_CERT_REFERENCE, NULL);
    struct dyno_cert *engine = make(DYNO_CERT_ENGINE, NULL);
    engine->reference = reference->address;
    CHECK(dyno_cert_check_pair(engine, reference, &err) == DYNO_OK);
    engine->gpu.compute = 80;
    CHECK(dyno_cert_check_pair(engine, reference, &err) == DYNO_E_MISMATCH);
    CHECK(strstr(err.text, "not of the same device") != NULL);
    dyno_cert_destroy(engine);
    dyno_cert_destroy(reference);
}

int main(void)
{
    test_round_trip();
    test_edited();
    test_of_the_cpu();
    test_clock();
    test_pair();
    return TEST_RESULT();
}
