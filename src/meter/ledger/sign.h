/* sign.h - Ed25519 (RFC 8032), by OpenSSL's libcrypto, which is loaded when the first key is.
 *
 * Who neither signs nor checks needs no library.  Keys are PEM files as `openssl genpkey -algorithm
 * ed25519` and `openssl pkey -pubout` write them.  A signer is used by one thread at a time.
 */
#ifndef DYNO_METER_LEDGER_SIGN_H
#define DYNO_METER_LEDGER_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DYNO_KEY_BYTES       32U
#define DYNO_SIGNATURE_BYTES 64U

struct dyno_signer;

/* E_IO, E_NOT_FOUND; E_FORMAT: no private key for Ed25519, or one with a password; E_UNSUPPORTED:
 * no libcrypto. */
enum dyno_status dyno_signer_open(const char *path, struct dyno_signer **signer_out,
                                  struct dyno_err *err);
void dyno_signer_close(struct dyno_signer *signer); /* accepts NULL */

/* The public key. */
void dyno_signer_key(const struct dyno_signer *signer, uint8_t key_out[DYNO_KEY_BYTES]);
enum dyno_status dyno_signer_sign(struct dyno_signer *signer, const void *data, size_t bytes,
                                  uint8_t signature_out[DYNO_SIGNATURE_BYTES],
                                  struct dyno_err *err);

/* The public key in a file: a PEM file, or 64 hexadecimal digits. */
enum dyno_status dyno_public_key_read(const char *path, uint8_t key_out[DYNO_KEY_BYTES],
                                      struct dyno_err *err);

/* E_CORRUPT: not signed by whoever has the key.  E_UNSUPPORTED: no libcrypto. */
enum dyno_status dyno_signature_check(const uint8_t key[DYNO_KEY_BYTES], const void *data,
                                      size_t bytes, const uint8_t signature[DYNO_SIGNATURE_BYTES],
                                      struct dyno_err *err);

#endif /* DYNO_METER_LEDGER_SIGN_H */
