/* cublaslt_product.h - steps as products of cuBLASLt: MatMul, Gemm, and Conv of one tap.
 *
 * D = epilogue(alpha A B + beta C + bias), in rows: A [m][k] and D [m][n] are tensors, B [k][n] is
 * a constant or a tensor, C is a tensor in the layout of D.  There may be many of one shape, at
 * steady distances.  A tail that the library cannot say is a pass of our own over D behind it.
 *
 * A tactic's parameters are, in this order: types, how B lies, and the algorithm's number; its tile
 * and stages; split, reduction and swizzle; its custom option; inner shape and cluster; the
 * library's version.  So nothing opaque goes from an engine to the library: it makes the algorithm
 * anew from the numbers, and says whether it does this product.
 *
 * Packed, where there is something to pack: the bias, as an element of D each, then from a multiple
 * of 256 bytes B, as elements of A, [k][n] or [n][k].
 */
#ifndef DYNO_BACKEND_CUDA_CUBLASLT_PRODUCT_H
#define DYNO_BACKEND_CUDA_CUBLASLT_PRODUCT_H

#include "backend/cuda/cublaslt.h"
#include "backend/cuda/pointwise.h"

#define DYNO_LT_NONE        UINT32_MAX
#define DYNO_LT_ALIGN_BYTES 16 /* addresses of tensors are multiples of it */

/* What a tactic says before the algorithm. */
struct dyno_lt_way {
    struct dyno_layout in;  /* of A, and of a B that is no constant */
    struct dyno_layout out; /* of C and D: as `in`, or rows of f32 */
    bool turned;            /* a constant B lies as [n][k] */
    bool first;             /* the algorithm is whatever the library takes first */
    bool tf32;              /* factors of f32 are rounded to TF32 */
    bool pass;              /* the tail is a pass of ours behind the product */
};

struct dyno_lt_geometry {
    struct dyno_lt_way way;
    int64_t batch, m, n, k;
    int64_t a_step, b_step, out_step; /* elements between two products; 0: the same for all */
    int64_t lda, ldb, ldc, ldo;       /* elements between rows of memory */
    bool a_turned, b_turned;          /* rows of memory are rows of k, or of n */
    bool b_packed;
    bool is_vector; /* B: the result has no axis of columns */
    float alpha, beta;
    uint32_t epilogue;
    uint32_t own_bias, tail_bias; /* inputs of the step that are summed up in the packed bias */
    float bias_factor;            /* of the first */
    uint32_t c;                   /* the input that is C */
    int64_t channels;             /* Conv: k without padding */
    int64_t columns;              /* Conv: n without padding */
    uint64_t b_at, packed_bytes;
};

/* The step as a product in the layouts of the tactic; refuses what the library cannot say. */
DYNO_NODISCARD enum dyno_status dyno_lt_geometry_of(const struct dyno_site *site,
                                                    const struct dyno_tactic *tactic,
                                                    const struct dyno_lt_way *way,
                                                    struct dyno_lt_geometry *geometry_out,
                                                    struct dyno_err *err);
void dyno_lt_pack(const struct dyno_site *site, const struct dyno_lt_geometry *geometry, void *dst);

/* A session of libraries.h. */
struct dyno_lt_session {
    const struct dyno_lt *lt;
    LT_HANDLE handle;
};

/* A product as the library knows it. */
struct dyno_lt_call {
    struct dyno_lt_layout a, b, c, d; /* A and B as the library has them: of columns */
    struct dyno_lt_product product;
};
DYNO_NODISCARD enum dyno_status dyno_lt_describe(const struct dyno_lt *lt,
                                                 const struct dyno_lt_geometry *geometry,
                                                 struct dyno_lt_call *call_out,
                                                 struct dyno_err *err);

/* So many algorithms at most, the most promising first, with a workspace of at most so many bytes,
 * for the call that describes the geometry; their number.  0 also where the library knows none. */
int dyno_lt_find(const struct dyno_lt_session *session, struct dyno_lt_call *call,
                 const struct dyno_lt_geometry *geometry, uint64_t workspace_bytes,
                 struct dyno_lt_found *found, int max);

/* An algorithm as parameters cfg[0..4], of which cfg[0] has room in its upper half.  False when it
 * does not fit in there. */
bool dyno_lt_algo_write(const struct dyno_lt *lt, const struct dyno_lt_algo *algo, uint32_t *cfg);
/* The other way; false when the library has no such algorithm, or refuses one of the numbers. */
bool dyno_lt_algo_read(const struct dyno_lt_session *session,
                       const struct dyno_lt_geometry *geometry, const uint32_t *cfg,
                       struct dyno_lt_algo *algo_out);

struct dyno_lt_state {
    const struct dyno_lt_session *session;
    struct dyno_lt_call call;
    struct dyno_lt_algo algo;
    float alpha, beta;
    uint64_t workspace_bytes, b_at;
    uint32_t c;
    bool b_packed, has_bias, is_empty, has_pass;
    struct dyno_cuda_pass pass;
};

/* The functions of a kernel; `conv`: Conv, else MatMul and Gemm. */
int dyno_lt_enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max, bool conv);
enum dyno_status dyno_lt_settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                                struct dyno_tactic *tactic, bool conv, struct dyno_err *err);
enum dyno_status dyno_lt_kernel_pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                     void *dst, struct dyno_err *err);
enum dyno_status dyno_lt_prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                 const void *packed, void *state, uint64_t *workspace_bytes_out,
                                 struct dyno_err *err);
enum dyno_status dyno_lt_run(struct dyno_run_args *args);
enum dyno_status dyno_lt_program(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                 const char **source_out, struct dyno_strbuf *choices,
                                 struct dyno_err *err);

/* A kernel of these functions. */
#define DYNO_LT_KERNEL(kernel_name, conv)                                                         \
    static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)          \
    {                                                                                             \
        return dyno_lt_enumerate(site, out, max, conv);                                           \
    }                                                                                             \
    static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked, \
                                   struct dyno_tactic *tactic, struct dyno_err *err)              \
    {                                                                                             \
        return dyno_lt_settle(site, asked, tactic, conv, err);                                    \
    }                                                                                             \
    const struct dyno_kernel dyno_kernel_cuda_##kernel_name = {                                   \
        .name = #kernel_name "_cuda",                                                             \
        .packing = 1,                                                                             \
        .packed_ins = 1U << 1,                                                                    \
        .state_bytes = sizeof(struct dyno_lt_state),                                              \
        .strided = true,                                                                          \
        .place = DYNO_ON_GPU,                                                                     \
        .library = DYNO_LIBRARY_cublaslt,                                                         \
        .enumerate = enumerate,                                                                   \
        .settle = settle,                                                                         \
        .pack = dyno_lt_kernel_pack,                                                              \
        .prepare = dyno_lt_prepare,                                                               \
        .run = dyno_lt_run,                                                                       \
        .program = dyno_lt_program,                                                               \
    }

#endif /* DYNO_BACKEND_CUDA_CUBLASLT_PRODUCT_H */
