/* conv_ffma.c - Conv in plain f32. */
#include "backend/cuda/product.h"

extern const struct dyno_kernel dyno_kernel_cuda_conv_ffma;

DYNO_CUDA_PRODUCT_KERNEL(conv_ffma, DYNO_CUDA_FFMA, true);
