/* matmul_tf32.c - MatMul and Gemm of f32 tensors with constant weights on tensor cores, in TF32. */
#include "backend/cuda/product.h"

extern const struct dyno_kernel dyno_kernel_cuda_matmul_tf32;

DYNO_CUDA_PRODUCT_KERNEL(matmul_tf32, DYNO_CUDA_TF32, false);
