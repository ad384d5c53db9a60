/* gemm_micro.c - register tiles of 6 x 16 for AVX2. */
#define ROWS_MAX 6
#define NV       2
#include "backend/cpu/body/gemm_micro.h"
