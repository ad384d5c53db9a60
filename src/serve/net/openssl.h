/* openssl.h - OpenSSL 3, loaded when the first certificate is asked for.
 *
 * A server without TLS neither needs nor maps it.  dyno_ssl is to it what the linker's own table is
 * to a linked library: filled once, before any thread uses it, and read only from then on.
 */
#ifndef DYNO_SERVE_NET_OPENSSL_H
#define DYNO_SERVE_NET_OPENSSL_H

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/err.h"

/* Every function that is called; what is a macro in OpenSSL's headers goes by its function. */
#define DYNO_OPENSSL(X)               \
    X(ASN1_TIME_to_tm)                \
    X(BIO_clear_flags)                \
    X(BIO_free)                       \
    X(BIO_get_data)                   \
    X(BIO_meth_free)                  \
    X(BIO_meth_new)                   \
    X(BIO_meth_set_ctrl)              \
    X(BIO_meth_set_read)              \
    X(BIO_meth_set_write)             \
    X(BIO_new)                        \
    X(BIO_new_mem_buf)                \
    X(BIO_set_data)                   \
    X(BIO_set_flags)                  \
    X(BIO_set_init)                   \
    X(ERR_clear_error)                \
    X(ERR_peek_error)                 \
    X(ERR_reason_error_string)        \
    X(EVP_PKEY_free)                  \
    X(PEM_read_bio_PrivateKey)        \
    X(PEM_read_bio_X509)              \
    X(SSL_CTX_add_client_CA)          \
    X(SSL_CTX_ctrl)                   \
    X(SSL_CTX_free)                   \
    X(SSL_CTX_get_cert_store)         \
    X(SSL_CTX_new)                    \
    X(SSL_CTX_set_alpn_select_cb)     \
    X(SSL_CTX_set_cipher_list)        \
    X(SSL_CTX_set_client_hello_cb)    \
    X(SSL_CTX_set_options)            \
    X(SSL_CTX_set_session_id_context) \
    X(SSL_CTX_set_verify)             \
    X(SSL_CTX_use_PrivateKey)         \
    X(SSL_CTX_use_certificate)        \
    X(SSL_client_hello_get0_ext)      \
    X(SSL_do_handshake)               \
    X(SSL_free)                       \
    X(SSL_get_error)                  \
    X(SSL_get_ex_data)                \
    X(SSL_has_pending)                \
    X(SSL_new)                        \
    X(SSL_pending)                    \
    X(SSL_read)                       \
    X(SSL_select_next_proto)          \
    X(SSL_set_accept_state)           \
    X(SSL_set_bio)                    \
    X(SSL_set_ex_data)                \
    X(SSL_shutdown)                   \
    X(SSL_write)                      \
    X(TLS_server_method)              \
    X(X509_STORE_add_cert)            \
    X(X509_STORE_set_flags)           \
    X(X509_check_private_key)         \
    X(X509_free)                      \
    X(X509_get0_notAfter)             \
    X(X509_get0_notBefore)

/* NOLINTBEGIN(readability-identifier-naming,bugprone-macro-parentheses): names of OpenSSL */
struct dyno_openssl {
#define X(name) __typeof__(&name) name;
    DYNO_OPENSSL(X)
#undef X
};
/* NOLINTEND(readability-identifier-naming,bugprone-macro-parentheses) */

extern struct dyno_openssl dyno_ssl;

/* Fill dyno_ssl; again does nothing.  E_UNSUPPORTED names the library or the function that is
 * missing.  One thread. */
enum dyno_status dyno_openssl_load(struct dyno_err *err);

/* Why the last call of this thread failed, in OpenSSL's words; nothing in it comes from a peer. */
const char *dyno_openssl_reason(void);

#endif /* DYNO_SERVE_NET_OPENSSL_H */
