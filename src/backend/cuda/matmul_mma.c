/* matmul_mma.c - MatMul and Gemm with constant weights on tensor cores. */
#include "backend/cuda/product.h"

extern const struct dyno_kernel dyno_kernel_cuda_matmul_mma;

DYNO_CUDA_PRODUCT_KERNEL(matmul_mma, DYNO_CUDA_MMA, false);
