/* cudnn.c - finding cuDNN and its functions; its results; sessions. */
#include "backend/cuda/cudnn.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/library.h"
#include "base/mem.h"

#define LIBRARY     "libcudnn.so.9"
#define VERSION_MIN 90000
#define VERSION_END 100000

extern const struct dyno_cuda_library dyno_cuda_library_cudnn;

static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static struct dyno_cudnn library; /* not changed any more once it is loaded */
static uint32_t library_version;
static char why_not[320]; /* "": it is loaded */

static const struct dyno_library_row rows[] = {
#define DYNO_CUDNN(result, name, symbol, params) {#symbol, offsetof(struct dyno_cudnn, name)},
#include "backend/cuda/cudnn.def"
#undef DYNO_CUDNN
};

static void load(void)
{
    char said[200];
    const char *named = getenv("DYNO_CUDNN");
    const bool is_named = named != NULL && *named != 0;
    if (!dyno_library_load(is_named ? named : LIBRARY, rows, DYNO_COUNT(rows), &library, said,
                           sizeof(said))) {
        (void)snprintf(why_not, sizeof(why_not), "%s: %s",
                       is_named ? "the file that DYNO_CUDNN names does not load"
                                : "cuDNN is not found, and DYNO_CUDNN names no file",
                       said);
        return;
    }
    library_version = (uint32_t)library.version();
    if (library_version < VERSION_MIN || library_version >= VERSION_END)
        (void)snprintf(why_not, sizeof(why_not), "it is version %u, and one of 9 is needed",
                       library_version);
}

enum dyno_status dyno_cudnn_load(const struct dyno_cudnn **cudnn_out, uint32_t *version_out,
                                 struct dyno_err *err)
{
    (void)pthread_once(&load_once, load);
    if (why_not[0] != 0)
        return DYNO_FAIL(err, DYNO_E_TARGET, "%s", why_not);
    *cudnn_out = &library;
    *version_out = library_version;
    return DYNO_OK;
}

enum dyno_status dyno_cudnn_check(const struct dyno_cudnn *cudnn, int code, const char *what,
                                  struct dyno_err *err)
{
    char said[400] = "";
    if (code == DYNO_CUDNN_OK)
        return DYNO_OK;
    cudnn->last_error(said, sizeof(said));
    said[sizeof(said) - 1] = 0;
    const char *name = cudnn->status_text(code);
    const bool is_memory = code == DYNO_CUDNN_HOST_MEMORY || code == DYNO_CUDNN_DEVICE_MEMORY;
    return DYNO_FAIL(err, is_memory ? DYNO_E_NOMEM : DYNO_E_IO, "cuDNN failed %s: %s (%d%s%s)",
                     what, name != NULL ? name : "unknown error", code, said[0] != 0 ? ": " : "",
                     said);
}

/* --- sessions --- */

static enum dyno_status version_of(uint32_t *version_out, struct dyno_err *err)
{
    const struct dyno_cudnn *cudnn = NULL;
    return dyno_cudnn_load(&cudnn, version_out, err);
}

static void close_session(void *opaque)
{
    struct dyno_cudnn_session *session = opaque;
    dyno_arena_destroy(session->arena);
    if (session->handle != NULL)
        (void)session->cudnn->destroy(session->handle);
    dyno_free(session);
}

/* The stream that it had goes, and what it was asked for others. */
static bool rest_session(void *opaque)
{
    struct dyno_cudnn_session *session = opaque;
    dyno_arena_destroy(session->arena);
    session->arena = dyno_arena_create();
    session->found = NULL;
    session->found_count = 0;
    session->stream = NULL;
    return session->arena != NULL &&
           session->cudnn->set_stream(session->handle, NULL) == DYNO_CUDNN_OK;
}

static enum dyno_status open_session(const struct dyno_cuda *cuda, void *stream, void **session_out,
                                     struct dyno_err *err)
{
    (void)cuda;
    const struct dyno_cudnn *cudnn = NULL;
    uint32_t version = 0;
    DYNO_TRY(dyno_cudnn_load(&cudnn, &version, err));
    struct dyno_cudnn_session *session = dyno_alloc(1, sizeof(*session));
    if (session == NULL)
        return DYNO_NOMEM(err);
    session->cudnn = cudnn;
    session->version = version;
    session->stream = stream;
    session->arena = dyno_arena_create();
    if (session->arena == NULL) {
        close_session(session);
        return DYNO_NOMEM(err);
    }
    int code = cudnn->create(&session->handle);
    if (code == DYNO_CUDNN_OK)
        code = cudnn->set_stream(session->handle, stream);
    const enum dyno_status status = dyno_cudnn_check(cudnn, code, "to start", err);
    if (status == DYNO_OK)
        *session_out = session;
    else
        close_session(session);
    return status;
}

const struct dyno_cuda_library dyno_cuda_library_cudnn = {
    .name = "cuDNN",
    .env = "DYNO_CUDNN",
    .version = version_of,
    .open = open_session,
    .close = close_session,
    .rest = rest_session,
};
