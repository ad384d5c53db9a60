/* cublaslt.c - finding cuBLASLt and its functions. */
#include "backend/cuda/cublaslt.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/library.h"

static const struct dyno_library_row rows[] = {
#define DYNO_LT(name, symbol, result, params) {#symbol, offsetof(struct dyno_lt, name)},
#include "backend/cuda/cublaslt.def"
#undef DYNO_LT
};

static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static struct dyno_lt library; /* not changed any more once it is loaded */
static uint32_t library_version;
static char why_not[512]; /* "": it is loaded */

static bool find(void)
{
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12",
                                        "/usr/local/cuda/lib64/libcublasLt.so.13",
                                        "/usr/local/cuda/lib64/libcublasLt.so.12"};
    const char *named = getenv("DYNO_CUBLASLT");
    char said[256];
    if (named != NULL && *named != 0) {
        if (dyno_library_load(named, rows, DYNO_COUNT(rows), &library, said, sizeof(said)))
            return true;
        (void)snprintf(why_not, sizeof(why_not),
                       "DYNO_CUBLASLT names '%.160s', which does not "
                       "load: %s",
                       named, said);
        return false;
    }
    for (size_t i = 0; i < DYNO_COUNT(names); i++) {
        if (dyno_library_load(names[i], rows, DYNO_COUNT(rows), &library, said, sizeof(said)))
            return true;
    }
    (void)snprintf(why_not, sizeof(why_not),
                   "neither %s nor %s was found, and DYNO_CUBLASLT names no other", names[0],
                   names[1]);
    return false;
}

static void load(void)
{
    if (!find())
        return;
    const size_t version = library.version();
    if (version < DYNO_LT_VERSION_MIN || version > INT32_MAX)
        (void)snprintf(why_not, sizeof(why_not), "it is version %zu, and %d is needed", version,
                       DYNO_LT_VERSION_MIN);
    else
        library_version = (uint32_t)version;
}

enum dyno_status dyno_lt_load(const struct dyno_lt **lt_out, struct dyno_err *err)
{
    *lt_out = NULL;
    (void)pthread_once(&load_once, load);
    if (why_not[0] != 0)
        return DYNO_FAIL(err, DYNO_E_TARGET, "this machine has no cuBLASLt: %s", why_not);
    *lt_out = &library;
    return DYNO_OK;
}

uint32_t dyno_lt_version(void)
{
    (void)pthread_once(&load_once, load);
    return library_version;
}

enum dyno_status dyno_lt_check(const struct dyno_lt *lt, int code, const char *what,
                               struct dyno_err *err)
{
    if (code == DYNO_LT_OK)
        return DYNO_OK;
    const char *name = lt->error_name(code);
    return DYNO_FAIL(err, code == DYNO_LT_NO_MEMORY ? DYNO_E_NOMEM : DYNO_E_IO,
                     "cuBLASLt failed %s: %s (%d)", what, name != NULL ? name : "unknown error",
                     code);
}
