/* gemm_micro.c - register tiles of 14 x 32 for AVX-512. */
#define ROWS_MAX 14
#define NV       2
#include "backend/cpu/body/gemm_micro.h"
