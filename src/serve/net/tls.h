/* tls.h - TLS under a connection, by OpenSSL (serve/net/openssl.h).
 *
 * struct dyno_tls holds the certificate that new connections show, of all loops; it is swapped
 * while they run.  struct dyno_tls_session is one connection's, of its loop's thread, and uses the
 * connection's descriptor without owning it.
 *
 * Bytes that were decrypted and not asked for wait inside the session, where no event tells of
 * them. So a caller reads on until he is told what to wait for.
 */
#ifndef DYNO_SERVE_NET_TLS_H
#define DYNO_SERVE_NET_TLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/err.h"
#include "serve/net/slab.h"

#define DYNO_TLS_RECORD_BYTES ((size_t)16384) /* the most that one record carries */

struct dyno_tls;
struct dyno_tls_session;

/* Files in PEM form; the texts outlive struct dyno_tls. */
struct dyno_tls_options {
    const char *cert_path;      /* the server's certificate, and those that lead to an issuer */
    const char *key_path;       /* its key, without a passphrase */
    const char *client_ca_path; /* NULL, or who issues the certificates that clients must show */
};

/* The protocol inside, as clients name it in ALPN (RFC 7301). */
struct dyno_tls_protocol {
    const char *names; /* each after its length in one byte; the first is liked best */
    bool is_required;  /* a client that names none is refused, too */
};
extern const struct dyno_tls_protocol dyno_tls_http1, dyno_tls_http2;

/* Load OpenSSL and read the files.  E_UNSUPPORTED without the library; E_NOT_FOUND, E_IO, E_FORMAT,
 * E_ARG, E_LIMIT name a file and the rule. */
enum dyno_status dyno_tls_create(const struct dyno_tls_options *options, struct dyno_tls **tls_out,
                                 struct dyno_err *err);
void dyno_tls_destroy(struct dyno_tls *tls); /* no session is left; accepts NULL */

/* --- replaced files: one thread, none that has a loop, for files are read --- */

/* Read the files again; connections that begin from now on get what is in them.  On failure
 * everything stays as it is. */
enum dyno_status dyno_tls_reload(struct dyno_tls *tls, struct dyno_err *err);
/* Were the files replaced since they were read, and left alone since the last look? */
bool dyno_tls_has_changed(struct dyno_tls *tls);

/* --- for metrics: any thread --- */

/* Connections whose handshake began and came to nothing. */
uint64_t dyno_tls_failure_count(const struct dyno_tls *tls);
/* When the certificate expires, in seconds since the epoch. */
int64_t dyno_tls_expiry(const struct dyno_tls *tls);

/* --- sessions --- */

/* NULL: out of memory. */
struct dyno_tls_session *dyno_tls_open(struct dyno_tls *tls,
                                       const struct dyno_tls_protocol *protocol,
                                       struct dyno_slab *slab, int fd, uint64_t now_ns);
void dyno_tls_close(struct dyno_tls_session *session); /* the memory alone; accepts NULL */

/* *waits_out of these is 0, or the EPOLL* event without which nothing more can be done. */

/* Go on with the handshake: 1 when it is over; 0: not yet; -1: it failed, and the client may have
 * been told why. */
int dyno_tls_shake(struct dyno_tls_session *session, uint32_t *waits_out);
/* As readv and write; the bytes of a failed write are given again, there may be more of them. */
ssize_t dyno_tls_read(struct dyno_tls_session *session, const struct iovec *iovs, int count,
                      uint32_t *waits_out);
ssize_t dyno_tls_write(struct dyno_tls_session *session, const void *data, size_t bytes,
                       uint32_t *waits_out);
/* Tell the client that no more comes, after all that was to be written.  False: not yet. */
bool dyno_tls_end(struct dyno_tls_session *session, uint32_t *waits_out);

bool dyno_tls_is_open(const struct dyno_tls_session *session); /* the handshake is over */
/* Has the handshake taken too long? */
bool dyno_tls_is_late(const struct dyno_tls_session *session, uint64_t now_ns);
/* Bytes that came and were not read, at most. */
size_t dyno_tls_pending(const struct dyno_tls_session *session);

#endif /* DYNO_SERVE_NET_TLS_H */
