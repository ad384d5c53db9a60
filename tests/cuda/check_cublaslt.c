/* check_cublaslt.c - our declarations of cuBLASLt (backend/cuda/cublaslt.h) against NVIDIA's
 * header: compiled where that header is, never run.
 */
#include <cublasLt.h>

#include "backend/cuda/cublaslt.h"

_Static_assert(sizeof(cublasStatus_t) == sizeof(int) && sizeof(cudaDataType_t) == sizeof(int) &&
                   sizeof(cublasComputeType_t) == sizeof(int),
               "results and types");
_Static_assert(sizeof(cublasLtMatrixLayoutAttribute_t) == sizeof(int) &&
                   sizeof(cublasLtMatmulDescAttributes_t) == sizeof(int) &&
                   sizeof(cublasLtMatmulPreferenceAttributes_t) == sizeof(int) &&
                   sizeof(cublasLtMatmulAlgoConfigAttributes_t) == sizeof(int),
               "enumerations");
_Static_assert(sizeof(cublasLtHandle_t) == sizeof(void *) && sizeof(cudaStream_t) == sizeof(void *),
               "handles");
/* CUDA 12's are no larger. */
_Static_assert(sizeof(cublasLtMatrixLayoutOpaque_t) <= sizeof(struct dyno_lt_layout) &&
                   sizeof(cublasLtMatmulDescOpaque_t) <= sizeof(struct dyno_lt_product) &&
                   sizeof(cublasLtMatmulPreferenceOpaque_t) <= sizeof(struct dyno_lt_wish) &&
                   sizeof(cublasLtMatmulAlgo_t) == sizeof(struct dyno_lt_algo),
               "what the library fills in");
_Static_assert(sizeof(cublasLtMatmulHeuristicResult_t) == sizeof(struct dyno_lt_found), "found");
#define PLACE(ours, theirs)                                                        \
    _Static_assert(offsetof(struct dyno_lt_found, ours) ==                         \
                           offsetof(cublasLtMatmulHeuristicResult_t, theirs) &&    \
                       sizeof(((struct dyno_lt_found *)0)->ours) ==                \
                           sizeof(((cublasLtMatmulHeuristicResult_t *)0)->theirs), \
                   #theirs)
PLACE(algo, algo);
PLACE(workspace_bytes, workspaceSize);
PLACE(state, state);
PLACE(waves, wavesCount);
PLACE(reserved, reserved);

#define SAME(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #theirs)
SAME(DYNO_LT_OK, CUBLAS_STATUS_SUCCESS);
SAME(DYNO_LT_NO_MEMORY, CUBLAS_STATUS_ALLOC_FAILED);
SAME(DYNO_LT_NOT_SUPPORTED, CUBLAS_STATUS_NOT_SUPPORTED);
SAME(DYNO_LT_F32, CUDA_R_32F);
SAME(DYNO_LT_F16, CUDA_R_16F);
SAME(DYNO_LT_BF16, CUDA_R_16BF);
SAME(DYNO_LT_COMPUTE_F32, CUBLAS_COMPUTE_32F);
SAME(DYNO_LT_COMPUTE_TF32, CUBLAS_COMPUTE_32F_FAST_TF32);
SAME(DYNO_LT_BATCH_COUNT, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
SAME(DYNO_LT_BATCH_STEP, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
SAME(DYNO_LT_TURN_A, CUBLASLT_MATMUL_DESC_TRANSA);
SAME(DYNO_LT_TURN_B, CUBLASLT_MATMUL_DESC_TRANSB);
SAME(DYNO_LT_EPILOGUE, CUBLASLT_MATMUL_DESC_EPILOGUE);
SAME(DYNO_LT_BIAS, CUBLASLT_MATMUL_DESC_BIAS_POINTER);
SAME(DYNO_LT_BIAS_TYPE, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE);
SAME(DYNO_LT_WORKSPACE_MAX, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
SAME(DYNO_LT_REDUCTIONS, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
SAME(DYNO_LT_IN_PLACE, CUBLASLT_REDUCTION_SCHEME_INPLACE);
SAME(DYNO_LT_AS_SUMS, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
SAME(DYNO_LT_AS_OUTPUT, CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE);
SAME(DYNO_LT_ALIGN_A, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
SAME(DYNO_LT_ALIGN_B, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
SAME(DYNO_LT_ALIGN_C, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
SAME(DYNO_LT_ALIGN_D, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
SAME(DYNO_LT_ALGO_ID, CUBLASLT_ALGO_CONFIG_ID);
SAME(DYNO_LT_ALGO_TILE, CUBLASLT_ALGO_CONFIG_TILE_ID);
SAME(DYNO_LT_ALGO_SPLIT, CUBLASLT_ALGO_CONFIG_SPLITK_NUM);
SAME(DYNO_LT_ALGO_REDUCTION, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME);
SAME(DYNO_LT_ALGO_SWIZZLE, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING);
SAME(DYNO_LT_ALGO_CUSTOM, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION);
SAME(DYNO_LT_ALGO_STAGES, CUBLASLT_ALGO_CONFIG_STAGES_ID);
SAME(DYNO_LT_ALGO_INNER, CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID);
SAME(DYNO_LT_ALGO_CLUSTER, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID);
SAME(DYNO_LT_PLAIN, CUBLASLT_EPILOGUE_DEFAULT);
SAME(DYNO_LT_WITH_RELU, CUBLASLT_EPILOGUE_RELU);
SAME(DYNO_LT_WITH_BIAS, CUBLASLT_EPILOGUE_BIAS);
SAME(DYNO_LT_WITH_RELU | DYNO_LT_WITH_BIAS, CUBLASLT_EPILOGUE_RELU_BIAS);
SAME(DYNO_LT_WITH_GELU, CUBLASLT_EPILOGUE_GELU);
SAME(DYNO_LT_WITH_GELU | DYNO_LT_WITH_BIAS, CUBLASLT_EPILOGUE_GELU_BIAS);

/* The same rows with NVIDIA's types must be NVIDIA's functions. */
#undef LT_RESULT
#undef LT_TYPE
#undef LT_COMPUTE
#undef LT_LAYOUT_ATTRIBUTE
#undef LT_PRODUCT_ATTRIBUTE
#undef LT_WISH_ATTRIBUTE
#undef LT_ALGO_ATTRIBUTE
#undef LT_HANDLE
#undef LT_STREAM
#undef LT_LAYOUT
#undef LT_PRODUCT
#undef LT_WISH
#undef LT_ALGO
#undef LT_FOUND
#define LT_RESULT            cublasStatus_t
#define LT_TYPE              cudaDataType_t
#define LT_COMPUTE           cublasComputeType_t
#define LT_LAYOUT_ATTRIBUTE  cublasLtMatrixLayoutAttribute_t
#define LT_PRODUCT_ATTRIBUTE cublasLtMatmulDescAttributes_t
#define LT_WISH_ATTRIBUTE    cublasLtMatmulPreferenceAttributes_t
#define LT_ALGO_ATTRIBUTE    cublasLtMatmulAlgoConfigAttributes_t
#define LT_HANDLE            cublasLtHandle_t
#define LT_STREAM            cudaStream_t
#define LT_LAYOUT            cublasLtMatrixLayoutOpaque_t
#define LT_PRODUCT           cublasLtMatmulDescOpaque_t
#define LT_WISH              cublasLtMatmulPreferenceOpaque_t
#define LT_ALGO              cublasLtMatmulAlgo_t
#define LT_FOUND             cublasLtMatmulHeuristicResult_t
// NOLINTBEGIN(bugprone-macro-parentheses): symbol and params are parts of types
#define DYNO_LT(name, symbol, result, params) \
    _Static_assert(__builtin_types_compatible_p(__typeof__(&symbol), result(*) params), #symbol);
// NOLINTEND(bugprone-macro-parentheses)
#include "backend/cuda/cublaslt.def"
#undef DYNO_LT
