/* cudnn.h - NVIDIA's cuDNN 9 (libcudnn.so.9), loaded when a build or an engine first wants it.
 *
 * The declarations are ours; tests/cuda/check_cudnn.c holds them against NVIDIA's header.
 */
#ifndef DYNO_BACKEND_CUDA_CUDNN_H
#define DYNO_BACKEND_CUDA_CUDNN_H

#include "backend/cuda/libraries.h"
#include "base/arena.h"

/* Handles and descriptors are pointers, results and enumerations are ints. */
#define CUDNN_STATUS           int
#define CUDNN_KIND             int
#define CUDNN_ATTRIBUTE        int
#define CUDNN_TYPE             int
#define CUDNN_HANDLE           void *
#define CUDNN_STREAM           void *
#define CUDNN_DESCRIPTOR       void *
#define CUDNN_DESCRIPTOR_CONST void *
#define CUDNN_TENSOR           void *
#define CUDNN_TENSOR_CONST     void *
#define CUDNN_FORMAT           int
#define CUDNN_DATA_TYPE        int

enum {
    DYNO_CUDNN_OK = 0,
    /* results that have a status of their own */
    DYNO_CUDNN_HOST_MEMORY = 4003,
    DYNO_CUDNN_DEVICE_MEMORY = 4004,
    /* kinds of descriptors */
    DYNO_CUDNN_POINTWISE = 0,
    DYNO_CUDNN_CONVOLUTION = 1,
    DYNO_CUDNN_ENGINE = 2,
    DYNO_CUDNN_CONFIG = 3,
    DYNO_CUDNN_HEURISTIC = 4,
    DYNO_CUDNN_PLAN = 5,
    DYNO_CUDNN_CONV_OP = 10,
    DYNO_CUDNN_POINTWISE_OP = 13,
    DYNO_CUDNN_GRAPH = 15,
    DYNO_CUDNN_VARIANT = 16,
    DYNO_CUDNN_TENSOR = 17,
    /* types of attributes */
    DYNO_CUDNN_T_HANDLE = 0,
    DYNO_CUDNN_T_DATA_TYPE = 1,
    DYNO_CUDNN_T_BOOL = 2,
    DYNO_CUDNN_T_I64 = 3,
    DYNO_CUDNN_T_F32 = 4,
    DYNO_CUDNN_T_POINTER = 6,
    DYNO_CUDNN_T_CONV_MODE = 7,
    DYNO_CUDNN_T_HEUR_MODE = 8,
    DYNO_CUDNN_T_NUMERICAL_NOTE = 11,
    DYNO_CUDNN_T_POINTWISE_MODE = 14,
    DYNO_CUDNN_T_DESCRIPTOR = 15,
    DYNO_CUDNN_T_BEHAVIOR_NOTE = 19,
    DYNO_CUDNN_T_CHAR = 24,
    /* attributes */
    DYNO_CUDNN_POINTWISE_MODE = 0,
    DYNO_CUDNN_POINTWISE_PRECISION = 1,
    DYNO_CUDNN_CONV_TYPE = 100,
    DYNO_CUDNN_CONV_MODE = 101,
    DYNO_CUDNN_CONV_DILATIONS = 102,
    DYNO_CUDNN_CONV_STRIDES = 103,
    DYNO_CUDNN_CONV_PADS_AFTER = 104,
    DYNO_CUDNN_CONV_PADS_BEFORE = 105,
    DYNO_CUDNN_CONV_AXES = 106,
    DYNO_CUDNN_HEUR_MODE = 200,
    DYNO_CUDNN_HEUR_GRAPH = 201,
    DYNO_CUDNN_HEUR_RESULTS = 202,
    DYNO_CUDNN_CONFIG_ENGINE = 300,
    DYNO_CUDNN_PLAN_HANDLE = 400,
    DYNO_CUDNN_PLAN_CONFIG = 401,
    DYNO_CUDNN_PLAN_WORKSPACE = 402,
    DYNO_CUDNN_PLAN_JSON = 405,
    DYNO_CUDNN_CONV_OP_ALPHA = 700,
    DYNO_CUDNN_CONV_OP_BETA = 701,
    DYNO_CUDNN_CONV_OP_CONV = 702,
    DYNO_CUDNN_CONV_OP_W = 703,
    DYNO_CUDNN_CONV_OP_X = 704,
    DYNO_CUDNN_CONV_OP_Y = 705,
    DYNO_CUDNN_POINTWISE_OP_WHAT = 750,
    DYNO_CUDNN_POINTWISE_OP_X = 751,
    DYNO_CUDNN_POINTWISE_OP_B = 752,
    DYNO_CUDNN_POINTWISE_OP_Y = 753,
    DYNO_CUDNN_GRAPH_HANDLE = 800,
    DYNO_CUDNN_GRAPH_OPS = 801,
    DYNO_CUDNN_TENSOR_ALIGNMENT = 900,
    DYNO_CUDNN_TENSOR_TYPE = 901,
    DYNO_CUDNN_TENSOR_DIMS = 902,
    DYNO_CUDNN_TENSOR_STRIDES = 903,
    DYNO_CUDNN_TENSOR_ID = 906,
    DYNO_CUDNN_TENSOR_IS_VIRTUAL = 907,
    DYNO_CUDNN_VARIANT_IDS = 1000,
    DYNO_CUDNN_VARIANT_POINTERS = 1001,
    DYNO_CUDNN_VARIANT_WORKSPACE = 1003,
    DYNO_CUDNN_ENGINE_INDEX = 1301,
    DYNO_CUDNN_ENGINE_NUMERICAL_NOTE = 1303,
    DYNO_CUDNN_ENGINE_BEHAVIOR_NOTE = 1305,
    /* values: element types, modes */
    DYNO_CUDNN_FLOAT = 0,
    DYNO_CUDNN_HALF = 2,
    DYNO_CUDNN_BFLOAT16 = 9,
    DYNO_CUDNN_CROSS_CORRELATION = 1,
    DYNO_CUDNN_ADD = 0,
    DYNO_CUDNN_RELU = 100,
    DYNO_CUDNN_MODE_FALLBACK = 2,
    DYNO_CUDNN_MODE_A = 3,
    DYNO_CUDNN_NCHW = 0,
    /* what engines say of their numbers and of themselves */
    DYNO_CUDNN_TENSOR_CORE = 0,
    DYNO_CUDNN_DOWN_CONVERT = 1,
    DYNO_CUDNN_REDUCED_SUMS = 2,
    DYNO_CUDNN_FFT = 3,
    DYNO_CUDNN_NONDETERMINISTIC = 4,
    DYNO_CUDNN_WINOGRAD = 5,
    DYNO_CUDNN_RUNTIME_COMPILATION = 0,
    DYNO_CUDNN_FILTER_REORDER = 1,
    DYNO_CUDNN_BIAS_REORDER = 2,
    DYNO_CUDNN_CUBLASLT = 4,
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
    void *stream;             /* that the handle has now */
    struct dyno_arena *arena; /* of what follows: what cuDNN was asked (cudnn_conv.h) */
    struct dyno_cudnn_found *found;
    uint32_t found_count;
};

#endif /* DYNO_BACKEND_CUDA_CUDNN_H */
