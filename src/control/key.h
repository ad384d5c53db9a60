/* key.h - what a caller shows: dyno_ID_SECRET.
 *
 * ID names the key in listings and is no secret; SECRET is 256 random bits.  A key is shown once,
 * when it is made; what is kept is the SHA-256 of its whole text.  Whoever holds one wipes it after
 * use (dyno_key_wipe).  Any thread.
 */
#ifndef DYNO_CONTROL_KEY_H
#define DYNO_CONTROL_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DYNO_KEY_PREFIX       "dyno_"
#define DYNO_KEY_ID_BYTES     12 /* lower-case hexadecimal digits */
#define DYNO_KEY_SECRET_BYTES 64 /* the same */
#define DYNO_KEY_TEXT_BYTES   (5 + DYNO_KEY_ID_BYTES + 1 + DYNO_KEY_SECRET_BYTES)
#define DYNO_DIGEST_BYTES     32U

struct dyno_key {
    char text[DYNO_KEY_TEXT_BYTES + 1];
    char id[DYNO_KEY_ID_BYTES + 1];
};

/* E_IO when the kernel has no random bits for us. */
enum dyno_status dyno_key_make(struct dyno_key *key_out, struct dyno_err *err);
void dyno_key_wipe(struct dyno_key *key);

bool dyno_key_id_ok(const char *id);

/* False, without hashing, when this does not have the form of a key. */
bool dyno_key_digest(const char *text, size_t bytes, uint8_t digest_out[DYNO_DIGEST_BYTES]);

/* In a time that does not depend on where they differ. */
bool dyno_digest_same(const uint8_t a[DYNO_DIGEST_BYTES], const uint8_t b[DYNO_DIGEST_BYTES]);

#endif /* DYNO_CONTROL_KEY_H */
