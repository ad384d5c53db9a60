/* cublaslt.h - NVIDIA's library of matrix products (libcublasLt), loaded when it is first asked
 * for.
 *
 * The declarations are ours; tests/cuda/check_cublaslt.c holds them against NVIDIA's header where
 * there is one.  Matrices are column-major there: what lies in rows is its own transpose.
 */
#ifndef DYNO_BACKEND_CUDA_CUBLASLT_H
#define DYNO_BACKEND_CUDA_CUBLASLT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DYNO_LT_VERSION_MIN 120000 /* 12.0.0: clusters; the way versions are counted */

/* What the library fills in and reads again; nothing in there is ours. */
struct dyno_lt_layout {
    uint64_t data[8];
};
struct dyno_lt_product {
    uint64_t data[32];
};
struct dyno_lt_wish {
    uint64_t data[8];
};
struct dyno_lt_algo {
    uint64_t data[8];
};
/* An algorithm, and what it is like on this product. */
struct dyno_lt_found {
    struct dyno_lt_algo algo;
    size_t workspace_bytes;
    int state; /* DYNO_LT_OK, or the rest says nothing */
    float waves;
    int reserved[4];
};

/* Handles and streams are pointers, results and enumerations are ints. */
#define LT_RESULT            int
#define LT_TYPE              int
#define LT_COMPUTE           int
#define LT_LAYOUT_ATTRIBUTE  int
#define LT_PRODUCT_ATTRIBUTE int
#define LT_WISH_ATTRIBUTE    int
#define LT_ALGO_ATTRIBUTE    int
#define LT_HANDLE            void *
#define LT_STREAM            void *
#define LT_LAYOUT            struct dyno_lt_layout
#define LT_PRODUCT           struct dyno_lt_product
#define LT_WISH              struct dyno_lt_wish
#define LT_ALGO              struct dyno_lt_algo
#define LT_FOUND             struct dyno_lt_found

enum {
    DYNO_LT_OK = 0,
    /* results that mean something else than a failure */
    DYNO_LT_NO_MEMORY = 3,
    DYNO_LT_NOT_SUPPORTED = 15,
    /* types of elements, and what sums are made in */
    DYNO_LT_F32 = 0,
    DYNO_LT_F16 = 2,
    DYNO_LT_BF16 = 14,
    DYNO_LT_COMPUTE_F32 = 68,
    DYNO_LT_COMPUTE_TF32 = 77, /* factors of f32 rounded to TF32 */
    /* of a matrix */
    DYNO_LT_BATCH_COUNT = 5, /* int32_t */
    DYNO_LT_BATCH_STEP = 6,  /* int64_t, in elements */
    /* of a product */
    DYNO_LT_TURN_A = 3,     /* int32_t */
    DYNO_LT_TURN_B = 4,     /* int32_t */
    DYNO_LT_EPILOGUE = 7,   /* uint32_t */
    DYNO_LT_BIAS = 8,       /* address */
    DYNO_LT_BIAS_TYPE = 26, /* int32_t */
    /* of what algorithms are wanted */
    DYNO_LT_WORKSPACE_MAX = 1, /* uint64_t */
    DYNO_LT_REDUCTIONS = 3,    /* uint32_t: bits, those of DYNO_LT_ALGO_REDUCTION */
    DYNO_LT_ALIGN_A = 5, /* uint32_t, as the next three: bytes that addresses are multiples of */
    DYNO_LT_ALIGN_B = 6,
    DYNO_LT_ALIGN_C = 7,
    DYNO_LT_ALIGN_D = 8,
    /* of an algorithm */
    DYNO_LT_ALGO_ID = 0,        /* int32_t, set by algo_init */
    DYNO_LT_ALGO_TILE = 1,      /* uint32_t */
    DYNO_LT_ALGO_SPLIT = 2,     /* int32_t: parts of the sum over k */
    DYNO_LT_ALGO_REDUCTION = 3, /* uint32_t: how they are added up */
    DYNO_LT_ALGO_SWIZZLE = 4,   /* uint32_t */
    DYNO_LT_ALGO_CUSTOM = 5,    /* uint32_t */
    DYNO_LT_ALGO_STAGES = 6,    /* uint32_t */
    DYNO_LT_ALGO_INNER = 7,     /* uint16_t */
    DYNO_LT_ALGO_CLUSTER = 8,   /* uint16_t */
};
/* How the parts of a split sum over k are added up: in the type of the output or in that of sums.
 */
enum { DYNO_LT_IN_PLACE = 1, DYNO_LT_AS_SUMS = 2, DYNO_LT_AS_OUTPUT = 4 };
/* Of a product's result, after alpha A B + beta C. */
enum {
    DYNO_LT_PLAIN = 1,
    DYNO_LT_WITH_RELU = 2,
    DYNO_LT_WITH_BIAS = 4,  /* one value a row of D, which is a column of what lies in rows */
    DYNO_LT_WITH_GELU = 32, /* the tanh form */
};

struct dyno_lt {
/* NOLINTBEGIN(bugprone-macro-parentheses): a declaration */
#define DYNO_LT(name, symbol, result, params) result(*name) params;
#include "backend/cuda/cublaslt.def"
#undef DYNO_LT
    /* NOLINTEND(bugprone-macro-parentheses) */
};

/* The library's functions, loaded once in a process, any thread: libcublasLt.so.13 or .12 where
 * libraries are found or under /usr/local/cuda, or what DYNO_CUBLASLT names.
 * E_TARGET when there is none, or it is too old: one sentence that says which. */
DYNO_NODISCARD enum dyno_status dyno_lt_load(const struct dyno_lt **lt_out, struct dyno_err *err);

/* 130100 for 13.1.0; 0 where it cannot be loaded. */
uint32_t dyno_lt_version(void);

/* A result of the library as a status: DYNO_OK, E_NOMEM, else E_IO, with the library's name for it.
 * what: the thing that was attempted, "to multiply". */
DYNO_NODISCARD enum dyno_status dyno_lt_check(const struct dyno_lt *lt, int code, const char *what,
                                              struct dyno_err *err);

#endif /* DYNO_BACKEND_CUDA_CUBLASLT_H */
