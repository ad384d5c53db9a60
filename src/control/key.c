/* key.c - making keys and knowing them again. */
#include "control/key.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash.h"

#define RANDOM_BYTES ((DYNO_KEY_ID_BYTES + DYNO_KEY_SECRET_BYTES) / 2)

static bool is_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static char *put_hex(char *to, const uint8_t *data, size_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes; i++) {
        *to++ = digits[data[i] >> 4];
        *to++ = digits[data[i] & 15U];
    }
    return to;
}

enum dyno_status dyno_key_make(struct dyno_key *key_out, struct dyno_err *err)
{
    uint8_t random[RANDOM_BYTES];
    const size_t id_bytes = DYNO_KEY_ID_BYTES / 2;
    *key_out = (struct dyno_key){0};
    ssize_t got = 0;
    do /* so few come at once or not at all */
        got = getrandom(random, sizeof(random), 0);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof(random))
        return DYNO_FAIL(err, DYNO_E_IO, "the kernel gives no random bits: %s", strerror(errno));
    memcpy(key_out->text, DYNO_KEY_PREFIX, strlen(DYNO_KEY_PREFIX));
    char *to = put_hex(key_out->text + strlen(DYNO_KEY_PREFIX), random, id_bytes);
    *to++ = '_';
    (void)put_hex(to, random + id_bytes, sizeof(random) - id_bytes);
    (void)put_hex(key_out->id, random, id_bytes);
    explicit_bzero(random, sizeof(random));
    return DYNO_OK;
}

void dyno_key_wipe(struct dyno_key *key)
{
    explicit_bzero(key, sizeof(*key));
}

bool dyno_key_id_ok(const char *id)
{
    size_t bytes = 0;
    while (bytes <= DYNO_KEY_ID_BYTES && is_digit(id[bytes]))
        bytes++;
    return bytes == DYNO_KEY_ID_BYTES && id[bytes] == 0;
}

bool dyno_key_digest(const char *text, size_t bytes, uint8_t digest_out[DYNO_DIGEST_BYTES])
{
    const size_t prefix_bytes = strlen(DYNO_KEY_PREFIX);
    struct dyno_sha256 sha;
    if (bytes != DYNO_KEY_TEXT_BYTES || memcmp(text, DYNO_KEY_PREFIX, prefix_bytes) != 0)
        return false;
    for (size_t i = prefix_bytes; i < bytes; i++)
        if (i == prefix_bytes + DYNO_KEY_ID_BYTES ? text[i] != '_' : !is_digit(text[i]))
            return false;
    dyno_sha256_init(&sha);
    dyno_sha256_update(&sha, text, bytes);
    dyno_sha256_final(&sha, digest_out);
    explicit_bzero(&sha, sizeof(sha));
    return true;
}

bool dyno_digest_same(const uint8_t a[DYNO_DIGEST_BYTES], const uint8_t b[DYNO_DIGEST_BYTES])
{
    volatile uint8_t differ = 0; /* or the compiler may stop at the first difference */
    for (size_t i = 0; i < DYNO_DIGEST_BYTES; i++)
        differ |= (uint8_t)(a[i] ^ b[i]);
    return differ == 0;
}
