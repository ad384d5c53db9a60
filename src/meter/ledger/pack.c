/* pack.c - libz, found when it is wanted.  Its three functions are declared here, as zlib.h has had
 * them since 1.2, so that nobody needs its header either. */
#include "meter/ledger/pack.h"

#include <pthread.h>
#include <string.h>

#include "base/library.h"

#define LIBRARY "libz.so.1"
#define LEVEL   6
#define Z_OK    0

struct zlib {
    unsigned long (*bound)(unsigned long bytes);
    int (*compress)(unsigned char *out, unsigned long *out_bytes, const unsigned char *data,
                    unsigned long bytes, int level);
    int (*uncompress)(unsigned char *out, unsigned long *out_bytes, const unsigned char *data,
                      unsigned long bytes);
};
static struct zlib zlib; /* not changed any more once it is loaded */

static const struct dyno_library_row rows[] = {
    {"compressBound", offsetof(struct zlib, bound)},
    {"compress2", offsetof(struct zlib, compress)},
    {"uncompress", offsetof(struct zlib, uncompress)},
};

static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static char why_not[256]; /* "": it is loaded */

static void load(void)
{
    (void)dyno_library_load(LIBRARY, rows, DYNO_COUNT(rows), &zlib, why_not, sizeof(why_not));
}

static enum dyno_status want_library(struct dyno_err *err)
{
    (void)pthread_once(&load_once, load);
    return why_not[0] == 0 ? DYNO_OK
                           : DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "archives want zlib: %s", why_not);
}

enum dyno_status dyno_pack(const void *data, size_t bytes, struct dyno_strbuf *out,
                           struct dyno_err *err)
{
    DYNO_TRY(want_library(err));
    unsigned long packed = zlib.bound(bytes);
    dyno_strbuf_clear(out);
    if (!dyno_strbuf_reserve(out, packed) ||
        zlib.compress((unsigned char *)out->text, &packed, data, bytes, LEVEL) != Z_OK)
        return DYNO_NOMEM(err);
    out->bytes = packed;
    return DYNO_OK;
}

enum dyno_status dyno_unpack(const void *data, size_t bytes, void *out, size_t out_bytes,
                             struct dyno_err *err)
{
    unsigned long unpacked = out_bytes;
    DYNO_TRY(want_library(err));
    return zlib.uncompress(out, &unpacked, data, bytes) == Z_OK && unpacked == out_bytes
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_CORRUPT, "it does not unpack");
}
