/* test_tls.c - certificates are read whole or not at all, and replaced files are noticed. */
#include "serve/net/tls.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "test.h"

#define ATTEMPTS_MAX 20

static char folder[] = "/tmp/dyno-tls-XXXXXX";
static char cert_path[64], key_path[64];
static const struct dyno_tls_options options = {.cert_path = cert_path, .key_path = key_path};

static void issue(void)
{
    char command[1024];
    (void)snprintf(
        command, sizeof(command),
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=a "
        "-days 2 -out %s.tmp -keyout %s.tmp 2>/dev/null && mv %s.tmp %s && mv %s.tmp %s",
        cert_path, key_path, cert_path, cert_path, key_path, key_path);
    REQUIRE(system(command) == 0);
}

/* Each allocation of ours is lost once; OpenSSL's own are not counted. */
static void test_memory(void)
{
    struct dyno_tls *tls = NULL;
    uint64_t nth = 1;
    enum dyno_status status = DYNO_E_NOMEM;
    for (; nth <= ATTEMPTS_MAX && status != DYNO_OK; nth++) {
        struct dyno_err err = {0};
        dyno_mem_fail_at(nth);
        status = dyno_tls_create(&options, &tls, &err);
        dyno_mem_fail_at(0);
        CHECK(status == DYNO_OK || (status == DYNO_E_NOMEM && tls == NULL));
        CHECK(status == DYNO_OK || dyno_mem_live_count() == 0);
    }
    REQUIRE(status == DYNO_OK);
    CHECK(nth > 2);
    dyno_tls_destroy(tls);
    CHECK(dyno_mem_live_count() == 0);
}

static void test_session(void)
{
    int fds[2];
    uint32_t waits = 0;
    struct dyno_err err = {0};
    struct dyno_tls *tls = NULL;
    struct dyno_slab *slab = dyno_slab_create();
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    REQUIRE(slab != NULL && dyno_tls_create(&options, &tls, &err) == DYNO_OK);
    struct dyno_tls_session *session = dyno_tls_open(tls, &dyno_tls_http1, slab, fds[0], 1000);
    REQUIRE(session != NULL);
    CHECK(dyno_tls_shake(session, &waits) == 0 && waits != 0);
    CHECK(!dyno_tls_is_open(session) && dyno_tls_pending(session) == 0);
    CHECK(!dyno_tls_is_late(session, 1000) && dyno_tls_is_late(session, UINT64_C(60000000000)));
    CHECK(dyno_tls_write(session, "a", 1, &waits) < 0 && waits == 0);
    CHECK(dyno_tls_failure_count(tls) == 0);
    CHECK(write(fds[1], "GET / HTTP/1.1\r\n\r\n", 18) == 18);
    CHECK(dyno_tls_shake(session, &waits) < 0 && dyno_tls_failure_count(tls) == 1);
    CHECK(dyno_tls_shake(session, &waits) < 0 && dyno_tls_end(session, &waits));
    dyno_tls_close(session);
    CHECK(dyno_tls_failure_count(tls) == 1);
    /* Whoever says nothing has not begun. */
    session = dyno_tls_open(tls, &dyno_tls_http2, slab, fds[0], 1000);
    REQUIRE(session != NULL);
    (void)close(fds[1]);
    CHECK(dyno_tls_shake(session, &waits) < 0);
    dyno_tls_close(session);
    CHECK(dyno_tls_failure_count(tls) == 1);
    dyno_tls_destroy(tls);
    dyno_slab_destroy(slab);
    (void)close(fds[0]);
    CHECK(dyno_mem_live_count() == 0);
}

static void test_replaced(void)
{
    struct dyno_err err = {0};
    struct dyno_tls *tls = NULL;
    REQUIRE(dyno_tls_create(&options, &tls, &err) == DYNO_OK);
    CHECK(!dyno_tls_has_changed(tls) && !dyno_tls_has_changed(tls));
    issue();
    CHECK(!dyno_tls_has_changed(tls)); /* it may go on changing */
    CHECK(dyno_tls_has_changed(tls));
    CHECK(dyno_tls_reload(tls, &err) == DYNO_OK && !dyno_tls_has_changed(tls));
    const int64_t expiry_s = dyno_tls_expiry(tls);
    CHECK(expiry_s > 0);
    REQUIRE(unlink(key_path) == 0);
    CHECK(!dyno_tls_has_changed(tls) && dyno_tls_has_changed(tls));
    CHECK(dyno_tls_reload(tls, &err) == DYNO_E_NOT_FOUND && strstr(err.text, key_path) != NULL);
    CHECK(!dyno_tls_has_changed(tls)); /* what was refused is not tried again and again */
    CHECK(dyno_tls_expiry(tls) == expiry_s);
    issue();
    CHECK(!dyno_tls_has_changed(tls) && dyno_tls_has_changed(tls));
    CHECK(dyno_tls_reload(tls, NULL) == DYNO_OK);
    dyno_tls_destroy(tls);
}

int main(void)
{
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(cert_path, sizeof(cert_path), "%s/a.pem", folder);
    (void)snprintf(key_path, sizeof(key_path), "%s/a.key", folder);
    issue();
    test_memory();
    test_session();
    test_replaced();
    (void)unlink(cert_path);
    (void)unlink(key_path);
    (void)rmdir(folder);
    return TEST_RESULT();
}
