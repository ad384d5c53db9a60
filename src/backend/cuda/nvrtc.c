/* nvrtc.c - finding the run-time compiler; one compilation. */
#include "backend/cuda/nvrtc.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"

#define VERSION_MIN 12000

#define NVRTC_RESULT  int /* 0 is success */
#define NVRTC_PROGRAM void *

static struct {
/* NOLINTBEGIN(bugprone-macro-parentheses): a declaration */
#define DYNO_NVRTC(name, symbol, params) NVRTC_RESULT(*name) params;
#include "backend/cuda/nvrtc.def"
#undef DYNO_NVRTC
    /* NOLINTEND(bugprone-macro-parentheses) */
} library;

static const struct {
    const char *symbol;
    void *pointer;
} wanted[] = {
#define DYNO_NVRTC(name, symbol, params) {#symbol, &library.name},
#include "backend/cuda/nvrtc.def"
#undef DYNO_NVRTC
};

static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static int library_version;
static char why_not[256]; /* "": it is loaded */

static void *open_library(void)
{
    static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12",
                                        "/usr/local/cuda/lib64/libnvrtc.so.13",
                                        "/usr/local/cuda/lib64/libnvrtc.so.12"};
    const char *named = getenv("DYNO_NVRTC");
    if (named != NULL && *named != 0) {
        void *handle = dlopen(named, RTLD_NOW | RTLD_LOCAL);
        if (handle == NULL)
            (void)snprintf(why_not, sizeof(why_not), "DYNO_NVRTC names '%s', which does not load",
                           named);
        return handle;
    }
    for (size_t i = 0; i < DYNO_COUNT(names); i++) {
        void *handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (handle != NULL)
            return handle;
    }
    (void)snprintf(why_not, sizeof(why_not),
                   "neither %s nor %s was found, and DYNO_NVRTC names no other", names[0],
                   names[1]);
    return NULL;
}

/* It opens its own second half by name alone: found where the loader looks, or where it is loaded
 * already.  In a wheel it lies beside the first, where nobody looks. */
static void load_builtins(const void *symbol, int major, int minor)
{
    Dl_info info;
    char path[4096];
    if (dladdr(symbol, &info) == 0 || info.dli_fname == NULL)
        return;
    const char *slash = strrchr(info.dli_fname, '/');
    if (slash == NULL)
        return;
    (void)snprintf(path, sizeof(path), "%.*s/libnvrtc-builtins.so.%d.%d",
                   (int)(slash - info.dli_fname), info.dli_fname, major, minor);
    (void)dlopen(path, RTLD_NOW | RTLD_LOCAL); /* without it the first compilation says so */
}

static void load(void)
{
    int major = 0;
    int minor = 0;
    void *symbol = NULL;
    void *handle = open_library();
    if (handle == NULL)
        return;
    for (size_t i = 0; i < DYNO_COUNT(wanted); i++) {
        symbol = dlsym(handle, wanted[i].symbol);
        if (symbol == NULL) {
            (void)snprintf(why_not, sizeof(why_not), "it is too old: it has no %s",
                           wanted[i].symbol);
            return;
        }
        memcpy(wanted[i].pointer, &symbol, sizeof(symbol));
    }
    if (library.version(&major, &minor) != 0 || major * 1000 + minor * 10 < VERSION_MIN)
        (void)snprintf(why_not, sizeof(why_not), "it is version %d.%d, and %d.0 is needed", major,
                       minor, VERSION_MIN / 1000);
    library_version = major * 1000 + minor * 10;
    load_builtins(symbol, major, minor);
}

enum dyno_status dyno_nvrtc_version(int *version_out, struct dyno_err *err)
{
    (void)pthread_once(&load_once, load);
    if (why_not[0] != 0)
        return DYNO_FAIL(err, DYNO_E_TARGET,
                         "building for a GPU needs NVIDIA's run-time compiler (NVRTC): %s",
                         why_not);
    *version_out = library_version;
    return DYNO_OK;
}

/* The sentence: the log up to where an error's text is full. */
static enum dyno_status refuse(void *program, const char *name, struct dyno_err *err)
{
    size_t bytes = 0;
    char *log = NULL;
    if (library.log_bytes(program, &bytes) == 0)
        log = dyno_alloc(bytes + 1, 1);
    if (log != NULL && library.log(program, log) != 0)
        log[0] = 0;
    const enum dyno_status status =
        DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "the GPU program '%s' does not compile: %.700s", name,
                  log != NULL ? log : "no log");
    dyno_free(log);
    return status;
}

static enum dyno_status compile(void *program, const char *name, int compute,
                                struct dyno_arena *arena, const void **cubin_out,
                                uint64_t *bytes_out, struct dyno_err *err)
{
    char architecture[48];
    size_t bytes = 0;
    /* "a": with the instructions of this very architecture, as an engine is for one anyway. */
    (void)snprintf(architecture, sizeof(architecture), "--gpu-architecture=sm_%d%s", compute,
                   compute >= 90 ? "a" : "");
    const char *const options[] = {architecture, "--std=c++17", "--device-int128"};
    if (library.compile(program, (int)DYNO_COUNT(options), options) != 0)
        return refuse(program, name, err);
    if (library.cubin_bytes(program, &bytes) != 0 || bytes == 0)
        return refuse(program, name, err);
    char *cubin = dyno_arena_alloc(arena, bytes, 1);
    if (cubin == NULL)
        return DYNO_NOMEM(err);
    if (library.cubin(program, cubin) != 0)
        return refuse(program, name, err);
    *cubin_out = cubin;
    *bytes_out = bytes;
    return DYNO_OK;
}

enum dyno_status dyno_nvrtc_compile(const char *name, const char *text, int compute,
                                    struct dyno_arena *arena, const void **cubin_out,
                                    uint64_t *bytes_out, struct dyno_err *err)
{
    int version = 0;
    void *program = NULL;
    DYNO_TRY(dyno_nvrtc_version(&version, err));
    if (library.create(&program, text, name, 0, NULL, NULL) != 0)
        return DYNO_NOMEM(err);
    const enum dyno_status status =
        compile(program, name, compute, arena, cubin_out, bytes_out, err);
    (void)library.destroy(&program);
    return status;
}
