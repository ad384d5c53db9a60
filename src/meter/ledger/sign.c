/* sign.c - keys and signatures; libcrypto is found when it is wanted. */
#include "meter/ledger/sign.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/library.h"
#include "base/mem.h"

#define LIBRARY       "libcrypto.so.3"
#define KEY_BYTES_MAX 65536 /* of a file */

#define FUNCTIONS(X)               \
    X(BIO_free)                    \
    X(BIO_new_mem_buf)             \
    X(ERR_clear_error)             \
    X(EVP_DigestSign)              \
    X(EVP_DigestSignInit)          \
    X(EVP_DigestVerify)            \
    X(EVP_DigestVerifyInit)        \
    X(EVP_MD_CTX_free)             \
    X(EVP_MD_CTX_new)              \
    X(EVP_PKEY_free)               \
    X(EVP_PKEY_get_raw_public_key) \
    X(EVP_PKEY_is_a)               \
    X(EVP_PKEY_new_raw_public_key) \
    X(PEM_read_bio_PUBKEY)         \
    X(PEM_read_bio_PrivateKey)

#include <openssl/err.h>

struct crypto {
#define X(name) __typeof__ (&(name))(name);
    FUNCTIONS(X)
#undef X
};
static struct crypto crypto; /* not changed any more once it is loaded */

static const struct dyno_library_row rows[] = {
#define X(name) {#name, offsetof(struct crypto, name)},
    FUNCTIONS(X)
#undef X
};

static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static char why_not[256]; /* "": it is loaded */

static void load(void)
{
    (void)dyno_library_load(LIBRARY, rows, DYNO_COUNT(rows), &crypto, why_not, sizeof(why_not));
}

static enum dyno_status want_library(struct dyno_err *err)
{
    (void)pthread_once(&load_once, load);
    return why_not[0] == 0
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                           "signatures want OpenSSL 3 (Debian package libssl3): %s", why_not);
}

/* --- keys --- */

struct dyno_signer {
    EVP_PKEY *key;
    uint8_t public_key[DYNO_KEY_BYTES];
};

/* A key with a password is refused: there is nobody to ask. */
static int no_password(char *buffer, int room, int writes, void *arg)
{
    (void)writes;
    (void)arg;
    if (room > 0)
        buffer[0] = 0;
    return -1;
}

static bool take_public(EVP_PKEY *key, uint8_t key_out[DYNO_KEY_BYTES])
{
    size_t bytes = DYNO_KEY_BYTES;
    return key != NULL && crypto.EVP_PKEY_is_a(key, "ED25519") == 1 &&
           crypto.EVP_PKEY_get_raw_public_key(key, key_out, &bytes) == 1 && bytes == DYNO_KEY_BYTES;
}

static EVP_PKEY *read_pem(const struct dyno_file_map *map, bool is_private)
{
    EVP_PKEY *key = NULL;
    if (map->bytes == 0 || map->bytes > KEY_BYTES_MAX)
        return NULL;
    BIO *bio = crypto.BIO_new_mem_buf(map->data, (int)map->bytes);
    if (bio == NULL)
        return NULL;
    key = is_private ? crypto.PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL)
                     : crypto.PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);
    (void)crypto.BIO_free(bio);
    crypto.ERR_clear_error();
    return key;
}

enum dyno_status dyno_signer_open(const char *path, struct dyno_signer **signer_out,
                                  struct dyno_err *err)
{
    struct dyno_file_map map = {0};
    *signer_out = NULL;
    DYNO_TRY(want_library(err));
    DYNO_TRY(dyno_file_map(path, &map, err));
    struct dyno_signer *signer = dyno_alloc(1, sizeof(*signer));
    if (signer == NULL) {
        dyno_file_unmap(&map);
        return DYNO_NOMEM(err);
    }
    signer->key = read_pem(&map, true);
    dyno_file_unmap(&map);
    if (!take_public(signer->key, signer->public_key)) {
        dyno_signer_close(signer);
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "\"%s\" is no private key for Ed25519 without a password, in PEM", path);
    }
    *signer_out = signer;
    return DYNO_OK;
}

void dyno_signer_close(struct dyno_signer *signer)
{
    if (signer == NULL)
        return;
    crypto.EVP_PKEY_free(signer->key);
    dyno_free(signer);
}

void dyno_signer_key(const struct dyno_signer *signer, uint8_t key_out[DYNO_KEY_BYTES])
{
    memcpy(key_out, signer->public_key, DYNO_KEY_BYTES);
}

enum dyno_status dyno_public_key_read(const char *path, uint8_t key_out[DYNO_KEY_BYTES],
                                      struct dyno_err *err)
{
    struct dyno_file_map map = {0};
    DYNO_TRY(dyno_file_map(path, &map, err));
    size_t bytes = map.bytes;
    const char *text = map.data;
    while (bytes > 0 && (text[bytes - 1] == '\n' || text[bytes - 1] == '\r'))
        bytes--;
    bool ok = bytes == 2 * (size_t)DYNO_KEY_BYTES && dyno_hex_parse(text, bytes, key_out);
    enum dyno_status status = ok ? DYNO_OK : want_library(err);
    if (status == DYNO_OK && !ok) {
        EVP_PKEY *key = read_pem(&map, false);
        ok = take_public(key, key_out);
        crypto.EVP_PKEY_free(key);
        if (!ok)
            status = DYNO_FAIL(err, DYNO_E_FORMAT,
                               "\"%s\" is no public key for Ed25519, in PEM or as 64 "
                               "hexadecimal digits",
                               path);
    }
    dyno_file_unmap(&map);
    return status;
}

/* --- signatures --- */

enum dyno_status dyno_signer_sign(struct dyno_signer *signer, const void *data, size_t bytes,
                                  uint8_t signature_out[DYNO_SIGNATURE_BYTES], struct dyno_err *err)
{
    size_t count = DYNO_SIGNATURE_BYTES;
    EVP_MD_CTX *ctx = crypto.EVP_MD_CTX_new();
    if (ctx == NULL)
        return DYNO_NOMEM(err);
    const bool ok = crypto.EVP_DigestSignInit(ctx, NULL, NULL, NULL, signer->key) == 1 &&
                    crypto.EVP_DigestSign(ctx, signature_out, &count, data, bytes) == 1 &&
                    count == DYNO_SIGNATURE_BYTES;
    crypto.EVP_MD_CTX_free(ctx);
    crypto.ERR_clear_error();
    return ok ? DYNO_OK : DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "OpenSSL did not sign");
}

enum dyno_status dyno_signature_check(const uint8_t key[DYNO_KEY_BYTES], const void *data,
                                      size_t bytes, const uint8_t signature[DYNO_SIGNATURE_BYTES],
                                      struct dyno_err *err)
{
    DYNO_TRY(want_library(err));
    EVP_PKEY *public_key =
        crypto.EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, DYNO_KEY_BYTES);
    EVP_MD_CTX *ctx = crypto.EVP_MD_CTX_new();
    const bool ok = public_key != NULL && ctx != NULL &&
                    crypto.EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, public_key) == 1 &&
                    crypto.EVP_DigestVerify(ctx, signature, DYNO_SIGNATURE_BYTES, data, bytes) == 1;
    crypto.EVP_MD_CTX_free(ctx);
    crypto.EVP_PKEY_free(public_key);
    crypto.ERR_clear_error();
    return ok ? DYNO_OK : DYNO_FAIL(err, DYNO_E_CORRUPT, "the signature is not its key's");
}
