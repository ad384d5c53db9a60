/* conv_tf32.c - Conv of f32 tensors on tensor cores, in TF32. */
#include "backend/cuda/product.h"

extern const struct dyno_kernel dyno_kernel_cuda_conv_tf32;

DYNO_CUDA_PRODUCT_KERNEL(conv_tf32, DYNO_CUDA_TF32, true);
