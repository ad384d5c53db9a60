/* gemm_micro.c - register tiles of 3 x 16 for any machine. */
#define ROWS_MAX 3
#define NV       4
#include "backend/cpu/body/gemm_micro.h"
