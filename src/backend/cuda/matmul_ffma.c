/* matmul_ffma.c - MatMul and Gemm with constant weights in plain f32. */
#include "backend/cuda/product.h"

extern const struct dyno_kernel dyno_kernel_cuda_matmul_ffma;

DYNO_CUDA_PRODUCT_KERNEL(matmul_ffma, DYNO_CUDA_FFMA, false);
