/* tls_context.h - certificate, key and trusted issuers out of PEM files, as OpenSSL takes them. */
#ifndef DYNO_SERVE_NET_TLS_CONTEXT_H
#define DYNO_SERVE_NET_TLS_CONTEXT_H

#include "serve/net/openssl.h"
#include "serve/net/tls.h"

/* The files as they are now; the caller frees *context_out.  *expiry_out: when the certificate
 * expires, in seconds since the epoch.  E_NOT_FOUND, E_IO, E_FORMAT, E_ARG, E_LIMIT name the file
 * and the rule; a certificate that is not valid now is warned about. */
enum dyno_status dyno_tls_context_create(const struct dyno_tls_options *options,
                                         SSL_CTX **context_out, int64_t *expiry_out,
                                         struct dyno_err *err);

#endif /* DYNO_SERVE_NET_TLS_CONTEXT_H */
