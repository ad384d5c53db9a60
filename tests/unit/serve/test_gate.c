/* test_gate.c - who is let in, with which rights; changes of the database while the gate is open.
 */
#include "serve/gate/gate.h"

#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/control.h"
#include "db/db.h"
#include "test.h"

#define PATIENCE_NS  UINT64_C(20000000000) /* of a busy machine */
#define ATTEMPTS_MAX 5000

static char folder[] = "/tmp/dyno-gate-XXXXXX";
static char path[64];
static struct dyno_control *control;
static struct dyno_gate *gate;
static struct dyno_key a_key, b_key;
static struct dyno_err err;

static void clear(void)
{
    static const char *const endings[] = {"", "-wal", "-shm"};
    char name[80];
    for (size_t i = 0; i < DYNO_COUNT(endings); i++) {
        (void)snprintf(name, sizeof(name), "%s%s", path, endings[i]);
        (void)unlink(name);
    }
}

/* A database of the tenants a and b, and a gate to it. */
static void open_all(void)
{
    const struct dyno_gate_options options = {.control_db = path};
    struct dyno_tenant tenant = dyno_tenant_defaults("a");
    tenant.class_name = "batch";
    clear();
    REQUIRE(dyno_control_open(path, true, 5000, &control, NULL) == DYNO_OK);
    CHECK(dyno_control_add(control, &tenant, &a_key, NULL) == DYNO_OK);
    tenant = dyno_tenant_defaults("b");
    tenant.permits = DYNO_PERMIT_ALL;
    CHECK(dyno_control_add(control, &tenant, &b_key, NULL) == DYNO_OK);
    REQUIRE(dyno_gate_create(&options, &gate, NULL) == DYNO_OK);
}

static void close_all(void)
{
    dyno_gate_destroy(gate);
    dyno_control_close(control);
    gate = NULL;
    control = NULL;
}

static enum dyno_status admit_as(const char *authorization, const char *key, enum dyno_right right,
                                 struct dyno_guest **guest_out)
{
    const struct dyno_credentials shown = {.authorization = authorization, .key = key};
    err = (struct dyno_err){0};
    const enum dyno_status status = dyno_gate_admit(gate, &shown, right, guest_out, &err);
    CHECK((status == DYNO_OK) == (*guest_out != NULL) && (status == DYNO_OK) == (err.text[0] == 0));
    return status;
}

/* Only the answer. */
static enum dyno_status asked(const struct dyno_key *key, enum dyno_right right)
{
    struct dyno_guest *guest = NULL;
    const enum dyno_status status = admit_as(NULL, key->text, right, &guest);
    dyno_guest_unref(guest);
    return status;
}

static bool comes_true(enum dyno_status want, const struct dyno_key *key)
{
    const uint64_t end_ns = dyno_clock_ns() + PATIENCE_NS;
    const struct timespec step = {.tv_nsec = 20000000};
    while (asked(key, DYNO_RIGHT_INFER) != want && dyno_clock_ns() < end_ns)
        (void)nanosleep(&step, NULL);
    return asked(key, DYNO_RIGHT_INFER) == want;
}

static enum dyno_status begin(struct dyno_guest *guest)
{
    uint32_t retry_s = 0;
    err = (struct dyno_err){0};
    return dyno_guest_begin(guest, &retry_s, &err);
}

/* --- letting in --- */

static void test_without_keys(void)
{
    const struct dyno_gate_options options = {0};
    struct dyno_guest *guest = NULL;
    REQUIRE(dyno_gate_create(&options, &gate, NULL) == DYNO_OK);
    CHECK_STR(dyno_gate_key_header(gate), "x-api-key");
    CHECK_STR(dyno_gate_grpc_key_header(gate), "triton-grpc-protocol-x-api-key");
    CHECK(admit_as(NULL, NULL, DYNO_RIGHT_METRICS, &guest) == DYNO_OK);
    CHECK(guest->tenant == 0 && guest->name[0] == 0 && guest->class_name[0] == 0);
    CHECK(begin(guest) == DYNO_OK && dyno_guest_sees(guest, "x"));
    CHECK(dyno_guest_check_model(guest, "x", NULL) == DYNO_OK);
    dyno_guest_end(guest, 5);
    dyno_guest_unref(dyno_guest_ref(guest));
    dyno_guest_unref(guest);
    dyno_guest_unref(NULL);
    dyno_gate_destroy(gate);
    dyno_gate_destroy(NULL);
    CHECK(dyno_mem_live_count() == 0);
}

static void test_headers(void)
{
    static const char *const bad[] = {
        "",
        "a b",
        "a:b",
        "Authorization",
        "key-bin",
        "schl\xc3\xbcssel",
        "a2345678901234567890123456789012345678901234567890123456789012345"};
    struct dyno_gate_options options = {.key_header = "X-My_Key"};
    REQUIRE(dyno_gate_create(&options, &gate, NULL) == DYNO_OK);
    CHECK_STR(dyno_gate_key_header(gate), "x-my_key");
    CHECK_STR(dyno_gate_grpc_key_header(gate), "triton-grpc-protocol-x-my_key");
    dyno_gate_destroy(gate);
    for (size_t i = 0; i < DYNO_COUNT(bad); i++) {
        options.key_header = bad[i];
        err = (struct dyno_err){0};
        CHECK_MSG(dyno_gate_create(&options, &gate, &err) == DYNO_E_ARG && gate == NULL, "%s",
                  bad[i]);
        CHECK(strstr(err.text, "is no name for a header with a key") != NULL);
    }
}

static void test_credentials(void)
{
    char bearer[128];
    char shorter[128];
    char *longer = malloc(1 << 20);
    struct dyno_guest *guest = NULL;
    REQUIRE(longer != NULL);
    open_all();
    (void)snprintf(bearer, sizeof(bearer), "Bearer %s", a_key.text);
    CHECK(admit_as(bearer, NULL, DYNO_RIGHT_INFER, &guest) == DYNO_OK);
    CHECK(guest->tenant == 1);
    CHECK_STR(guest->name, "a");
    CHECK_STR(guest->class_name, "batch");
    dyno_guest_unref(guest);
    memcpy(bearer, "bEARER  ", 7);
    CHECK(admit_as(bearer, "nothing", DYNO_RIGHT_INFER, &guest) == DYNO_OK);
    dyno_guest_unref(guest);
    CHECK(admit_as("Basic YTpi", b_key.text, DYNO_RIGHT_INFER, &guest) == DYNO_OK);
    CHECK(guest->tenant == 2);
    dyno_guest_unref(guest);
    CHECK(admit_as(NULL, NULL, DYNO_RIGHT_INFER, &guest) == DYNO_E_UNKNOWN_CALLER);
    CHECK_STR(err.text, "a key is wanted: Authorization: Bearer KEY, or x-api-key: KEY");
    CHECK(admit_as(NULL, NULL, DYNO_RIGHT_OPEN, &guest) == DYNO_OK && guest->tenant == 0);
    CHECK(admit_as("Bearer", NULL, DYNO_RIGHT_READ, &guest) == DYNO_E_UNKNOWN_CALLER);
    CHECK(admit_as("Bearer ", NULL, DYNO_RIGHT_READ, &guest) == DYNO_E_UNKNOWN_CALLER);
    CHECK(admit_as(NULL, "", DYNO_RIGHT_READ, &guest) == DYNO_E_UNKNOWN_CALLER);
    CHECK_STR(err.text, "the key is not known, or not any more");
    /* One digit of the secret is another; one is missing; there are many more. */
    struct dyno_key other = a_key;
    char *last = &other.text[DYNO_KEY_TEXT_BYTES - 1];
    *last = *last == '0' ? '1' : '0';
    CHECK(asked(&other, DYNO_RIGHT_INFER) == DYNO_E_UNKNOWN_CALLER);
    (void)snprintf(shorter, sizeof(shorter), "%.*s", DYNO_KEY_TEXT_BYTES - 1, a_key.text);
    CHECK(admit_as(NULL, shorter, DYNO_RIGHT_READ, &guest) == DYNO_E_UNKNOWN_CALLER);
    memset(longer, '0', 1 << 20);
    longer[(1 << 20) - 1] = 0;
    memcpy(longer, a_key.text, DYNO_KEY_TEXT_BYTES);
    CHECK(admit_as(NULL, longer, DYNO_RIGHT_READ, &guest) == DYNO_E_UNKNOWN_CALLER);
    const struct dyno_credentials shown = {.authorization = bearer, .key = longer};
    dyno_credentials_wipe(&shown);
    CHECK(bearer[0] == 0 && bearer[30] == 0 && longer[0] == 0 && longer[1000] == 0);
    free(longer);
    close_all();
}

static void test_rights(void)
{
    static const enum dyno_right all[] = {DYNO_RIGHT_READ, DYNO_RIGHT_INFER, DYNO_RIGHT_CONTROL,
                                          DYNO_RIGHT_METRICS};
    static const char *const names[] = {"read", "infer", "control", "metrics"};
    open_all();
    for (size_t i = 0; i < DYNO_COUNT(all); i++) {
        char says[64];
        CHECK(asked(&b_key, all[i]) == DYNO_OK);
        (void)snprintf(says, sizeof(says), "tenant 'a' lacks the right '%s'", names[i]);
        const enum dyno_status status = asked(&a_key, all[i]);
        CHECK(status == (i < 2 ? DYNO_OK : DYNO_E_DENIED));
        if (status != DYNO_OK)
            CHECK_STR(err.text, says);
    }
    close_all();
}

/* --- changes --- */

/* An open stream: the guest was let in before, his next message is judged anew. */
static void test_changes(void)
{
    static const char *const models[] = {"m"};
    struct dyno_guest *guest = NULL;
    struct dyno_key fresh;
    open_all();
    CHECK(admit_as(NULL, a_key.text, DYNO_RIGHT_INFER, &guest) == DYNO_OK);
    CHECK(begin(guest) == DYNO_OK && dyno_guest_sees(guest, "x"));
    struct dyno_tenant change = {.name = "a", .models = models, .model_count = 1};
    CHECK(dyno_control_set(control, &change, DYNO_TENANT_ENABLED | DYNO_TENANT_MODELS, NULL) ==
          DYNO_OK);
    CHECK(comes_true(DYNO_E_DENIED, &a_key));
    CHECK_STR(err.text, "tenant 'a' is disabled");
    CHECK(begin(guest) == DYNO_E_DENIED);
    CHECK(dyno_guest_check_model(guest, "x", NULL) == DYNO_E_DENIED);
    CHECK(dyno_guest_check_model(guest, "m", NULL) == DYNO_OK);
    dyno_guest_end(guest, 1); /* what had begun ends as ever */
    change.enabled = true;
    change.permits = DYNO_PERMIT_INFER;
    change.class_name = "realtime";
    change.concurrent_max = 1;
    CHECK(dyno_control_set(control, &change,
                           DYNO_TENANT_ENABLED | DYNO_TENANT_PERMITS | DYNO_TENANT_CLASS |
                               DYNO_TENANT_CONCURRENT,
                           NULL) == DYNO_OK);
    CHECK(comes_true(DYNO_OK, &a_key));
    CHECK(begin(guest) == DYNO_OK);
    CHECK(begin(guest) == DYNO_E_QUOTA); /* the limit holds for him, too */
    dyno_guest_end(guest, 1);
    CHECK_STR(guest->class_name, "batch");
    struct dyno_guest *later = NULL;
    CHECK(admit_as(NULL, a_key.text, DYNO_RIGHT_INFER, &later) == DYNO_OK);
    CHECK_STR(later->class_name, "realtime");
    CHECK(begin(later) == DYNO_OK && begin(guest) == DYNO_E_QUOTA); /* one allowance for both */
    dyno_guest_end(later, 1);
    CHECK(!dyno_guest_sees(later, "x") && dyno_guest_sees(later, "m"));
    CHECK(dyno_guest_check_model(later, "x", &err) == DYNO_E_DENIED);
    dyno_guest_unref(later);
    /* Rotated with a second's grace: both keys, then only the other. */
    CHECK(dyno_control_rotate(control, "a", 1, &fresh, NULL) == DYNO_OK);
    CHECK(comes_true(DYNO_OK, &fresh));
    CHECK(comes_true(DYNO_E_UNKNOWN_CALLER, &a_key) && begin(guest) == DYNO_E_UNKNOWN_CALLER);
    CHECK(dyno_guest_check_model(guest, "m", NULL) == DYNO_E_UNKNOWN_CALLER);
    CHECK(asked(&fresh, DYNO_RIGHT_INFER) == DYNO_OK);
    CHECK(dyno_control_revoke(control, "a", NULL, NULL) == DYNO_OK);
    CHECK(comes_true(DYNO_E_UNKNOWN_CALLER, &fresh));
    CHECK(dyno_control_remove(control, "b", NULL) == DYNO_OK);
    CHECK(comes_true(DYNO_E_UNKNOWN_CALLER, &b_key));
    dyno_guest_unref(guest);
    close_all();
    CHECK(dyno_mem_live_count() == 0);
}

static void test_many_keys(void)
{
    static struct dyno_key keys[40];
    open_all();
    for (size_t i = 0; i < DYNO_COUNT(keys); i++)
        CHECK(dyno_control_rotate(control, i % 2 == 0 ? "a" : "b", 1000, &keys[i], NULL) ==
              DYNO_OK);
    CHECK(comes_true(DYNO_OK, &keys[DYNO_COUNT(keys) - 1]));
    for (size_t i = 0; i < DYNO_COUNT(keys); i++) {
        struct dyno_guest *guest = NULL;
        CHECK(admit_as(NULL, keys[i].text, DYNO_RIGHT_INFER, &guest) == DYNO_OK);
        CHECK(guest != NULL && guest->tenant == 1 + i % 2);
        dyno_guest_unref(guest);
    }
    close_all();
}

/* --- use --- */

static struct dyno_use used(const char *name)
{
    struct dyno_arena *arena = dyno_arena_create();
    struct dyno_tenant *tenant = NULL;
    size_t count = 0;
    CHECK(dyno_control_read(control, name, dyno_day_of(dyno_now_s()), arena, &tenant, &count,
                            NULL) == DYNO_OK);
    const struct dyno_use use = count == 1 ? tenant->month_use : (struct dyno_use){0};
    dyno_arena_destroy(arena);
    return use;
}

static void test_use_outlives_the_gate(void)
{
    const struct dyno_gate_options options = {.control_db = path};
    struct dyno_tenant change = {.name = "a", .quota_requests = 3, .period = DYNO_PERIOD_MONTH};
    struct dyno_guest *guest = NULL;
    open_all();
    CHECK(dyno_control_set(control, &change, DYNO_TENANT_QUOTA_REQUESTS | DYNO_TENANT_PERIOD,
                           NULL) == DYNO_OK);
    dyno_gate_destroy(gate);
    REQUIRE(dyno_gate_create(&options, &gate, NULL) == DYNO_OK);
    CHECK(admit_as(NULL, a_key.text, DYNO_RIGHT_INFER, &guest) == DYNO_OK);
    CHECK(begin(guest) == DYNO_OK && begin(guest) == DYNO_OK);
    dyno_guest_end(guest, 1000);
    dyno_gate_stop(gate);
    CHECK(used("a").requests == 2 && used("a").device_ns == 1000);
    dyno_guest_end(guest, 1000); /* too late to be written, and no harm */
    dyno_guest_unref(guest);
    dyno_gate_destroy(gate);
    REQUIRE(dyno_gate_create(&options, &gate, NULL) == DYNO_OK);
    CHECK(admit_as(NULL, a_key.text, DYNO_RIGHT_INFER, &guest) == DYNO_OK);
    CHECK(begin(guest) == DYNO_OK);
    CHECK(begin(guest) == DYNO_E_QUOTA);
    CHECK(strstr(err.text, "tenant 'a' has used its 3 requests of this month: again at 20") !=
          NULL);
    dyno_guest_end(guest, 0);
    dyno_guest_unref(guest);
    close_all();
}

/* It is written while the gate is open, too, and what another server wrote is seen. */
static void test_use_is_shared(void)
{
    const struct dyno_tenant change = {.name = "a", .quota_requests = 1000000};
    const struct dyno_use_row row = {
        .tenant = 1, .day = dyno_day_of(dyno_now_s()), .use = {1000000, 0}};
    const struct timespec step = {.tv_nsec = 50000000};
    const uint64_t end_ns = dyno_clock_ns() + PATIENCE_NS;
    struct dyno_guest *guest = NULL;
    open_all();
    CHECK(dyno_control_set(control, &change, DYNO_TENANT_QUOTA_REQUESTS, NULL) == DYNO_OK);
    CHECK(admit_as(NULL, a_key.text, DYNO_RIGHT_INFER, &guest) == DYNO_OK);
    CHECK(begin(guest) == DYNO_OK);
    dyno_guest_end(guest, 77);
    while (used("a").requests == 0 && dyno_clock_ns() < end_ns)
        (void)nanosleep(&step, NULL);
    CHECK(used("a").requests == 1 && used("a").device_ns == 77);
    CHECK(dyno_control_add_use(control, &row, 1, NULL) == DYNO_OK);
    while (begin(guest) == DYNO_OK && dyno_clock_ns() < end_ns) {
        dyno_guest_end(guest, 0);
        (void)nanosleep(&step, NULL);
    }
    CHECK(err.status == DYNO_E_QUOTA);
    dyno_guest_unref(guest);
    close_all();
}

/* --- a database that fails --- */

/* Who was known stays so, and what they use is kept. */
static void test_lost_file(void)
{
    const struct dyno_gate_options options = {.control_db = path};
    const struct timespec more = {.tv_nsec = 600000000};
    char aside[80];
    (void)snprintf(aside, sizeof(aside), "%s.aside", path);
    open_all();
    CHECK(rename(path, aside) == 0);
    (void)nanosleep(&more, NULL);
    CHECK(asked(&a_key, DYNO_RIGHT_INFER) == DYNO_OK);
    CHECK(rename(aside, path) == 0);
    CHECK(dyno_control_revoke(control, "a", NULL, NULL) == DYNO_OK);
    CHECK(comes_true(DYNO_E_UNKNOWN_CALLER, &a_key));
    close_all();
    clear();
    err = (struct dyno_err){0};
    CHECK(dyno_gate_create(&options, &gate, &err) == DYNO_E_NOT_FOUND && gate == NULL);
}

/* A row that is spoilt later leaves the book as it was, until it is mended. */
static void test_spoilt_row(void)
{
    static const struct dyno_db_kind kind = {
        .what = "other", .application_id = 0x64796e63, .version = 2};
    const struct timespec more = {.tv_nsec = 600000000};
    struct dyno_db db;
    open_all();
    CHECK(dyno_db_open(&kind, path, false, 5000, &db, NULL) == DYNO_OK);
    CHECK(dyno_db_exec(&db, "UPDATE tenant SET permits = 99 WHERE name = 'b'", NULL) == DYNO_OK);
    (void)nanosleep(&more, NULL);
    CHECK(asked(&a_key, DYNO_RIGHT_INFER) == DYNO_OK);
    CHECK(asked(&b_key, DYNO_RIGHT_CONTROL) == DYNO_OK);
    CHECK(dyno_db_exec(&db, "UPDATE tenant SET permits = 1, enabled = 0", NULL) == DYNO_OK);
    CHECK(comes_true(DYNO_E_DENIED, &b_key));
    dyno_db_close(&db);
    close_all();
}

static void *stop_gate(void *arg)
{
    dyno_gate_stop(gate);
    return arg;
}

/* Somebody else is writing when the gate ends: it waits a little. */
static void test_locked_at_the_end(void)
{
    static const struct dyno_db_kind kind = {
        .what = "other", .application_id = 0x64796e63, .version = 2};
    struct dyno_guest *guest = NULL;
    struct dyno_db db;
    pthread_t thread;
    open_all();
    CHECK(dyno_db_open(&kind, path, false, 5000, &db, NULL) == DYNO_OK);
    CHECK(admit_as(NULL, a_key.text, DYNO_RIGHT_INFER, &guest) == DYNO_OK);
    CHECK(begin(guest) == DYNO_OK);
    dyno_guest_end(guest, 5);
    dyno_guest_unref(guest);
    CHECK(dyno_db_begin(&db, true, NULL) == DYNO_OK);
    REQUIRE(pthread_create(&thread, NULL, stop_gate, NULL) == 0);
    const struct timespec more = {.tv_nsec = 500000000};
    (void)nanosleep(&more, NULL);
    CHECK(dyno_db_end(&db, DYNO_OK, NULL) == DYNO_OK);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(used("a").requests == 1);
    dyno_db_close(&db);
    close_all();
}

/* --- no memory --- */

static void test_no_memory(void)
{
    const struct dyno_gate_options options = {.control_db = path};
    bool is_done = false;
    open_all();
    close_all();
    const uint64_t live = dyno_mem_live_count();
    for (uint64_t nth = 1; nth <= ATTEMPTS_MAX && !is_done; nth++) {
        err = (struct dyno_err){0};
        dyno_mem_fail_at(nth);
        const enum dyno_status status = dyno_gate_create(&options, &gate, &err);
        dyno_gate_destroy(gate); /* its thread allocates, too */
        void *probe = dyno_alloc(1, 1);
        dyno_mem_fail_at(0);
        is_done = probe == NULL;
        dyno_free(probe);
        CHECK_MSG((status == DYNO_OK) == (gate != NULL) &&
                      (status == DYNO_OK || status == DYNO_E_NOMEM),
                  "allocation %llu: %d, '%s'", (unsigned long long)nth, (int)status, err.text);
        CHECK(dyno_mem_live_count() == live);
    }
    CHECK(is_done);
}

int main(void)
{
    dyno_log_set_level(DYNO_LOG_ERROR);
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/c.db", folder);
    test_without_keys();
    test_headers();
    test_credentials();
    test_rights();
    test_changes();
    test_many_keys();
    test_use_outlives_the_gate();
    test_use_is_shared();
    test_lost_file();
    test_spoilt_row();
    test_locked_at_the_end();
    test_no_memory();
    clear();
    CHECK(rmdir(folder) == 0);
    return TEST_RESULT();
}
