/* conv_mma.c - Conv on tensor cores. */
#include "backend/cuda/product.h"

extern const struct dyno_kernel dyno_kernel_cuda_conv_mma;

DYNO_CUDA_PRODUCT_KERNEL(conv_mma, DYNO_CUDA_MMA, true);
