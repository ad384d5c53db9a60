/* cublaslt.h - what the emulated cuBLASLt keeps in the structures that the product holds for it,
 * and a product until its turn.
 */
#ifndef DYNO_TESTS_EMULATE_CUBLASLT_H
#define DYNO_TESTS_EMULATE_CUBLASLT_H

#include "backend/cuda/cublaslt.h"
#include "emulate.h"
#include "library.h"

#define MAGIC 0x6c74

enum { PLAIN = 1, SPLIT = 2, ALIGNED = 3 }; /* numbers of algorithms */

struct layout {
    uint32_t magic;
    int32_t type;
    uint64_t rows, columns;
    int64_t ld, step;
    int32_t batch;
};
struct product {
    uint32_t magic;
    int32_t compute, turn_a, turn_b, bias_type;
    uint32_t epilogue;
    const void *bias;
};
struct wish {
    uint32_t magic, align[4]; /* of A, B, C, D */
    uint32_t reductions;
    uint64_t workspace_bytes;
};
struct algo {
    uint32_t magic;
    int32_t id;
    uint8_t types[4];
    int32_t compute;
    uint32_t tile, split, reduction, swizzle, custom, stages;
    uint16_t inner, cluster;
};
_Static_assert(sizeof(struct layout) <= sizeof(struct dyno_lt_layout), "layout");
_Static_assert(sizeof(struct product) <= sizeof(struct dyno_lt_product), "product");
_Static_assert(sizeof(struct wish) <= sizeof(struct dyno_lt_wish), "wish");
_Static_assert(sizeof(struct algo) <= sizeof(struct dyno_lt_algo), "algo");

/* All of it, copied: what a stream holds until its turn. */
struct work {
    struct layout layouts[4]; /* A, B, C, D */
    struct product product;
    struct algo algo;
    float alpha, beta;
    const char *at[4];
    char *workspace;
    size_t workspace_bytes;
};

static inline uint64_t work_depth(const struct work *work)
{
    return work->product.turn_a != 0 ? work->layouts[0].rows : work->layouts[0].columns;
}

static inline size_t elem_bytes(int type)
{
    return type == DYNO_LT_F32 ? 4 : 2;
}

/* Do a struct work: what an emulated stream calls.  `memory`: of the driver. */
emulate_call_fn emulate_product_turn;
void emulate_product_memory(__typeof__(emulate_library_memory) *memory);

#endif /* DYNO_TESTS_EMULATE_CUBLASLT_H */
