/* driver.c - finding the driver's library and its functions. */
#include "backend/cuda/driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libcuda.so.1"

static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static struct dyno_cu library; /* not changed any more once it is loaded */
static char why_not[256];      /* "": it is loaded */
static _Atomic(const struct dyno_cu *) replacement;

/* Symbols and flags of one row. */
struct wanted {
    const char *symbol;
    size_t offset_bytes;
};

static const struct wanted wanted[] = {
#define DYNO_CU(name, symbol, params) {#symbol, offsetof(struct dyno_cu, name)},
#include "backend/cuda/driver.def"
#undef DYNO_CU
};

static bool find_symbols(void *handle)
{
    for (size_t i = 0; i < DYNO_COUNT(wanted); i++) {
        void *const symbol = dlsym(handle, wanted[i].symbol);
        if (symbol == NULL) {
            (void)snprintf(why_not, sizeof(why_not),
                           "its NVIDIA driver is too old: " LIBRARY " has no %s", wanted[i].symbol);
            return false;
        }
        memcpy((char *)&library + wanted[i].offset_bytes, &symbol, sizeof(symbol));
    }
    return true;
}

static void start(void)
{
    int version = 0;
    const int code = library.init(0);
    if (code == DYNO_CU_NO_DEVICE) {
        (void)snprintf(why_not, sizeof(why_not), "its NVIDIA driver finds no GPU");
    } else if (code != DYNO_CU_OK) {
        const char *name = "an unknown error";
        (void)library.error_name(code, &name);
        (void)snprintf(why_not, sizeof(why_not), "its NVIDIA driver does not start: %s", name);
    } else if (library.driver_version(&version) != DYNO_CU_OK || version < DYNO_CU_VERSION_MIN) {
        (void)snprintf(why_not, sizeof(why_not),
                       "its NVIDIA driver is too old: it is for CUDA %d.%d, and %d.%d is needed",
                       version / 1000, version % 1000 / 10, DYNO_CU_VERSION_MIN / 1000,
                       DYNO_CU_VERSION_MIN % 1000 / 10);
    }
}

static void load(void)
{
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        (void)snprintf(why_not, sizeof(why_not),
                       "it has no NVIDIA driver (" LIBRARY " cannot be loaded)");
        return;
    }
    if (find_symbols(handle))
        start();
}

enum dyno_status dyno_cu_load(const struct dyno_cu **cu_out, struct dyno_err *err)
{
    *cu_out = atomic_load(&replacement);
    if (*cu_out != NULL)
        return DYNO_OK;
    (void)pthread_once(&load_once, load);
    if (why_not[0] != 0)
        return DYNO_FAIL(err, DYNO_E_TARGET, "this machine cannot run CUDA: %s", why_not);
    *cu_out = &library;
    return DYNO_OK;
}

void dyno_cu_replace(const struct dyno_cu *cu)
{
    atomic_store(&replacement, cu);
}

enum dyno_status dyno_cu_check(const struct dyno_cu *cu, int code, const char *what,
                               struct dyno_err *err)
{
    const char *name = NULL;
    const char *text = NULL;
    if (code == DYNO_CU_OK)
        return DYNO_OK;
    if (cu->error_name(code, &name) != DYNO_CU_OK || name == NULL)
        name = "unknown error";
    if (cu->error_text(code, &text) != DYNO_CU_OK || text == NULL)
        text = "no text";
    return DYNO_FAIL(err, code == DYNO_CU_OUT_OF_MEMORY ? DYNO_E_NOMEM : DYNO_E_IO,
                     "the GPU failed %s: %s (%d: %s)", what, name, code, text);
}
