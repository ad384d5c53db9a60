/* libpq.c - finding the library and its functions. */
#include "db/libpq.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/library.h"

#define VERSION_MIN 120000

static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static struct dyno_libpq library; /* not changed any more once it is loaded */
static char why_not[256];         /* "": it is loaded */

static const struct dyno_library_row rows[] = {
#define X(name) {"PQ" #name, offsetof(struct dyno_libpq, name)},
    DYNO_LIBPQ_MAP(X)
#undef X
};

static void load(void)
{
    if (!dyno_library_load(DYNO_LIBPQ_LIBRARY, rows, DYNO_COUNT(rows), &library, why_not,
                           sizeof(why_not)))
        return;
    if (library.libVersion() < VERSION_MIN || library.isthreadsafe() == 0)
        (void)snprintf(why_not, sizeof(why_not),
                       DYNO_LIBPQ_LIBRARY " is version %d, wants %d or later, made for threads",
                       library.libVersion() / 10000, VERSION_MIN / 10000);
}

enum dyno_status dyno_libpq_get(const struct dyno_libpq **libpq_out, struct dyno_err *err)
{
    (void)pthread_once(&load_once, load);
    *libpq_out = NULL;
    if (why_not[0] != 0)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "PostgreSQL wants its client library (Debian package libpq5): %s",
                         why_not);
    *libpq_out = &library;
    return DYNO_OK;
}
