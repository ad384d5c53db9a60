/* conv_cublaslt.c - convolutions of one tap by cuBLASLt. */
#include "backend/cuda/cublaslt_product.h"

extern const struct dyno_kernel dyno_kernel_cuda_conv_cublaslt;

DYNO_LT_KERNEL(conv_cublaslt, true);
