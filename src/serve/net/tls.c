/* tls.c - sessions over a socket that does not block. */
#include "serve/net/tls.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "serve/net/tls_context.h"

#define SHAKE_WAIT_NS   UINT64_C(10000000000)
#define READS_MAX       64 /* records a call */
#define EMPTY_READS_MAX 4  /* in a row that gave no bytes: alerts, key updates */
#define FILES           3

/* What tells a file from the one that takes its place. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t bytes;
    struct timespec changed;
};

struct dyno_tls {
    struct dyno_tls_options options;
    BIO_METHOD *method;
    pthread_mutex_t lock;
    SSL_CTX *context; /* under the lock; sessions hold references of their own */
    atomic_uint_fast64_t failure_count;
    atomic_int_fast64_t expiry_s;
    struct stamp read[FILES], seen[FILES]; /* when the files were read, when they were looked at */
};

enum session_state { SHAKING, OPEN, BROKEN };

struct dyno_tls_session {
    struct dyno_tls *tls;
    const struct dyno_tls_protocol *protocol;
    struct dyno_slab *slab;
    SSL *ssl;
    int fd;
    enum session_state state;
    bool is_dry;    /* the socket had nothing more, in the call that runs */
    bool is_at_end; /* of what the client sends */
    bool has_begun; /* a byte came */
    bool is_ended;  /* the client was told that no more comes */
    uint32_t empty_count;
    uint64_t start_ns;
};

const struct dyno_tls_protocol dyno_tls_http1 = {.names = "\10http/1.1\10http/1.0"};
const struct dyno_tls_protocol dyno_tls_http2 = {.names = "\2h2", .is_required = true};

/* --- the socket as OpenSSL sees it --- */

static int socket_read(BIO *bio, char *to, int room)
{
    struct dyno_tls_session *session = dyno_ssl.BIO_get_data(bio);
    dyno_ssl.BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    ssize_t got = 0;
    do {
        got = recv(session->fd, to, (size_t)room, 0);
    } while (got < 0 && errno == EINTR);
    session->has_begun = session->has_begun || got > 0;
    session->is_at_end = got == 0;
    session->is_dry = got < 0 && errno == EAGAIN;
    if (session->is_dry)
        dyno_ssl.BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY);
    return (int)got;
}

static int socket_write(BIO *bio, const char *data, int bytes)
{
    const struct dyno_tls_session *session = dyno_ssl.BIO_get_data(bio);
    dyno_ssl.BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    ssize_t sent = 0;
    do {
        sent = send(session->fd, data, (size_t)bytes, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno == EAGAIN)
        dyno_ssl.BIO_set_flags(bio, BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY);
    return (int)sent;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
    const struct dyno_tls_session *session = dyno_ssl.BIO_get_data(bio);
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF)
        return session->is_at_end;
    return command == BIO_CTRL_FLUSH;
}

/* --- which protocol --- */

static struct dyno_tls_session *of_ssl(const SSL *ssl)
{
    return dyno_ssl.SSL_get_ex_data(ssl, 0);
}

static int choose_protocol(SSL *ssl, const unsigned char **name_out, unsigned char *bytes_out,
                           const unsigned char *offered, unsigned int offered_bytes, void *arg)
{
    const char *names = of_ssl(ssl)->protocol->names;
    (void)arg;
    const int chosen = dyno_ssl.SSL_select_next_proto(
        (unsigned char **)(uintptr_t)name_out, bytes_out, (const unsigned char *)names,
        (unsigned)strlen(names), offered, offered_bytes);
    return chosen == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int check_hello(SSL *ssl, int *alert_out, void *arg)
{
    const unsigned char *data = NULL;
    size_t bytes = 0;
    (void)arg;
    if (!of_ssl(ssl)->protocol->is_required ||
        dyno_ssl.SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation,
                                           &data, &bytes) == 1)
        return SSL_CLIENT_HELLO_SUCCESS;
    *alert_out = SSL_AD_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
}

/* --- the certificate --- */

static void take_stamps(const struct dyno_tls *tls, struct stamp *stamps)
{
    const char *const paths[FILES] = {tls->options.cert_path, tls->options.key_path,
                                      tls->options.client_ca_path};
    memset(stamps, 0, FILES * sizeof(*stamps));
    for (int i = 0; i < FILES; i++) {
        struct stat info;
        if (paths[i] == NULL || stat(paths[i], &info) != 0)
            continue;
        stamps[i].device = info.st_dev;
        stamps[i].inode = info.st_ino;
        stamps[i].bytes = info.st_size;
        stamps[i].changed = info.st_mtim;
    }
}

enum dyno_status dyno_tls_reload(struct dyno_tls *tls, struct dyno_err *err)
{
    SSL_CTX *context = NULL;
    int64_t expiry_s = 0;
    take_stamps(tls, tls->read); /* before: what is replaced meanwhile is read again */
    DYNO_TRY(dyno_tls_context_create(&tls->options, &context, &expiry_s, err));
    dyno_ssl.SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    dyno_ssl.SSL_CTX_set_client_hello_cb(context, check_hello, NULL);
    (void)pthread_mutex_lock(&tls->lock);
    SSL_CTX *old = tls->context;
    tls->context = context;
    (void)pthread_mutex_unlock(&tls->lock);
    atomic_store_explicit(&tls->expiry_s, expiry_s, memory_order_relaxed);
    dyno_ssl.SSL_CTX_free(old);
    return DYNO_OK;
}

bool dyno_tls_has_changed(struct dyno_tls *tls)
{
    struct stamp now[FILES];
    take_stamps(tls, now);
    const bool is_settled = memcmp(now, tls->seen, sizeof(now)) == 0;
    memcpy(tls->seen, now, sizeof(now));
    return is_settled && memcmp(now, tls->read, sizeof(now)) != 0;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *method = dyno_ssl.BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "dyno");
    if (method == NULL)
        return NULL;
    (void)dyno_ssl.BIO_meth_set_read(method, socket_read);
    (void)dyno_ssl.BIO_meth_set_write(method, socket_write);
    (void)dyno_ssl.BIO_meth_set_ctrl(method, socket_control);
    return method;
}

enum dyno_status dyno_tls_create(const struct dyno_tls_options *options, struct dyno_tls **tls_out,
                                 struct dyno_err *err)
{
    *tls_out = NULL;
    DYNO_TRY(dyno_openssl_load(err));
    struct dyno_tls *tls = dyno_alloc(1, sizeof(*tls));
    if (tls == NULL)
        return DYNO_NOMEM(err);
    (void)pthread_mutex_init(&tls->lock, NULL);
    tls->options = *options;
    tls->method = make_method();
    const enum dyno_status status =
        tls->method != NULL ? dyno_tls_reload(tls, err) : DYNO_NOMEM(err);
    if (status != DYNO_OK) {
        dyno_tls_destroy(tls);
        return status;
    }
    *tls_out = tls;
    return DYNO_OK;
}

void dyno_tls_destroy(struct dyno_tls *tls)
{
    if (tls == NULL)
        return;
    dyno_ssl.SSL_CTX_free(tls->context);
    dyno_ssl.BIO_meth_free(tls->method);
    (void)pthread_mutex_destroy(&tls->lock);
    dyno_free(tls);
}

uint64_t dyno_tls_failure_count(const struct dyno_tls *tls)
{
    return atomic_load_explicit(&tls->failure_count, memory_order_relaxed);
}

int64_t dyno_tls_expiry(const struct dyno_tls *tls)
{
    return atomic_load_explicit(&tls->expiry_s, memory_order_relaxed);
}

/* --- sessions --- */

/* The certificate of this moment. */
static SSL *make_ssl(struct dyno_tls *tls)
{
    (void)pthread_mutex_lock(&tls->lock);
    SSL *ssl = dyno_ssl.SSL_new(tls->context);
    (void)pthread_mutex_unlock(&tls->lock);
    return ssl;
}

struct dyno_tls_session *dyno_tls_open(struct dyno_tls *tls,
                                       const struct dyno_tls_protocol *protocol,
                                       struct dyno_slab *slab, int fd, uint64_t now_ns)
{
    struct dyno_tls_session *session = dyno_slab_alloc(slab, sizeof(*session));
    if (session == NULL)
        return NULL;
    *session = (struct dyno_tls_session){.tls = tls,
                                         .protocol = protocol,
                                         .slab = slab,
                                         .ssl = make_ssl(tls),
                                         .fd = fd,
                                         .start_ns = now_ns};
    BIO *bio = dyno_ssl.BIO_new(tls->method);
    if (session->ssl == NULL || bio == NULL ||
        dyno_ssl.SSL_set_ex_data(session->ssl, 0, session) != 1) {
        (void)dyno_ssl.BIO_free(bio);
        dyno_tls_close(session);
        return NULL;
    }
    dyno_ssl.BIO_set_data(bio, session);
    dyno_ssl.BIO_set_init(bio, 1);
    dyno_ssl.SSL_set_bio(session->ssl, bio, bio);
    dyno_ssl.SSL_set_accept_state(session->ssl);
    return session;
}

static void count_failure(struct dyno_tls_session *session, const char *reason)
{
    if (!session->has_begun)
        return;
    atomic_fetch_add_explicit(&session->tls->failure_count, 1, memory_order_relaxed);
    dyno_log(DYNO_LOG_DEBUG, "a TLS handshake failed: %s", reason);
}

void dyno_tls_close(struct dyno_tls_session *session)
{
    if (session == NULL)
        return;
    if (session->state == SHAKING)
        count_failure(session, "it was not finished");
    dyno_ssl.SSL_free(session->ssl);
    dyno_slab_free(session->slab, session);
}

/* What a call that gave nothing waits for; 0: it failed, or the client has ended. */
static uint32_t wanted(const struct dyno_tls_session *session, int result)
{
    const int code = dyno_ssl.SSL_get_error(session->ssl, result);
    return code == SSL_ERROR_WANT_READ ? EPOLLIN : code == SSL_ERROR_WANT_WRITE ? EPOLLOUT : 0;
}

int dyno_tls_shake(struct dyno_tls_session *session, uint32_t *waits_out)
{
    *waits_out = 0;
    if (session->state != SHAKING)
        return session->state == OPEN ? 1 : -1;
    dyno_ssl.ERR_clear_error();
    session->is_dry = false;
    const int result = dyno_ssl.SSL_do_handshake(session->ssl);
    if (result == 1) {
        session->state = OPEN;
        return 1;
    }
    const uint32_t waits = wanted(session, result);
    if (waits == EPOLLOUT || (waits == EPOLLIN && session->is_dry))
        *waits_out = waits;
    if (waits != 0)
        return 0;
    session->state = BROKEN;
    count_failure(session, session->is_at_end ? "the client has gone" : dyno_openssl_reason());
    return -1;
}

/* One record, or what is left of one: how many bytes, 0 at the end of input, -1 with errno. */
static ssize_t read_record(struct dyno_tls_session *session, char *to, size_t room,
                           uint32_t *waits_out)
{
    dyno_ssl.ERR_clear_error();
    session->is_dry = false;
    const int got = dyno_ssl.SSL_read(session->ssl, to, room < INT32_MAX ? (int)room : INT32_MAX);
    if (got > 0) {
        session->empty_count = 0;
        return got;
    }
    const int code = dyno_ssl.SSL_get_error(session->ssl, got);
    errno = EAGAIN;
    if (code == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (code == SSL_ERROR_WANT_WRITE) {
        *waits_out = EPOLLOUT;
        return -1;
    }
    if (code == SSL_ERROR_WANT_READ && session->is_dry) {
        *waits_out = EPOLLIN;
        return -1;
    }
    if (code == SSL_ERROR_WANT_READ && ++session->empty_count <= EMPTY_READS_MAX)
        return -1;
    session->state = BROKEN;
    errno = EPROTO;
    return -1;
}

ssize_t dyno_tls_read(struct dyno_tls_session *session, const struct iovec *iovs, int count,
                      uint32_t *waits_out)
{
    size_t total = 0;
    int at = 0;
    size_t filled = 0; /* of iovs[at] */
    *waits_out = 0;
    for (int i = 0; i < READS_MAX && at < count; i++) {
        if (session->state != OPEN) {
            errno = EPROTO;
            return total > 0 ? (ssize_t)total : -1;
        }
        const ssize_t got = read_record(session, (char *)iovs[at].iov_base + filled,
                                        iovs[at].iov_len - filled, waits_out);
        if (got <= 0)
            return total > 0 ? (ssize_t)total : got;
        total += (size_t)got;
        filled += (size_t)got;
        if (filled == iovs[at].iov_len) {
            filled = 0;
            at++;
        }
    }
    return (ssize_t)total;
}

ssize_t dyno_tls_write(struct dyno_tls_session *session, const void *data, size_t bytes,
                       uint32_t *waits_out)
{
    *waits_out = 0;
    errno = EPROTO;
    if (session->state != OPEN || session->is_ended)
        return -1;
    dyno_ssl.ERR_clear_error();
    const int sent =
        dyno_ssl.SSL_write(session->ssl, data, bytes < INT32_MAX ? (int)bytes : INT32_MAX);
    if (sent > 0)
        return sent;
    *waits_out = wanted(session, sent);
    if (*waits_out == 0)
        session->state = BROKEN;
    errno = *waits_out != 0 ? EAGAIN : EPROTO;
    return -1;
}

bool dyno_tls_end(struct dyno_tls_session *session, uint32_t *waits_out)
{
    *waits_out = 0;
    if (session->state != OPEN || session->is_ended)
        return true;
    dyno_ssl.ERR_clear_error();
    const int result = dyno_ssl.SSL_shutdown(session->ssl);
    if (result < 0)
        *waits_out = wanted(session, result);
    session->is_ended = *waits_out == 0;
    return session->is_ended;
}

bool dyno_tls_is_open(const struct dyno_tls_session *session)
{
    return session->state == OPEN;
}

bool dyno_tls_is_late(const struct dyno_tls_session *session, uint64_t now_ns)
{
    return session->state == SHAKING && now_ns - session->start_ns > SHAKE_WAIT_NS;
}

size_t dyno_tls_pending(const struct dyno_tls_session *session)
{
    const int ready = dyno_ssl.SSL_pending(session->ssl);
    const size_t sealed = dyno_ssl.SSL_has_pending(session->ssl) == 1 ? DYNO_TLS_RECORD_BYTES : 0;
    return (ready > 0 ? (size_t)ready : 0) + sealed;
}
