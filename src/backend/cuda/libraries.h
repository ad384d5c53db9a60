/* libraries.h - NVIDIA's libraries, whose routines are kernels like our own.
 *
 * A kernel that calls one says so (`library` in struct dyno_kernel).  Its steps have no program;
 * the last parameter of its tactics (DYNO_CFG_LIBRARY) is the version of the library that made
 * them, and an engine runs with that version alone.  What the library made (a plan, an algorithm)
 * is part of the packed form.
 *
 * A library is loaded when somebody first asks for it, so that an engine without such steps never
 * does.  Whoever has a stream has sessions: a build, a context.  A session that is not needed any
 * more rests until somebody wants one on the same GPU, as long as that is open: what the libraries
 * do not give back when one ends would add up otherwise.  `enumerate`, `pack` and `prepare`
 * find them in site->target->libraries (NULL: no library is to be used, or none is at hand yet);
 * `prepare` may keep a session in its state for `run`, as a binding dies before its context.
 *
 * To add one: a row of libraries.def and a file with its table below.
 */
#ifndef DYNO_BACKEND_CUDA_LIBRARIES_H
#define DYNO_BACKEND_CUDA_LIBRARIES_H

#include "backend/cuda/device.h"

struct dyno_cuda_library {
    const char *name; /* "cuDNN" */
    const char *env;  /* the environment variable that names another file */
    /* Loads it; E_TARGET says why not.  Any thread.  Version: 91900 for 9.19.0. */
    enum dyno_status (*version)(uint32_t *version_out, struct dyno_err *err);
    /* A session on the calling thread's GPU, which `cuda` is, for work on that stream.  What it
     * gives to `close` again is the library's own. */
    enum dyno_status (*open)(const struct dyno_cuda *cuda, void *stream, void **session_out,
                             struct dyno_err *err);
    void (*close)(void *session);
    /* It has no stream and no user for a while; false: it cannot be used again.  NULL: nothing to
     * be done. */
    bool (*rest)(void *session);
};

const struct dyno_cuda_library *dyno_cuda_library_of(enum dyno_library which);

#define DYNO_LIBRARY_VERSION_TEXT 24
/* 91900: "9.19.0" */
void dyno_library_version_text(uint32_t version, char text_out[DYNO_LIBRARY_VERSION_TEXT]);

/* Is this very version here?  E_TARGET names library, version wanted, and what was found. */
DYNO_NODISCARD enum dyno_status dyno_cuda_library_check(enum dyno_library which, uint32_t version,
                                                        struct dyno_err *err);

/* The sessions of one user; one thread at a time.  `cuda` outlives them. */
struct dyno_cuda_libraries;

/* Nothing is loaded yet.  NULL: out of memory. */
struct dyno_cuda_libraries *dyno_cuda_libraries_create(const struct dyno_cuda *cuda, void *stream);
void dyno_cuda_libraries_destroy(struct dyno_cuda_libraries *libraries); /* accepts NULL */

/* The session with that library, opened now if it is the first time; enters the GPU.  E_TARGET
 * where there is no such library; it is not tried again. */
DYNO_NODISCARD enum dyno_status dyno_cuda_libraries_get(struct dyno_cuda_libraries *libraries,
                                                        enum dyno_library which, void **session_out,
                                                        struct dyno_err *err);

/* A line for each library: its name and version, or why it is not used. */
void dyno_cuda_libraries_describe(struct dyno_cuda_libraries *libraries, struct dyno_strbuf *out);

#endif /* DYNO_BACKEND_CUDA_LIBRARIES_H */
