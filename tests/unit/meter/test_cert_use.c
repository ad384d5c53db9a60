/* Certificates in use: kept in folders, checked by who bills, and the work that they say. */
#include <math.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "meter/cert/epu.h"
#include "meter/cert/state.h"
#include "meter/cert/store.h"
#include "meter/cert/term.h"
#include "test.h"
#include "unit/meter/cert_case.h"

static struct dyno_cert *make(enum dyno_cert_kind kind, const struct cert_case *c)
{
    struct dyno_err err = {0};
    struct dyno_cert *cert = cert_case_make(kind, c, 7);
    CHECK_MSG(dyno_cert_derive(cert, &err) == DYNO_OK, "%s", err.text);
    return cert;
}

/* --- files, checks, states --- */

static void test_files(void)
{
    char folder[] = "/tmp/dyno-cert-XXXXXX";
    struct dyno_strbuf path = {0};
    struct dyno_strbuf other = {0};
    struct dyno_err err = {0};
    struct dyno_cert *read = NULL;
    struct dyno_cert_state state;
    REQUIRE(mkdtemp(folder) != NULL);
    struct dyno_cert *cert = make(DYNO_CERT_REFERENCE, &cert_good);
    const int64_t now_s = cert->issued_s + 10;
    CHECK(dyno_cert_save(cert, folder, &path, &err) == DYNO_OK);
    CHECK(strstr(path.text, ".reference.json") != NULL);
    CHECK(dyno_cert_load(path.text, &read, &err) == DYNO_OK);
    dyno_cert_destroy(read);
    /* Another certificate under this name. */
    struct cert_case c = cert_good;
    c.speedup = 3.9;
    struct dyno_cert *second = cert_case_make(DYNO_CERT_REFERENCE, &c, 8);
    CHECK(dyno_cert_derive(second, &err) == DYNO_OK);
    CHECK(dyno_cert_save(second, folder, &other, &err) == DYNO_OK);
    CHECK(rename(other.text, path.text) == 0);
    CHECK(dyno_cert_load(path.text, &read, &err) == DYNO_E_CORRUPT && read == NULL);
    CHECK_MSG(strstr(err.text, "edited: its text has the address") != NULL, "%s", err.text);
    /* States. */
    CHECK(dyno_cert_state_read(cert, folder, now_s, &state, &err) == DYNO_OK);
    CHECK(state.kind == DYNO_CERT_IN_FORCE);
    state = (struct dyno_cert_state){
        .kind = DYNO_CERT_SUSPENDED, .since_s = now_s, .reason = "a \"drift\""};
    CHECK(dyno_cert_state_write(cert, folder, &state, &err) == DYNO_OK);
    memset(&state, 0, sizeof(state));
    CHECK(dyno_cert_state_read(cert, folder, now_s, &state, &err) == DYNO_OK);
    CHECK(state.kind == DYNO_CERT_SUSPENDED && state.since_s == now_s);
    CHECK_STR(state.reason, "a \"drift\"");
    CHECK(dyno_cert_state_read(second, folder, now_s, &state, &err) == DYNO_OK);
    CHECK(state.kind == DYNO_CERT_IN_FORCE); /* it was the other's */
    CHECK(dyno_cert_state_read(cert, folder, dyno_cert_expires_s(cert), &state, &err) == DYNO_OK);
    CHECK(state.kind == DYNO_CERT_EXPIRED);
    dyno_strbuf_clear(&other);
    dyno_strbuf_printf(&other, "rm -r %s", folder);
    CHECK(system(other.text) == 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
    dyno_cert_destroy(cert);
    dyno_cert_destroy(second);
    dyno_strbuf_fini(&path);
    dyno_strbuf_fini(&other);
}

static enum dyno_status set_state(const struct dyno_cert *cert, const char *folder,
                                  enum dyno_cert_state_kind kind, int64_t since_s)
{
    const struct dyno_cert_state state = {.kind = kind, .since_s = since_s, .reason = "why"};
    struct dyno_err err = {0};
    return dyno_cert_state_write(cert, folder, &state, &err);
}

/* What was suspended once is told for good. */
static void test_suspensions(void)
{
    char folder[] = "/tmp/dyno-cert-XXXXXX";
    struct dyno_err err = {0};
    struct dyno_cert_state state;
    struct dyno_strbuf path = {0};
    char hex[DYNO_CERT_HEX_ROOM];
    REQUIRE(mkdtemp(folder) != NULL);
    struct dyno_cert *cert = make(DYNO_CERT_REFERENCE, &cert_good);
    const int64_t at = cert->issued_s;
    CHECK(set_state(cert, folder, DYNO_CERT_IN_FORCE, at) == DYNO_OK); /* it was never suspended */
    CHECK(set_state(cert, folder, DYNO_CERT_SUSPENDED, at + 10) == DYNO_OK);
    CHECK(set_state(cert, folder, DYNO_CERT_SUSPENDED, at + 20) == DYNO_OK);
    CHECK(dyno_cert_state_read(cert, folder, at, &state, &err) == DYNO_OK);
    CHECK(state.since_s == at + 10 && state.before_count == 0);
    CHECK(set_state(cert, folder, DYNO_CERT_IN_FORCE, at + 30) == DYNO_OK);
    CHECK(set_state(cert, folder, DYNO_CERT_IN_FORCE, at + 40) == DYNO_OK);
    CHECK(set_state(cert, folder, DYNO_CERT_SUSPENDED, at + 50) == DYNO_OK);
    CHECK(set_state(cert, folder, DYNO_CERT_IN_FORCE, at + 50) == DYNO_OK); /* never of no time */
    CHECK(dyno_cert_state_read(cert, folder, at, &state, &err) == DYNO_OK);
    CHECK(state.kind == DYNO_CERT_IN_FORCE && state.since_s == at + 51 && state.before_count == 2);
    CHECK(state.before[0].from_s == at + 10 && state.before[0].until_s == at + 30);
    CHECK(state.before[1].from_s == at + 50 && state.before[1].until_s == at + 51);
    for (int64_t i = 2; i < (int64_t)DYNO_CERT_BEFORE_MAX; i++) {
        CHECK(set_state(cert, folder, DYNO_CERT_SUSPENDED, at + 100 * i) == DYNO_OK);
        CHECK(set_state(cert, folder, DYNO_CERT_IN_FORCE, at + 100 * i + 1) == DYNO_OK);
    }
    CHECK(set_state(cert, folder, DYNO_CERT_SUSPENDED, at + 10000) == DYNO_OK);
    CHECK(set_state(cert, folder, DYNO_CERT_IN_FORCE, at + 10001) == DYNO_E_LIMIT);
    CHECK(dyno_cert_state_read(cert, folder, at, &state, &err) == DYNO_OK);
    CHECK(state.kind == DYNO_CERT_SUSPENDED && state.before_count == DYNO_CERT_BEFORE_MAX);
    static const char *const bad[] = {
        "7", "[{\"from\": \"2026-01-01T00:00:00Z\"}]",
        "[{\"from\": \"2026-01-02T00:00:00Z\", \"until\": \"2026-01-02T00:00:00Z\"}]",
        "[{\"from\": \"2026-01-02T00:00:00Z\", \"until\": \"2026-01-03T00:00:00Z\"},"
        " {\"from\": \"2026-01-02T00:00:00Z\", \"until\": \"2026-01-04T00:00:00Z\"}]"};
    dyno_cert_hex(&cert->address, hex);
    dyno_strbuf_printf(&path, "%s/%s.state.json", folder, hex);
    for (size_t i = 0; i < DYNO_COUNT(bad); i++) {
        struct dyno_strbuf text = {0};
        dyno_strbuf_printf(&text,
                           "{\"certificate\": \"%s\", \"state\": \"in force\", "
                           "\"since\": \"2026-02-01T00:00:00Z\", \"before\": %s}",
                           hex, bad[i]);
        CHECK(dyno_file_write_atomic(path.text, text.text, text.bytes, &err) == DYNO_OK);
        CHECK(dyno_cert_state_read(cert, folder, at, &state, &err) == DYNO_E_FORMAT);
        CHECK_MSG(strstr(err.text, "'before' is no list of at most 64 spans") != NULL, "%s",
                  err.text);
        CHECK(set_state(cert, folder, DYNO_CERT_SUSPENDED, at) == DYNO_E_FORMAT); /* it stays */
        dyno_strbuf_fini(&text);
    }
    dyno_strbuf_clear(&path);
    dyno_strbuf_printf(&path, "rm -r %s", folder);
    CHECK(system(path.text) == 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
    dyno_strbuf_fini(&path);
    dyno_cert_destroy(cert);
}

/* The one in force, and the names of what was refused. */
static void test_store(void)
{
    char folder[] = "/tmp/dyno-cert-XXXXXX";
    struct dyno_strbuf path = {0};
    struct dyno_err err = {0};
    struct dyno_cert *found = NULL;
    struct dyno_cert_hash addresses[3];
    REQUIRE(mkdtemp(folder) != NULL);
    struct dyno_cert_query query = {.kind = DYNO_CERT_REFERENCE,
                                    .want = {.now_s = 1764000000 + 500}};
    CHECK(dyno_cert_find(folder, &query, &found, &err) == DYNO_OK && found == NULL);
    for (uint64_t i = 0; i < 3; i++) {
        struct cert_case c = cert_good;
        c.bias = i == 2 ? 0.02 : 0.0; /* refused */
        struct dyno_cert *cert = cert_case_make(DYNO_CERT_REFERENCE, &c, i);
        cert->issued_s += (int64_t)(200 - 100 * i);
        CHECK(dyno_cert_derive(cert, &err) == DYNO_OK);
        CHECK(dyno_cert_save(cert, folder, &path, &err) == DYNO_OK);
        addresses[i] = cert->address;
        dyno_cert_destroy(cert);
    }
    CHECK(strstr(path.text, ".refused.json") != NULL);
    /* The older of the two; a refused one is none. */
    CHECK(dyno_cert_find(folder, &query, &found, &err) == DYNO_OK);
    REQUIRE(found != NULL);
    CHECK(dyno_cert_same(&found->address, &addresses[1]));
    const struct dyno_cert_state state = {.kind = DYNO_CERT_SUSPENDED, .reason = "drift"};
    CHECK(dyno_cert_state_write(found, folder, &state, &err) == DYNO_OK);
    dyno_cert_destroy(found);
    CHECK(dyno_cert_find(folder, &query, &found, &err) == DYNO_OK);
    REQUIRE(found != NULL);
    CHECK(dyno_cert_same(&found->address, &addresses[0]));
    dyno_cert_destroy(found);
    query.is_trial = true;
    CHECK(dyno_cert_find(folder, &query, &found, &err) == DYNO_OK && found == NULL);
    struct dyno_cert *next = cert_case_make(DYNO_CERT_REFERENCE, &cert_good, 9);
    CHECK(dyno_cert_add_earlier(folder, next, &err) == DYNO_OK && next->earlier_count == 1);
    CHECK(dyno_cert_same(&next->earlier[0], &addresses[2]));
    CHECK(dyno_cert_derive(next, &err) == DYNO_OK);
    CHECK(dyno_cert_save(next, folder, &path, &err) == DYNO_OK);
    CHECK(dyno_cert_load(path.text, &found, &err) == DYNO_OK && found->earlier_count == 1);
    dyno_cert_destroy(found);
    dyno_cert_destroy(next);
    dyno_strbuf_clear(&path);
    dyno_strbuf_printf(&path, "rm -r %s", folder);
    CHECK(system(path.text) == 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
    CHECK(dyno_cert_find(folder, &query, &found, &err) == DYNO_E_NOT_FOUND && found == NULL);
    dyno_strbuf_fini(&path);
}

static void checked(const struct dyno_cert *cert, const struct dyno_cert_want *want,
                    enum dyno_status status, const char *says)
{
    struct dyno_err err = {0};
    CHECK_MSG(dyno_cert_check(cert, want, &err) == status && strstr(err.text, says) != NULL, "%s",
              err.text);
}

static void test_checks(void)
{
    struct dyno_cert *cert = make(DYNO_CERT_ENGINE, &cert_good);
    struct dyno_cert *reference = make(DYNO_CERT_REFERENCE, &cert_good);
    struct dyno_cert_hash zero = {{0}};
    const int64_t end_s = dyno_cert_expires_s(cert);
    struct dyno_cert_want want = {.model = &cert->model,
                                  .engine = &cert->engine,
                                  .device_class = cert->device_class,
                                  .now_s = end_s - 1,
                                  .to_bill = true};
    checked(cert, &want, DYNO_OK, "");
    want.now_s = end_s;
    checked(cert, &want, DYNO_E_DENIED, "the certificate stands from 2025-11-24T16:00:00Z to 2026");
    want.now_s = cert->issued_s - 1;
    checked(cert, &want, DYNO_E_DENIED, "only");
    want.now_s = end_s - 1;
    want.device_class = "gpu";
    checked(cert, &want, DYNO_E_TARGET,
            "of the device class 'cpu of a test, 2 threads', this is 'gpu'");
    want.engine = &zero;
    checked(cert, &want, DYNO_E_MISMATCH, "of another engine: of 3333333333333333, not of 0000");
    checked(reference, &want, DYNO_E_MISMATCH, "a reference certificate, which says nothing");
    want.model = &zero;
    checked(cert, &want, DYNO_E_MISMATCH, "of another model: of 1111111111111111, not of 0000");
    /* The pair. */
    struct dyno_err err = {0};
    CHECK(dyno_cert_check_pair(cert, reference, &err) == DYNO_E_MISMATCH);
    CHECK(strstr(err.text, "cites the reference certificate 4444444444444444, this is") != NULL);
    cert->reference = reference->address;
    CHECK(dyno_cert_check_pair(cert, reference, NULL) == DYNO_OK);
    cert->baseline = zero; /* a slower baseline than the reference certificate's */
    err = (struct dyno_err){0};
    CHECK(dyno_cert_check_pair(cert, reference, &err) == DYNO_E_MISMATCH);
    CHECK(strstr(err.text, "not of the same baseline") != NULL);
    cert->baseline = reference->baseline;
    cert->batch = 4; /* a batch that the unoptimised execution does not need */
    err = (struct dyno_err){0};
    CHECK(dyno_cert_check_pair(cert, reference, &err) == DYNO_E_MISMATCH);
    CHECK(strstr(err.text, "not of the same batch") != NULL);
    dyno_cert_destroy(cert);
    dyno_cert_destroy(reference);
    struct cert_case c = cert_good;
    c.is_trial = true;
    cert = make(DYNO_CERT_ENGINE, &c);
    checked(cert, &(struct dyno_cert_want){.to_bill = true}, DYNO_E_DENIED, "is a trial");
    dyno_cert_destroy(cert);
}

/* --- EPU --- */

static struct dyno_epu epu(const struct dyno_cert *cert, int64_t n, int64_t h, int64_t w)
{
    const int64_t dims[] = {n, 3, h, w};
    const uint32_t rank = 4;
    const struct dyno_epu_shape shape = {.dims = (const int64_t *const[]){dims}, .ranks = &rank};
    return dyno_epu_of(cert, &shape, 123, true);
}

static void test_epu(void)
{
    struct cert_case c = cert_good;
    c.axis_count = 2;
    struct dyno_cert *cert = make(DYNO_CERT_REFERENCE, &c);
    const struct dyno_cert_point *points = dyno_cert_points(cert);
    uint64_t t[9];
    for (int i = 0; i < 9; i++)
        t[i] = points[i].t_ref_ns;
    /* At the points exactly; items count. */
    CHECK(epu(cert, 1, 100, 100).reference_ns == t[0] &&
          epu(cert, 1, 400, 200).reference_ns == t[7]);
    CHECK(epu(cert, 1, 400, 400).reference_ns == t[8] &&
          epu(cert, 7, 400, 400).reference_ns == 7 * t[8]);
    CHECK(epu(cert, 1, 100, 100).basis == DYNO_EPU_CERTIFIED);
    /* Between: linear in each, rounded down once, after the items. */
    CHECK(epu(cert, 1, 150, 100).reference_ns == (t[0] + t[3]) / 2);
    CHECK(epu(cert, 1, 100, 300).reference_ns == (t[1] + t[2]) / 2);
    CHECK(epu(cert, 4, 150, 150).reference_ns == t[0] + t[1] + t[3] + t[4]);
    CHECK(epu(cert, 1, 101, 100).reference_ns == (99 * t[0] + t[3]) / 100);
    CHECK(epu(cert, 3, 101, 100).reference_ns == 3 * (99 * t[0] + t[3]) / 100);
    /* Splitting a request gains nothing to whoever is billed more than one reference-ns. */
    for (int64_t h = 101; h < 400; h += 37)
        CHECK(2 * epu(cert, 1, h, 333).reference_ns <= epu(cert, 2, h, 333).reference_ns);
    /* Certify small, serve large: outside, its own device time. */
    CHECK(epu(cert, 1, 401, 100).basis == DYNO_EPU_OUTSIDE &&
          epu(cert, 1, 401, 100).reference_ns == 123);
    CHECK(epu(cert, 1, 99, 100).basis == DYNO_EPU_OUTSIDE);
    CHECK(epu(cert, 0, 100, 100).basis == DYNO_EPU_OUTSIDE);
    CHECK(epu(cert, 1 << 20, 400, 400).reference_ns == t[8] << 20);
    CHECK(epu(cert, (1 << 20) + 1, 400, 400).basis == DYNO_EPU_OUTSIDE);
    const int64_t dims[] = {1, 4, 100, 100};
    const uint32_t rank = 4;
    const uint32_t other_rank = 3;
    struct dyno_epu_shape shape = {.dims = (const int64_t *const[]){dims}, .ranks = &rank};
    CHECK(dyno_epu_of(cert, &shape, 5, true).basis == DYNO_EPU_OUTSIDE);
    shape.ranks = &other_rank;
    CHECK(dyno_epu_of(cert, &shape, 5, true).basis == DYNO_EPU_OUTSIDE);
    /* Nothing delivered, nothing certified. */
    CHECK(dyno_epu_of(cert, &shape, 5, false).reference_ns == 0);
    CHECK(dyno_epu_of(cert, &shape, 5, false).basis == DYNO_EPU_NONE);
    CHECK(dyno_epu_of(NULL, &shape, 5, true).reference_ns == 5);
    CHECK(dyno_epu_of(NULL, &shape, 5, true).basis == DYNO_EPU_UNCERTIFIED);
    dyno_cert_destroy(cert);
    /* A trial is looked at as if it counted; whoever bills asks dyno_cert_check. */
    c.is_trial = true;
    cert = make(DYNO_CERT_REFERENCE, &c);
    CHECK(epu(cert, 1, 100, 100).basis == DYNO_EPU_CERTIFIED);
    dyno_cert_destroy(cert);
}

/* Two inputs that share a size must agree about it. */
static void test_epu_shared(void)
{
    struct cert_case c = cert_good;
    struct dyno_cert *cert = cert_case_make(DYNO_CERT_REFERENCE, &c, 3);
    struct dyno_cert_input *inputs = cert_case_alloc(cert, 2, sizeof(*inputs));
    for (int i = 0; i < 2; i++)
        inputs[i] = (struct dyno_cert_input){.name = i == 0 ? "ids" : "mask",
                                             .type = "i64",
                                             .rank = 2,
                                             .min = {1, 100},
                                             .opt = {1, 100},
                                             .max = {8, 400}};
    struct dyno_cert_place *places = cert_case_alloc(cert, 2, sizeof(*places));
    places[0] = (struct dyno_cert_place){.input = 0, .dim = 1};
    places[1] = (struct dyno_cert_place){.input = 1, .dim = 1};
    cert->inputs = inputs;
    cert->input_count = 2;
    cert->axes[0].places = places;
    cert->axes[0].place_count = 2;
    struct dyno_err err = {0};
    CHECK_MSG(dyno_cert_derive(cert, &err) == DYNO_OK, "%s", err.text);
    int64_t ids[] = {3, 300};
    int64_t mask[] = {3, 300};
    const uint32_t ranks[] = {2, 2};
    const struct dyno_epu_shape shape = {.dims = (const int64_t *const[]){ids, mask},
                                         .ranks = ranks};
    const struct dyno_cert_point *points = dyno_cert_points(cert);
    const struct dyno_epu got = dyno_epu_of(cert, &shape, 1, true);
    CHECK(got.basis == DYNO_EPU_CERTIFIED);
    CHECK(got.reference_ns == 3 * (points[1].t_ref_ns + points[2].t_ref_ns) / 2);
    mask[1] = 299;
    CHECK(dyno_epu_of(cert, &shape, 1, true).basis == DYNO_EPU_OUTSIDE);
    dyno_cert_destroy(cert);
}

/* Once it is over, at most what the device took; and what cannot be read has no end. */
static void test_term(void)
{
    char folder[] = "/tmp/dyno-cert-XXXXXX";
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_cert *cert = make(DYNO_CERT_REFERENCE, &cert_good);
    struct dyno_cert_term term;
    struct dyno_strbuf path = {0};
    struct dyno_err err = {0};
    REQUIRE(arena != NULL && mkdtemp(folder) != NULL);
    CHECK(dyno_cert_term_of(cert, folder, arena, &term, &err) == DYNO_OK);
    CHECK(dyno_cert_term_at(&term, dyno_cert_expires_s(cert) - 1) == DYNO_CERT_IN_FORCE);
    CHECK(dyno_cert_term_at(&term, dyno_cert_expires_s(cert)) == DYNO_CERT_EXPIRED);
    CHECK(term.ends_s == dyno_cert_expires_s(cert) && term.threads == 2);
    CHECK(dyno_cert_term_bound(&term, 400, 100, false) == 100);
    CHECK(dyno_cert_term_bound(&term, 400, 101, true) == 50);
    CHECK(dyno_cert_term_bound(&term, 40, 100, true) == 40);
    CHECK(dyno_cert_term_bound(&term, 0, 100, false) == 0);
    term.threads = 0;
    CHECK(dyno_cert_term_bound(&term, 400, 100, true) == 100);
    CHECK(dyno_cert_term_read("/nowhere", "a", DYNO_CERT_ENGINE, arena, &term, &err) == DYNO_OK);
    CHECK(term.ends_s == INT64_MAX && dyno_cert_term_at(&term, 1) == DYNO_CERT_IN_FORCE);
    /* Suspended from the 10th second to the 20th, and from the 30th on. */
    const int64_t at = cert->issued_s;
    CHECK(set_state(cert, folder, DYNO_CERT_SUSPENDED, at + 10) == DYNO_OK);
    CHECK(set_state(cert, folder, DYNO_CERT_IN_FORCE, at + 20) == DYNO_OK);
    CHECK(set_state(cert, folder, DYNO_CERT_SUSPENDED, at + 30) == DYNO_OK);
    CHECK(dyno_cert_term_of(cert, folder, arena, &term, &err) == DYNO_OK);
    for (int64_t s = 0; s < 40; s++)
        CHECK(dyno_cert_term_at(&term, at + s) ==
              ((s >= 10 && s < 20) || s >= 30 ? DYNO_CERT_SUSPENDED : DYNO_CERT_IN_FORCE));
    CHECK(dyno_cert_term_at(&term, dyno_cert_expires_s(cert)) == DYNO_CERT_EXPIRED);
    dyno_strbuf_printf(&path, "rm -r %s", folder);
    CHECK(system(path.text) == 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
    dyno_strbuf_fini(&path);
    dyno_arena_destroy(arena);
    dyno_cert_destroy(cert);
}

int main(void)
{
    test_files();
    test_suspensions();
    test_term();
    test_store();
    test_checks();
    test_epu();
    test_epu_shared();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
