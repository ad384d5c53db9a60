/* driver.h - NVIDIA's driver (libcuda.so.1), loaded when a GPU is first asked for.
 *
 * The declarations are ours: nothing of CUDA is needed to build Dyno, and a machine without a GPU
 * runs the same binary.  tests/cuda/check_driver.c holds them against NVIDIA's header.
 */
#ifndef DYNO_BACKEND_CUDA_DRIVER_H
#define DYNO_BACKEND_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DYNO_CU_VERSION_MIN 12000 /* of the driver: CUDA 12.0, for clusters and lazy loading */

/* Handles are pointers, results and enumerations are ints, addresses are 64-bit numbers. */
#define CU_RESULT             int
#define CU_DEVICE             int
#define CU_DEVICE_ATTRIBUTE   int
#define CU_FUNCTION_ATTRIBUTE int
#define CU_CAPTURE_MODE       int
#define CU_GRAPH_NODE_TYPE    int
#define CU_CAPTURE_STATUS     int
#define CU_CONTEXT            void *
#define CU_STREAM             void *
#define CU_EVENT              void *
#define CU_MODULE             void *
#define CU_FUNCTION           void *
#define CU_GRAPH              void *
#define CU_GRAPH_EXEC         void *
#define CU_GRAPH_NODE         void *
#define CU_POOL               void *
#define CU_POOL_PROPS         struct dyno_cu_pool_props
#define CU_ADDRESS            unsigned long long
#define CU_NUMBER             uint64_t

enum {
    DYNO_CU_OK = 0,
    /* results that have a sentence of their own */
    DYNO_CU_OUT_OF_MEMORY = 2,
    DYNO_CU_NO_DEVICE = 100,
    DYNO_CU_NOT_SUPPORTED = 801,
    /* device attributes */
    DYNO_CU_SHARED_MAX = 97, /* bytes of shared memory a block may ask for */
    DYNO_CU_SM_COUNT = 16,
    DYNO_CU_L2_BYTES = 38,
    DYNO_CU_CC_MAJOR = 75,
    DYNO_CU_CC_MINOR = 76,
    DYNO_CU_CLOCK_KHZ = 13,
    DYNO_CU_MEMORY_KHZ = 36,
    DYNO_CU_MEMORY_BITS = 37,
    DYNO_CU_PCI_BUS = 33,
    DYNO_CU_PCI_DEVICE = 34,
    DYNO_CU_PCI_DOMAIN = 50,
    DYNO_CU_HAS_POOLS = 115,
    /* function attributes */
    DYNO_CU_FUNCTION_SHARED = 1,     /* bytes it has without asking */
    DYNO_CU_FUNCTION_SHARED_MAX = 8, /* bytes it may ask for */
    /* stream flags, capture modes, launch extras */
    DYNO_CU_STREAM_NON_BLOCKING = 1,
    DYNO_CU_HOST_PORTABLE = 1, /* page-locked for all contexts of the process */
    DYNO_CU_EVENT_NO_TIMING = 2,
    DYNO_CU_CAPTURE_THREAD = 1,
    DYNO_CU_POOL_PINNED = 1, /* memory that stays where it is */
    DYNO_CU_POOL_DEVICE = 1, /* of the device with the number */
    DYNO_CU_NODE_KERNEL = 0,
    DYNO_CU_NODE_GRAPH = 4,
    DYNO_CU_FOLLOW_THESE = 1, /* the next node follows these nodes, and no others */
    DYNO_CU_PARAMS_AT = 1,
    DYNO_CU_PARAMS_BYTES = 2,
};

/* What a pool of the driver's gives. */
struct dyno_cu_pool_props {
    int kind, exported_as; /* DYNO_CU_POOL_PINNED; 0: to no other process */
    int place, device;     /* DYNO_CU_POOL_DEVICE */
    void *security;        /* not of this system */
    size_t bytes_max;      /* 0: what there is */
    unsigned char rest[56];
};

struct dyno_cu {
/* NOLINTBEGIN(bugprone-macro-parentheses): a declaration */
#define DYNO_CU(name, symbol, params) CU_RESULT(*name) params;
#include "backend/cuda/driver.def"
#undef DYNO_CU
    /* NOLINTEND(bugprone-macro-parentheses) */
};

/* The driver's functions after a successful cuInit; loaded once in a process, any thread.
 * E_TARGET when there is no driver, no GPU, or a driver that is too old: one sentence that says
 * which. */
DYNO_NODISCARD enum dyno_status dyno_cu_load(const struct dyno_cu **cu_out, struct dyno_err *err);

/* Test hook: what dyno_cu_load gives from now on; NULL: the machine's driver again. */
void dyno_cu_replace(const struct dyno_cu *cu);

/* A result of the driver as a status: DYNO_OK, E_NOMEM for memory of the GPU, else E_IO, with the
 * driver's name and text of it.  what: the thing that was attempted, "to copy the weights". */
DYNO_NODISCARD enum dyno_status dyno_cu_check(const struct dyno_cu *cu, int code, const char *what,
                                              struct dyno_err *err);

#endif /* DYNO_BACKEND_CUDA_DRIVER_H */
