/* matmul_cublaslt.c - MatMul and Gemm by cuBLASLt. */
#include "backend/cuda/cublaslt_product.h"

extern const struct dyno_kernel dyno_kernel_cuda_matmul_cublaslt;

DYNO_LT_KERNEL(matmul_cublaslt, false);
