/* Certificates of made-up samples: what is derived, what is refused, what is edited. */
#include <math.h>

#include "base/mem.h"
#include "test.h"
#include "unit/meter/cert_case.h"

static struct dyno_cert *make(enum dyno_cert_kind kind, const struct cert_case *c)
{
    struct dyno_err err = {0};
    struct dyno_cert *cert = cert_case_make(kind, c, 7);
    CHECK_MSG(dyno_cert_derive(cert, &err) == DYNO_OK, "%s", err.text);
    return cert;
}

/* --- what follows from the samples --- */

static void test_reference(void)
{
    struct dyno_cert *cert = make(DYNO_CERT_REFERENCE, &cert_good);
    const struct dyno_cert_point *points = dyno_cert_points(cert);
    CHECK_MSG(cert->outcome == DYNO_CERT_ACCEPTED, "%s", cert->reason);
    CHECK(cert->batch == 2); /* 47, 50, 51.3 items a second */
    for (uint32_t i = 0; i < 3; i++) {
        const double truth = 20e6 * (double)(1U << i);
        CHECK(points[i].at[0] == 100 << i);
        CHECK((double)points[i].t_ref_ns <= truth && (double)points[i].t_ref_ns > truth * 0.99);
        CHECK(points[i].t_ref_ns == (uint64_t)points[i].item_ns.lower);
        CHECK(points[i].item_ns.lower < truth && points[i].item_ns.upper > truth);
        CHECK(points[i].kept_count == 20 && points[i].dropped_count == 0);
    }
    dyno_cert_destroy(cert);
    /* Steps by their slow reference count nothing. */
    struct cert_case c = cert_good;
    c.opaque = 0.04;
    cert = make(DYNO_CERT_REFERENCE, &c);
    points = dyno_cert_points(cert);
    CHECK(cert->outcome == DYNO_CERT_ACCEPTED);
    CHECK(points[0].t_ref_ns == (uint64_t)(points[0].item_ns.lower * 0.96));
    dyno_cert_destroy(cert);
}

static void test_engine(void)
{
    struct dyno_cert *cert = make(DYNO_CERT_ENGINE, &cert_good);
    CHECK_MSG(cert->outcome == DYNO_CERT_ACCEPTED, "%s", cert->reason);
    CHECK(cert->speedup_1e6[0] < 4000000 && cert->speedup_1e6[0] > 3940000);
    CHECK(cert->speedup_1e6[2] > 4000000 && cert->speedup_1e6[2] < 4060000);
    CHECK(cert->speedup_1e6[1] > cert->speedup_1e6[0] &&
          cert->speedup_1e6[1] < cert->speedup_1e6[2]);
    /* A price takes the upper end and the tariff's limits, a claim the lower end. */
    CHECK(dyno_cert_billed_speedup_1e6(cert, 10000000) == cert->speedup_1e6[2]);
    CHECK(dyno_cert_billed_speedup_1e6(cert, 3000000) == 3000000);
    CHECK(dyno_cert_claimed_speedup_1e6(cert) == cert->speedup_1e6[0]);
    CHECK(cert->accuracy.agreement_1e6 == 999999);
    const struct dyno_cert_scenarios *scenarios = &cert->scenarios;
    CHECK(scenarios->single_stream_p90_ns[0] > 20000000 &&
          scenarios->single_stream_p90_ns[0] < 20200000);
    CHECK(scenarios->multi_stream_p99_ns[1] > 40000000 &&
          scenarios->multi_stream_p99_ns[1] < 41000000);
    CHECK(scenarios->offline_1e6[0] > 49500000 && scenarios->offline_1e6[0] < 50500000);
    CHECK(scenarios->server_1e6[0] > 0 && scenarios->server_1e6[1] > 4 * scenarios->server_1e6[0]);
    CHECK(scenarios->slo_1e6 > 4000000);
    dyno_cert_destroy(cert);
    struct cert_case slow = cert_good;
    slow.speedup = 0.8;
    cert = make(DYNO_CERT_ENGINE, &slow);
    CHECK(cert->speedup_1e6[2] < 1000000);                         /* the truth is kept ... */
    CHECK(dyno_cert_billed_speedup_1e6(cert, 9000000) == 1000000); /* ... and never billed */
    CHECK(dyno_cert_claimed_speedup_1e6(cert) == 1000000);
    dyno_cert_destroy(cert);
}

static void test_too_few_queries(void)
{
    struct cert_case c = cert_good;
    c.runs = 60;
    struct dyno_cert *cert = make(DYNO_CERT_ENGINE, &c);
    CHECK(cert->scenarios.single_stream_p90_ns[0] > 0);
    CHECK(cert->scenarios.multi_stream_p99_ns[0] == 0 && cert->scenarios.server_1e6[0] == 0);
    CHECK(cert->scenarios.slo_1e6 == 0 && cert->scenarios.offline_1e6[0] > 0);
    dyno_cert_destroy(cert);
    c.runs = 0;
    cert = make(DYNO_CERT_ENGINE, &c);
    CHECK(cert->scenarios.single_stream_p90_ns[0] == 0 && cert->outcome == DYNO_CERT_ACCEPTED);
    dyno_cert_destroy(cert);
}

/* --- what is refused --- */

static void refused(enum dyno_cert_kind kind, const struct cert_case *c, const char *rule,
                    const char *says)
{
    struct dyno_cert *cert = make(kind, c);
    CHECK_STR(cert->rule, rule);
    CHECK_MSG(cert->outcome == DYNO_CERT_REFUSED && strstr(cert->reason, says) != NULL,
              "got '%s', want '%s'", cert->reason, says);
    const struct dyno_cert_want want = {.to_bill = true};
    struct dyno_err err = {0};
    CHECK(dyno_cert_check(cert, &want, &err) == DYNO_E_DENIED);
    dyno_cert_destroy(cert);
}

static void test_refusals(void)
{
    struct cert_case c = cert_good;
    c.bias = 0.02;
    refused(DYNO_CERT_REFERENCE, &c, "control", "at 100: the A/A control is -1.8");
    refused(DYNO_CERT_ENGINE, &c, "control", "0 must lie inside");
    c = cert_good;
    c.noise = 0.15;
    refused(DYNO_CERT_ENGINE, &c, "control", "half the width under 3 %");
    c = cert_good;
    c.warm_up = 0.08;
    refused(DYNO_CERT_REFERENCE, &c, "steady",
            "no steady state: from block 9 of 20 on the level is -7.");
    c = cert_good;
    c.slow_clocks = 1;
    refused(
        DYNO_CERT_ENGINE, &c, "clock",
        "process 1: 3 of 4 blocks had a steady clock and the processor to themselves, 4 are wanted");
    c.slow_clocks = 4;
    refused(DYNO_CERT_REFERENCE, &c, "clock", "0 of 4 blocks had a steady clock");
    c = cert_good;
    c.opaque = 0.0501;
    refused(DYNO_CERT_REFERENCE, &c, "opaque",
            "5.0 % of the baseline's time goes into steps without a kernel");
    c = cert_good;
    c.error_1e9 = 10000001;
    refused(DYNO_CERT_ENGINE, &c, "accuracy",
            "agrees with FP32 to 98.9999 %, 99.0000 % are wanted");
    c.is_trial = true; /* not even as a trial */
    refused(DYNO_CERT_ENGINE, &c, "accuracy", "agrees with FP32 to 98.9999 %");
}

static void test_clock_drops_blocks(void)
{
    struct cert_case c = cert_good;
    c.slow_clocks = 2;
    c.extra_blocks = 2;
    struct dyno_cert *cert = make(DYNO_CERT_REFERENCE, &c);
    CHECK_MSG(cert->outcome == DYNO_CERT_ACCEPTED, "%s", cert->reason);
    CHECK(dyno_cert_points(cert)[0].kept_count == 20 &&
          dyno_cert_points(cert)[0].dropped_count == 10);
    /* Others that took time away do the same. */
    struct dyno_cert_block *block = &dyno_cert_points(cert)[0].control.processes[0].blocks[5];
    block->segments[1].steal_ns = 100000000;
    CHECK(dyno_cert_derive(cert, NULL) == DYNO_OK && cert->outcome == DYNO_CERT_REFUSED);
    dyno_cert_destroy(cert);
    /* A trial keeps them, and says what it would be refused for. */
    c.is_trial = true;
    c.slow_clocks = 6;
    cert = make(DYNO_CERT_REFERENCE, &c);
    CHECK(dyno_cert_points(cert)[0].kept_count == 30 && dyno_cert_points(cert)[0].t_ref_ns > 0);
    CHECK(cert->outcome == DYNO_CERT_TRIAL && strstr(cert->reason, "0 of 6 blocks") != NULL);
    dyno_cert_destroy(cert);
}

static void test_samples(void)
{
    static const struct {
        const char *says;
        struct cert_case change;
        bool as_reference;
    } rows[] = {
        {"and the certificate is no trial", {.processes = 4}, true},
        {"and the certificate is no trial", {.blocks = 3}, true},
        {"and the certificate is no trial", {.segment_ns = 999999999}, false},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        struct cert_case c = cert_good;
        struct dyno_err err = {0};
        c.processes = rows[i].change.processes != 0 ? rows[i].change.processes : c.processes;
        c.blocks = rows[i].change.blocks != 0 ? rows[i].change.blocks : c.blocks;
        c.segment_ns = rows[i].change.segment_ns != 0 ? rows[i].change.segment_ns : c.segment_ns;
        for (int trial = 0; trial < 2; trial++) {
            c.is_trial = trial != 0;
            struct dyno_cert *cert = cert_case_make(
                rows[i].as_reference ? DYNO_CERT_REFERENCE : DYNO_CERT_ENGINE, &c, 1);
            const enum dyno_status status = dyno_cert_derive(cert, &err);
            if (trial != 0)
                CHECK(status == DYNO_OK && cert->outcome == DYNO_CERT_TRIAL);
            else
                CHECK_MSG(status == DYNO_E_FORMAT && strstr(err.text, rows[i].says) != NULL, "%s",
                          err.text);
            dyno_cert_destroy(cert);
        }
    }
}

/* --- the text --- */

static void text_of(const struct dyno_cert *cert, struct dyno_strbuf *text)
{
    dyno_strbuf_clear(text);
    dyno_cert_text(cert, text);
    CHECK(dyno_strbuf_ok(text));
}

static void test_round_trip(void)
{
    for (int kind = DYNO_CERT_REFERENCE; kind <= DYNO_CERT_ENGINE; kind++) {
        struct dyno_strbuf text = {0};
        struct dyno_strbuf again = {0};
        struct dyno_err err = {0};
        struct dyno_cert *read = NULL;
        struct cert_case c = cert_good;
        c.axis_count = kind == DYNO_CERT_REFERENCE ? 2 : 0;
        struct dyno_cert *cert = make((enum dyno_cert_kind)kind, &c);
        text_of(cert, &text);
        CHECK(text.text[text.bytes - 1] == '\n' && memchr(text.text, '\n', text.bytes - 1) == NULL);
        REQUIRE(dyno_cert_parse(text.text, text.bytes, &read, &err) == DYNO_OK);
        CHECK(dyno_cert_same(&read->address, &cert->address));
        CHECK(read->kind == cert->kind && read->point_count == cert->point_count);
        text_of(read, &again);
        CHECK_STR(dyno_strbuf_text(&again), dyno_strbuf_text(&text));
        dyno_cert_destroy(read);
        dyno_cert_destroy(cert);
        dyno_strbuf_fini(&text);
        dyno_strbuf_fini(&again);
    }
}

/* Replace the first `from` after `after` with `to`; the parse must fail like that. */
static void edited(const struct dyno_strbuf *text, const char *after, const char *from,
                   const char *to, enum dyno_status status, const char *says)
{
    struct dyno_strbuf changed = {0};
    struct dyno_cert *cert = NULL;
    struct dyno_err err = {0};
    const char *at = strstr(text->text, after);
    at = at != NULL ? strstr(at, from) : NULL;
    REQUIRE(at != NULL);
    dyno_strbuf_add(&changed, text->text, (size_t)(at - text->text));
    dyno_strbuf_puts(&changed, to);
    dyno_strbuf_puts(&changed, at + strlen(from));
    const enum dyno_status got = dyno_cert_parse(changed.text, changed.bytes, &cert, &err);
    CHECK_MSG(got == status && cert == NULL && strstr(err.text, says) != NULL,
              "'%s' to '%s': %d, '%s'", from, to, (int)got, err.text);
    dyno_cert_destroy(cert);
    dyno_strbuf_fini(&changed);
}

static void test_edited(void)
{
    struct dyno_strbuf text = {0};
    struct cert_case c = cert_good;
    c.axis_count = 0;
    struct dyno_cert *cert = make(DYNO_CERT_ENGINE, &c);
    char result[64];
    text_of(cert, &text);
    (void)snprintf(result, sizeof(result), "[%llu,", (unsigned long long)cert->speedup_1e6[0]);
    const struct {
        const char *after, *from, *to;
        enum dyno_status status;
        const char *says;
    } rows[] = {
        /* A derived number alone. */
        {"\"energy\"", result, "[9999999,", DYNO_E_CORRUPT, "edited"},
        {"\"agreement_1e6\"", "999999", "999998", DYNO_E_CORRUPT, "edited"},
        {"\"breaks\"", "\"outcome\":\"accepted\"", "\"outcome\":\"trial\"", DYNO_E_CORRUPT,
         "edited"},
        {"\"blocks_kept\"", "40", "41", DYNO_E_CORRUPT, "which give '\"blocks_kept\":40'"},
        /* A sample alone: what follows from it is another certificate. */
        {"\"speedup\":[[[[", "[[[[", "[[[[9", DYNO_E_CORRUPT, "edited"},
        /* A refused one made a trial, a trial made an accepted one. */
        {"\"trial\"", "false", "true", DYNO_E_CORRUPT, "edited"},
        /* Another order, a blank, a member more, a longer number: not canonical. */
        {"\"term_days\"", "365", "365 ", DYNO_E_CORRUPT, "edited"},
        {"\"term_days\"", "365", "365,\"a\":1", DYNO_E_CORRUPT, "edited"},
        {"\"term_days\"", "365", "3.65e2", DYNO_E_FORMAT, "'term_days' is not a whole number"},
        {"\"threads\"", "2", "-2", DYNO_E_FORMAT, "'threads' is not a whole number"},
        {"\"threads\"", "\"threads\"", "\"thread\"", DYNO_E_FORMAT, "'threads' is missing"},
        {"\"isa\"", "\"avx2\"", "7", DYNO_E_FORMAT, "'isa' is not text"},
        {"\"isa\"", "avx2", "a\\u001b[2J", DYNO_E_FORMAT, "'isa' holds a control character"},
        {"\"issued\"", "2025-", "2025-1", DYNO_E_FORMAT, "'issued' is not a time"},
        {"\"sha256\"", "1111", "111G", DYNO_E_FORMAT, "'sha256' is not a SHA-256"},
        {"\"dyno_certificate\"", "1", "3", DYNO_E_UNSUPPORTED, "version 3"},
        {"\"dyno_certificate\"", "1", "2", DYNO_E_FORMAT, "'gpu' is missing"},
        {"\"kind\"", "engine", "engines", DYNO_E_FORMAT, "kind 'engines'"},
        {"\"processes\"", "5", "6", DYNO_E_FORMAT, "control: 5 processes instead of 6"},
        {"\"segment_ns\"", "1000000000", "1", DYNO_E_FORMAT, "and the certificate is no trial"},
        {"\"class_1e6\"", "990000", "500000", DYNO_E_FORMAT, "an accuracy class of 500000"},
        {"\"max\"", "8", "0", DYNO_E_FORMAT, "not 0 <= min <= opt <= max"},
        {"\"batch\":2", "2", "3", DYNO_E_FORMAT, "is not possible at batch 3"},
        {"\"batch\":2", "2", "0", DYNO_E_FORMAT, "the batch is not above 0"},
        {"\"profiled_ns\"", "1000000", "0", DYNO_E_FORMAT, "the profile of a point"},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++)
        edited(&text, rows[i].after, rows[i].from, rows[i].to, rows[i].status, rows[i].says);
    dyno_cert_destroy(cert);
    dyno_strbuf_fini(&text);
}

/* Cut anywhere, it is none. */
static void test_cut(void)
{
    struct dyno_strbuf text = {0};
    struct cert_case c = cert_good;
    c.runs = 0;
    struct dyno_cert *cert = make(DYNO_CERT_REFERENCE, &c);
    text_of(cert, &text);
    for (size_t bytes = 0; bytes + 1 < text.bytes; bytes += 97) {
        struct dyno_cert *read = NULL;
        struct dyno_err err = {0};
        CHECK(dyno_cert_parse(text.text, bytes, &read, &err) != DYNO_OK && read == NULL);
        CHECK(err.text[0] != 0);
    }
    struct dyno_cert *read = NULL;
    CHECK(dyno_cert_parse(text.text, text.bytes - 1, &read, NULL) == DYNO_E_CORRUPT);
    dyno_cert_destroy(cert);
    dyno_strbuf_fini(&text);
}

static void test_no_memory(void)
{
    struct dyno_strbuf text = {0};
    struct dyno_cert *cert = make(DYNO_CERT_ENGINE, &cert_good);
    text_of(cert, &text);
    const uint64_t live = dyno_mem_live_count();
    uint64_t nth = 1;
    for (; nth < 10000; nth++) {
        struct dyno_cert *read = NULL;
        dyno_mem_fail_at(nth);
        const enum dyno_status status = dyno_cert_parse(text.text, text.bytes, &read, NULL);
        dyno_mem_fail_at(0);
        dyno_cert_destroy(read);
        CHECK(dyno_mem_live_count() == live);
        if (status == DYNO_OK)
            break;
        CHECK(status == DYNO_E_NOMEM && read == NULL);
    }
    CHECK(nth > 10 && nth < 10000);
    dyno_cert_destroy(cert);
    dyno_strbuf_fini(&text);
}

int main(void)
{
    test_reference();
    test_engine();
    test_too_few_queries();
    test_refusals();
    test_clock_drops_blocks();
    test_samples();
    test_round_trip();
    test_edited();
    test_cut();
    test_no_memory();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
