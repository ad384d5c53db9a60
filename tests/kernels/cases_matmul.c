/* cases_matmul.c - MatMul and Gemm. */
#include "kcase.h"

#define MATMUL(ins, tail)                            \
    {                                                \
        "MatMul", "", ins, tail, KCHECK_SUM, 1e-6, 0 \
    }
#define GEMM(attrs, ins, tail)                        \
    {                                                 \
        "Gemm", attrs, ins, tail, KCHECK_SUM, 1e-6, 0 \
    }

static const struct kcase rows[] = {
    /* constant B */
    MATMUL("2x17x40 40x50!", ""),
    MATMUL("2x17x40 40x50! | 50!", "add r0 $2; gelu_erf r1"),
    MATMUL("2x17x40 40x50! | 50! 2x17x50", "add r0 $2; add r1 $3"),
    MATMUL("2x17x40 40x50! | 50!", "add $2 r0; mul r1 r0"),
    MATMUL("1x300 300x70! | 1x70!", "add r0 $2; relu r1"),
    MATMUL("3x700 700x33!", "silu r0 1"),
    MATMUL("13x1024 1024x33!", ""),
    MATMUL("7x3 3x1!", "relu r0"),
    MATMUL("1x13x20 4x20x15! | 15!", "add r0 $2; clip r1 0 0.5"),
    MATMUL("20 20x15!", ""),
    MATMUL("2x5x20 20!", "sigmoid r0"),
    MATMUL("129x97 97x600! | 600!", "add r0 $2; gelu_tanh r1"),
    MATMUL("4x32x64 64x48! | 48! 4x32x48", "add $2 r0; add r1 $3; relu r2"),
    MATMUL("3x8x16 3x16x24! | 3x8x24", "add $2 r0; gelu_tanh r1"),
    MATMUL("5x8x16 16x32! | s!", "add r0 $2; relu r1"),
    /* B of the run */
    MATMUL("3x33 33x18 | 3x18", "add r0 $2"),
    MATMUL("2x3x13x20 2x3x20x15", "relu r0"),
    MATMUL("2x3x13x20 1x3x20x15", "silu r0 1"),
    MATMUL("5x20 2x3x20x15", ""),
    MATMUL("200x70 70x600 | 600!", "add r0 $2; gelu_erf r1"),
    MATMUL("1x64 64x1000", ""),
    MATMUL("2x5x20 20", ""),
    MATMUL("20 20", ""),
    MATMUL("20 3x20x15", "relu r0"),
    MATMUL("13x20! 20x15", "relu r0"),
    MATMUL("13x20! 2x20x15 | 15!", "add r0 $2"),
    MATMUL("2x13x20 20! | 13!", "add r0 $2"),
    /* Gemm */
    GEMM("", "13x37 37x21! 21!", "relu r0"),
    GEMM("alpha=0.5 beta=2", "13x37 37x21! 13x21! | 21!", "add r0 $3; gelu_erf r1"),
    GEMM("transB=1", "13x37 21x37! 1x21! | 21!", "add r0 $3; silu r1 1"),
    GEMM("transA=1", "37x13 37x21! 13x1!", ""),
    GEMM("transA=1 transB=1 alpha=2 beta=3", "50x6 40x50! s!", ""),
    GEMM("", "6x5 5x40!", ""),
    GEMM("beta=0", "6x5 5x40! 40!", ""),
    GEMM("transA=1 transB=1 alpha=0.5 beta=2", "37x13 21x37 21 | 13x21", "add r0 $3"),
    GEMM("transB=1 alpha=3", "13x37 21x37 13x21", "relu r0"),
    GEMM("", "40x37 37x150 1x1", ""),
    GEMM("transB=1 alpha=2 beta=0.5", "16x32 24x32! 24! | 16x24", "add r0 $3; relu r1"),
    GEMM("transA=1 alpha=0.5", "32x16 32x24! 24!", "gelu_tanh r0"),
    GEMM("transB=1 beta=3", "16x32 24x32! 16x24", ""),
};
KCASES(matmul, rows)
