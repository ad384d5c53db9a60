/* cudnn.h - NVIDIA's cuDNN 9 (libcudnn.so.9), loaded when a build or an engine first wants it.
 *
 * The declarations are ours; tests/cuda/check_cudnn.c holds them against NVIDIA's header.
 */
#ifndef DYNO_BACKEND_CUDA_CUDNN_H
#define DYNO_BACKEND_CUDA_CUDNN_H

#include "backend/cuda/libraries.h"

/* Handles and descriptors are pointers, results and enumerations are ints. */
#define CUDNN_STATUS           int
#define CUDNN_KIND             int
#define CUDNN_ATTRIBUTE        int
#define CUDNN_TYPE             int
#define CUDNN_HANDLE           void *
#define CUDNN_STREAM           void *
#define CUDNN_DESCRIPTOR       void *
#define CUDNN_DESCRIPTOR_CONST void *

enum {
    DYNO_CUDNN_OK = 0,
    /* results that have a status of their own */
    DYNO_CUDNN_HOST_MEMORY = 4003,
    DYNO_CUDNN_DEVICE_MEMORY = 4004,
};

struct dyno_cudnn {
/* NOLINTBEGIN(bugprone-macro-parentheses): a declaration */
#define DYNO_CUDNN(result, name, symbol, params) result(*name) params;
#include "backend/cuda/cudnn.def"
#undef DYNO_CUDNN
    /* NOLINTEND(bugprone-macro-parentheses) */
};

/* The library's functions and version (91900 for 9.19.0); loaded once in a process, any thread.
 * The environment variable DYNO_CUDNN names another file than libcudnn.so.9.  E_TARGET when there
 * is none, or not one of version 9: one sentence that says which. */
DYNO_NODISCARD enum dyno_status dyno_cudnn_load(const struct dyno_cudnn **cudnn_out,
                                                uint32_t *version_out, struct dyno_err *err);

/* A result as a status: DYNO_OK, E_NOMEM, else E_IO, with cuDNN's name of it and what it says
 * besides.  what: the thing that was attempted, "to make a plan". */
DYNO_NODISCARD enum dyno_status dyno_cudnn_check(const struct dyno_cudnn *cudnn, int code,
                                                 const char *what, struct dyno_err *err);

/* What dyno_cuda_libraries_get gives for DYNO_LIBRARY_cudnn: a handle, for one stream and one
 * thread at a time. */
struct dyno_cudnn_session {
    const struct dyno_cudnn *cudnn;
    uint32_t version;
    CUDNN_HANDLE handle;
};

#endif /* DYNO_BACKEND_CUDA_CUDNN_H */
