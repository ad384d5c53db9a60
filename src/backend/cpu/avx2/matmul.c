/* matmul.c - MatMul and Gemm in ROW layout. */
#include "backend/cpu/body/matmul.h"
