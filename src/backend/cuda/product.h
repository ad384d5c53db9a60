/* product.h - matrix products on the GPU: convolution as an implicit one, MatMul and Gemm with
 * constant weights, and the tiles that their programs come in.
 *
 * Packed: the bias of each column (f32), then B, both group by group: [columns][k] for tensor
 * cores, k as the fastest axis; [k][columns] for plain f32.  Columns and k are padded with zeros.
 * The packed form does not depend on the tile.
 */
#ifndef DYNO_BACKEND_CUDA_PRODUCT_H
#define DYNO_BACKEND_CUDA_PRODUCT_H

#include "backend/cuda/tail.h"

/* A step as out [m][n] = a [m][k] x b [k][n]. */
struct dyno_cuda_product {
    bool windows; /* rows of a are windows of x */
    int64_t m, n;
    int64_t k;                      /* as stored: rows of b before padding */
    int64_t k_padded;               /* a multiple of every tile's */
    int64_t lda, ldo;               /* elements between rows */
    int64_t a_columns, out_columns; /* of rows, as stored */
    int64_t columns;                /* packed: a multiple of 64 */
    int64_t channels, taps;         /* convolution: k = taps * (channels as stored) */
    int64_t groups;                 /* so many products beside each other; of each: all of this */
    struct dyno_gpu_product params; /* geometry of the windows */
    struct dyno_cuda_tail tail;
    uint64_t packed_bytes;
};

/* On what a product is made, and by which program. */
enum dyno_cuda_unit {
    DYNO_CUDA_FFMA, /* plain f32: product_ffma.cu */
    DYNO_CUDA_MMA,  /* tensor cores, in 16 bits: product_mma.cu */
    DYNO_CUDA_TF32, /* the same on f32 tensors, whose factors are rounded to TF32 */
};

DYNO_NODISCARD enum dyno_status dyno_cuda_product_of(const struct dyno_site *site,
                                                     const struct dyno_tactic *tactic,
                                                     enum dyno_cuda_unit unit,
                                                     struct dyno_cuda_product *product_out,
                                                     struct dyno_err *err);

/* Tile `idx` of product_ffma.cu: rows and columns of a block, and of a thread.  False: there is
 * none of that number. */
bool dyno_cuda_ffma_tile(uint32_t idx, int *bm_out, int *bn_out, int *tm_out, int *tn_out);

struct dyno_cuda_product_state {
    struct dyno_gpu_product params;
    struct dyno_cuda_tail tail;
    int64_t grid[3];
    int threads;
    uint32_t shared_bytes;
    uint64_t b_at; /* bytes into the packed form */
};

/* The functions of a kernel; `conv`: Conv, else MatMul and Gemm. */
int dyno_cuda_product_enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max,
                                enum dyno_cuda_unit unit, bool conv);
enum dyno_status dyno_cuda_product_settle(const struct dyno_site *site, struct dyno_tactic *tactic,
                                          enum dyno_cuda_unit unit, bool conv,
                                          struct dyno_err *err);
enum dyno_status dyno_cuda_product_pack(const struct dyno_site *site,
                                        const struct dyno_tactic *tactic, void *dst,
                                        enum dyno_cuda_unit unit, struct dyno_err *err);
enum dyno_status dyno_cuda_product_prepare(const struct dyno_site *site,
                                           const struct dyno_tactic *tactic, void *state,
                                           enum dyno_cuda_unit unit, struct dyno_err *err);
enum dyno_status dyno_cuda_product_program(const struct dyno_site *site,
                                           const struct dyno_tactic *tactic,
                                           const char **source_out, struct dyno_strbuf *choices,
                                           enum dyno_cuda_unit unit, struct dyno_err *err);
enum dyno_status dyno_cuda_product_run(struct dyno_run_args *args);

/* A kernel of these functions. */
#define DYNO_CUDA_PRODUCT_KERNEL(kernel_name, unit, conv)                                         \
    static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)          \
    {                                                                                             \
        return dyno_cuda_product_enumerate(site, out, max, unit, conv);                           \
    }                                                                                             \
    static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked, \
                                   struct dyno_tactic *tactic, struct dyno_err *err)              \
    {                                                                                             \
        (void)asked;                                                                              \
        return dyno_cuda_product_settle(site, tactic, unit, conv, err);                           \
    }                                                                                             \
    static enum dyno_status pack(const struct dyno_site *site, const struct dyno_tactic *tactic,  \
                                 void *dst, struct dyno_err *err)                                 \
    {                                                                                             \
        return dyno_cuda_product_pack(site, tactic, dst, unit, err);                              \
    }                                                                                             \
    static enum dyno_status prepare(                                                              \
        const struct dyno_site *site, const struct dyno_tactic *tactic, const void *packed,       \
        void *state, uint64_t *workspace_bytes_out, struct dyno_err *err)                         \
    {                                                                                             \
        (void)packed;                                                                             \
        *workspace_bytes_out = 0;                                                                 \
        return dyno_cuda_product_prepare(site, tactic, state, unit, err);                         \
    }                                                                                             \
    static enum dyno_status program(const struct dyno_site *site,                                 \
                                    const struct dyno_tactic *tactic, const char **source_out,    \
                                    struct dyno_strbuf *choices, struct dyno_err *err)            \
    {                                                                                             \
        return dyno_cuda_product_program(site, tactic, source_out, choices, unit, err);           \
    }                                                                                             \
    const struct dyno_kernel dyno_kernel_cuda_##kernel_name = {                                   \
        .name = #kernel_name "_cuda",                                                             \
        .packing = 1,                                                                             \
        .packed_ins = 1U << 1,                                                                    \
        .state_bytes = sizeof(struct dyno_cuda_product_state),                                    \
        .strided = true,                                                                          \
        .place = DYNO_ON_GPU,                                                                     \
        .enumerate = enumerate,                                                                   \
        .settle = settle,                                                                         \
        .pack = pack,                                                                             \
        .prepare = prepare,                                                                       \
        .run = dyno_cuda_product_run,                                                             \
        .program = program,                                                                       \
    }

#endif /* DYNO_BACKEND_CUDA_PRODUCT_H */
