/* libraries.c - NVIDIA's libraries by number, and the sessions with them. */
#include "backend/cuda/libraries.h"

#include <pthread.h>
#include <stdio.h>

#include "base/mem.h"

#define RESTING_MAX 8 /* of each library; those of all GPUs together */

#define DYNO_LIBRARY(name) extern const struct dyno_cuda_library dyno_cuda_library_##name;
#include "backend/cuda/libraries.def"
#undef DYNO_LIBRARY

static const struct dyno_cuda_library *const table[DYNO_LIBRARY_COUNT] = {
#define DYNO_LIBRARY(name) [DYNO_LIBRARY_##name] = &dyno_cuda_library_##name,
#include "backend/cuda/libraries.def"
#undef DYNO_LIBRARY
};

struct dyno_cuda_libraries {
    const struct dyno_cuda *cuda;
    void *stream;
    struct {
        void *session;
        struct dyno_err err; /* why there is none */
    } slots[DYNO_LIBRARY_COUNT];
};

const struct dyno_cuda_library *dyno_cuda_library_of(enum dyno_library which)
{
    DYNO_ASSERT(which > DYNO_LIBRARY_NONE && which < DYNO_LIBRARY_COUNT);
    return table[which];
}

void dyno_library_version_text(uint32_t version, char text_out[DYNO_LIBRARY_VERSION_TEXT])
{
    (void)snprintf(text_out, DYNO_LIBRARY_VERSION_TEXT, "%u.%u.%u", version / 10000,
                   version / 100 % 100, version % 100);
}

enum dyno_status dyno_cuda_library_check(enum dyno_library which, uint32_t version,
                                         struct dyno_err *err)
{
    const struct dyno_cuda_library *library = dyno_cuda_library_of(which);
    uint32_t here = 0;
    char want[DYNO_LIBRARY_VERSION_TEXT], found[DYNO_LIBRARY_VERSION_TEXT];
    dyno_library_version_text(version, want);
    const enum dyno_status status = library->version(&here, err);
    if (status != DYNO_OK) {
        dyno_err_prefix(err, "the engine needs %s %s, as it was built without --lean",
                        library->name, want);
        return status;
    }
    dyno_library_version_text(here, found);
    if (here != version)
        return DYNO_FAIL(err, DYNO_E_TARGET,
                         "the engine needs %s %s, with which it was built, and %s is here: give "
                         "it that one (%s names a file), or build it here",
                         library->name, want, found, library->env);
    return DYNO_OK;
}

/* --- sessions that rest --- */

static pthread_mutex_t resting_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    void *session; /* NULL: none */
    int ordinal;   /* of the GPU that it is for */
} resting[DYNO_LIBRARY_COUNT][RESTING_MAX];

static void *wake(int which, int ordinal)
{
    void *session = NULL;
    (void)pthread_mutex_lock(&resting_lock);
    for (int i = 0; i < RESTING_MAX && session == NULL; i++) {
        if (resting[which][i].session != NULL && resting[which][i].ordinal == ordinal) {
            session = resting[which][i].session;
            resting[which][i].session = NULL;
        }
    }
    (void)pthread_mutex_unlock(&resting_lock);
    return session;
}

/* The GPU is the calling thread's.  What rests is no user's memory. */
static void lay_down(int which, int ordinal, void *session)
{
    struct dyno_mem_account *before = dyno_mem_enter(NULL);
    const bool can_rest = table[which]->rest == NULL || table[which]->rest(session);
    dyno_mem_leave(before);
    bool is_kept = false;
    if (can_rest) {
        (void)pthread_mutex_lock(&resting_lock);
        for (int i = 0; i < RESTING_MAX && !is_kept; i++) {
            if (resting[which][i].session == NULL) {
                resting[which][i].session = session;
                resting[which][i].ordinal = ordinal;
                is_kept = true;
            }
        }
        (void)pthread_mutex_unlock(&resting_lock);
    }
    if (!is_kept)
        table[which]->close(session);
}

static void close_resting(const struct dyno_cuda *cuda)
{
    /* Goes on whatever this says: there is nobody to tell. */
    const enum dyno_status ignored = dyno_cuda_enter(cuda, NULL);
    (void)ignored;
    for (int which = DYNO_LIBRARY_NONE + 1; which < DYNO_LIBRARY_COUNT; which++) {
        for (void *session = wake(which, cuda->ordinal); session != NULL;
             session = wake(which, cuda->ordinal))
            table[which]->close(session);
    }
}

/* --- the sessions of a user --- */

struct dyno_cuda_libraries *dyno_cuda_libraries_create(const struct dyno_cuda *cuda, void *stream)
{
    struct dyno_cuda_libraries *libraries = dyno_alloc(1, sizeof(*libraries));
    if (libraries != NULL) {
        libraries->cuda = cuda;
        libraries->stream = stream;
        dyno_cuda_on_last_close(close_resting);
    }
    return libraries;
}

void dyno_cuda_libraries_destroy(struct dyno_cuda_libraries *libraries)
{
    if (libraries == NULL)
        return;
    /* Goes on whatever this says: there is nobody to tell. */
    const enum dyno_status ignored = dyno_cuda_enter(libraries->cuda, NULL);
    (void)ignored;
    for (int i = DYNO_LIBRARY_NONE + 1; i < DYNO_LIBRARY_COUNT; i++) {
        if (libraries->slots[i].session != NULL)
            lay_down(i, libraries->cuda->ordinal, libraries->slots[i].session);
    }
    dyno_free(libraries);
}

enum dyno_status dyno_cuda_libraries_get(struct dyno_cuda_libraries *libraries,
                                         enum dyno_library which, void **session_out,
                                         struct dyno_err *err)
{
    const struct dyno_cuda_library *library = dyno_cuda_library_of(which);
    void **session = &libraries->slots[which].session;
    struct dyno_err *why = &libraries->slots[which].err;
    uint32_t version = 0;
    *session_out = NULL;
    DYNO_TRY(dyno_cuda_enter(libraries->cuda, err));
    if (*session == NULL && (why->status == DYNO_OK || why->status == DYNO_E_NOMEM)) {
        *why = (struct dyno_err){0};
        struct dyno_mem_account *before = dyno_mem_enter(NULL); /* it may outlive its user */
        *session = wake(which, libraries->cuda->ordinal);
        if (*session == NULL && library->version(&version, why) == DYNO_OK)
            (void)library->open(libraries->cuda, libraries->stream, session, why);
        dyno_mem_leave(before);
    }
    if (*session == NULL)
        return DYNO_FAIL(err, why->status, "%s", why->text);
    *session_out = *session;
    return DYNO_OK;
}

void dyno_cuda_libraries_describe(struct dyno_cuda_libraries *libraries, struct dyno_strbuf *out)
{
    for (int i = DYNO_LIBRARY_NONE + 1; i < DYNO_LIBRARY_COUNT; i++) {
        struct dyno_err err = {0};
        void *session = NULL;
        uint32_t version = 0;
        char text[DYNO_LIBRARY_VERSION_TEXT];
        if (dyno_cuda_libraries_get(libraries, (enum dyno_library)i, &session, &err) == DYNO_OK &&
            table[i]->version(&version, &err) == DYNO_OK) {
            dyno_library_version_text(version, text);
            dyno_strbuf_printf(out, "%s %s\n", table[i]->name, text);
        } else {
            dyno_strbuf_printf(out, "no %s: %s\n", table[i]->name, err.text);
        }
    }
}
