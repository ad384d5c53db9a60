/* tls_context.c - reading PEM, and what of TLS is spoken. */
#include "serve/net/tls_context.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#define FILE_BYTES_MAX ((size_t)1024 * 1024)

/* Of TLS 1.2 those that RFC 9113 leaves to HTTP/2: forward secret and authenticated.  All of
 * TLS 1.3 are. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

#define OPTIONS                                                                        \
    (SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | /* HTTP says how long it is: */ \
     SSL_OP_IGNORE_UNEXPECTED_EOF)

/* AUTO_RETRY is left out: with it a client that sends nothing but key updates would keep the
 * thread. */
#define MODES                                                              \
    (SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | \
     SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS)

/* --- files --- */

static enum dyno_status read_whole(int fd, const char *path, char *data, size_t *bytes_out,
                                   struct dyno_err *err)
{
    size_t bytes = 0;
    for (;;) {
        const ssize_t got = read(fd, data + bytes, FILE_BYTES_MAX - bytes);
        if (got < 0 && errno != EINTR)
            return DYNO_FAIL(err, DYNO_E_IO, "cannot read '%s': %s", path, strerror(errno));
        bytes += got > 0 ? (size_t)got : 0;
        if (bytes == FILE_BYTES_MAX)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' is larger than a PEM file may be, %zu bytes",
                             path, FILE_BYTES_MAX);
        if (got == 0)
            break;
    }
    *bytes_out = bytes;
    return DYNO_OK;
}

/* A copy: a map would fault when the file is cut short while it is read. */
static enum dyno_status open_pem(const char *path, char *data, BIO **bio_out, struct dyno_err *err)
{
    struct stat info;
    size_t bytes = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return DYNO_FAIL(err, dyno_file_read_status(errno), "cannot open '%s': %s", path,
                         strerror(errno));
    enum dyno_status status = fstat(fd, &info) == 0 && S_ISREG(info.st_mode)
                                  ? read_whole(fd, path, data, &bytes, err)
                                  : DYNO_FAIL(err, DYNO_E_IO, "'%s' is no regular file", path);
    (void)close(fd);
    if (status != DYNO_OK)
        return status;
    *bio_out = dyno_ssl.BIO_new_mem_buf(data, (int)bytes);
    return *bio_out != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

/* The next certificate; NULL after the last. */
static enum dyno_status next_certificate(BIO *bio, const char *path, X509 **certificate_out,
                                         struct dyno_err *err)
{
    dyno_ssl.ERR_clear_error();
    *certificate_out = dyno_ssl.PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (*certificate_out != NULL ||
        ERR_GET_REASON(dyno_ssl.ERR_peek_error()) == PEM_R_NO_START_LINE)
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_FORMAT, "a certificate in '%s' is damaged: %s", path,
                     dyno_openssl_reason());
}

/* --- the server's own certificate --- */

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm parts = {0};
    return dyno_ssl.ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

static void warn_of_dates(const char *path, const X509 *certificate, int64_t *expiry_out)
{
    const int64_t now = (int64_t)time(NULL);
    *expiry_out = seconds_of(dyno_ssl.X509_get0_notAfter(certificate));
    if (*expiry_out <= now)
        dyno_log(DYNO_LOG_WARN, "the certificate in '%s' has expired", path);
    else if (seconds_of(dyno_ssl.X509_get0_notBefore(certificate)) > now)
        dyno_log(DYNO_LOG_WARN, "the certificate in '%s' is not valid yet", path);
}

/* The first is the server's, those that follow lead to an issuer that clients know. */
static enum dyno_status take_chain(SSL_CTX *context, BIO *bio, const char *path, X509 **leaf_out,
                                   struct dyno_err *err)
{
    X509 *issuer = NULL;
    DYNO_TRY(next_certificate(bio, path, leaf_out, err));
    if (*leaf_out == NULL)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "'%s' holds no certificate in PEM form", path);
    if (dyno_ssl.SSL_CTX_use_certificate(context, *leaf_out) != 1)
        return DYNO_FAIL(err, DYNO_E_ARG, "OpenSSL does not take the certificate in '%s': %s", path,
                         dyno_openssl_reason());
    for (;;) {
        DYNO_TRY(next_certificate(bio, path, &issuer, err));
        if (issuer == NULL)
            return DYNO_OK;
        /* Takes the certificate, but when it fails. */
        if (dyno_ssl.SSL_CTX_ctrl(context, SSL_CTRL_CHAIN_CERT, 0, issuer) != 1) {
            const enum dyno_status status =
                DYNO_FAIL(err, DYNO_E_ARG, "OpenSSL does not take the chain in '%s': %s", path,
                          dyno_openssl_reason());
            dyno_ssl.X509_free(issuer);
            return status;
        }
    }
}

/* Without it OpenSSL would ask on the terminal.
 * NOLINTNEXTLINE(readability-non-const-parameter): the type is OpenSSL's */
static int refuse_passphrase(char *to, int room, int is_writing, void *was_asked)
{
    (void)to;
    (void)room;
    (void)is_writing;
    *(bool *)was_asked = true;
    return -1;
}

static enum dyno_status take_key(SSL_CTX *context, BIO *bio, const struct dyno_tls_options *options,
                                 X509 *leaf, struct dyno_err *err)
{
    const char *path = options->key_path;
    bool is_encrypted = false;
    dyno_ssl.ERR_clear_error();
    EVP_PKEY *key = dyno_ssl.PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &is_encrypted);
    if (is_encrypted)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "the key in '%s' is encrypted: it must have no passphrase", path);
    if (key == NULL)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "'%s' holds no private key in PEM form", path);
    enum dyno_status status = DYNO_OK;
    if (dyno_ssl.X509_check_private_key(leaf, key) != 1)
        status =
            DYNO_FAIL(err, DYNO_E_ARG, "the key in '%s' is not that of the certificate in '%s'",
                      path, options->cert_path);
    else if (dyno_ssl.SSL_CTX_use_PrivateKey(context, key) != 1)
        status = DYNO_FAIL(err, DYNO_E_ARG, "OpenSSL does not take the key in '%s': %s", path,
                           dyno_openssl_reason());
    dyno_ssl.EVP_PKEY_free(key);
    return status;
}

static enum dyno_status take_identity(SSL_CTX *context, const struct dyno_tls_options *options,
                                      char *data, int64_t *expiry_out, struct dyno_err *err)
{
    X509 *leaf = NULL;
    BIO *bio = NULL;
    DYNO_TRY(open_pem(options->cert_path, data, &bio, err));
    enum dyno_status status = take_chain(context, bio, options->cert_path, &leaf, err);
    (void)dyno_ssl.BIO_free(bio);
    bio = NULL;
    if (status == DYNO_OK)
        status = open_pem(options->key_path, data, &bio, err);
    if (status == DYNO_OK)
        status = take_key(context, bio, options, leaf, err);
    explicit_bzero(data, FILE_BYTES_MAX);
    if (status == DYNO_OK)
        warn_of_dates(options->cert_path, leaf, expiry_out);
    (void)dyno_ssl.BIO_free(bio);
    dyno_ssl.X509_free(leaf);
    return status;
}

/* --- who issues the certificates of clients --- */

static enum dyno_status trust(SSL_CTX *context, X509 *certificate, const char *path,
                              struct dyno_err *err)
{
    X509_STORE *store = dyno_ssl.SSL_CTX_get_cert_store(context);
    if (dyno_ssl.X509_STORE_add_cert(store, certificate) == 1 &&
        dyno_ssl.SSL_CTX_add_client_CA(context, certificate) == 1)
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_ARG, "OpenSSL does not take a certificate in '%s': %s", path,
                     dyno_openssl_reason());
}

static enum dyno_status take_issuers(SSL_CTX *context, const char *path, char *data,
                                     struct dyno_err *err)
{
    BIO *bio = NULL;
    X509 *certificate = NULL;
    size_t count = 0;
    DYNO_TRY(open_pem(path, data, &bio, err));
    enum dyno_status status = next_certificate(bio, path, &certificate, err);
    while (status == DYNO_OK && certificate != NULL) {
        status = trust(context, certificate, path, err);
        dyno_ssl.X509_free(certificate);
        certificate = NULL;
        count++;
        if (status == DYNO_OK)
            status = next_certificate(bio, path, &certificate, err);
    }
    (void)dyno_ssl.BIO_free(bio);
    if (status == DYNO_OK && count == 0)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "'%s' holds no certificate in PEM form", path);
    /* Whoever stands in the file is trusted, be it no root. */
    (void)dyno_ssl.X509_STORE_set_flags(dyno_ssl.SSL_CTX_get_cert_store(context),
                                        X509_V_FLAG_PARTIAL_CHAIN);
    dyno_ssl.SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return status;
}

/* --- the whole --- */

/* Sessions are resumed by tickets, which the clients keep: nothing is stored here for them. */
static bool set_rules(SSL_CTX *context)
{
    static const unsigned char name[] = "dyno-serve";
    (void)dyno_ssl.SSL_CTX_set_options(context, OPTIONS);
    (void)dyno_ssl.SSL_CTX_ctrl(context, SSL_CTRL_MODE, MODES, NULL);
    (void)dyno_ssl.SSL_CTX_ctrl(context, SSL_CTRL_CLEAR_MODE, SSL_MODE_AUTO_RETRY, NULL);
    (void)dyno_ssl.SSL_CTX_ctrl(context, SSL_CTRL_SET_READ_AHEAD, 1, NULL);
    (void)dyno_ssl.SSL_CTX_ctrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
    return dyno_ssl.SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL) ==
               1 &&
           dyno_ssl.SSL_CTX_set_cipher_list(context, CIPHERS) == 1 &&
           dyno_ssl.SSL_CTX_set_session_id_context(context, name, sizeof(name) - 1) == 1;
}

enum dyno_status dyno_tls_context_create(const struct dyno_tls_options *options,
                                         SSL_CTX **context_out, int64_t *expiry_out,
                                         struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    *context_out = NULL;
    dyno_ssl.ERR_clear_error();
    SSL_CTX *context = dyno_ssl.SSL_CTX_new(dyno_ssl.TLS_server_method());
    char *data = dyno_alloc_raw(FILE_BYTES_MAX, 1);
    if (data == NULL || context == NULL)
        status = DYNO_NOMEM(err);
    else if (!set_rules(context))
        status = DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "OpenSSL has not what TLS wants: %s",
                           dyno_openssl_reason());
    else
        status = take_identity(context, options, data, expiry_out, err);
    if (status == DYNO_OK && options->client_ca_path != NULL)
        status = take_issuers(context, options->client_ca_path, data, err);
    dyno_free(data);
    if (status == DYNO_OK)
        *context_out = context;
    else
        dyno_ssl.SSL_CTX_free(context);
    return status;
}
