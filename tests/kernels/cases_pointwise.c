/* cases_pointwise.c - tails and single instructions. */
#include "kcase.h"

#define EXACT(op, attrs, ins, tail)               \
    {                                             \
        op, attrs, ins, tail, KCHECK_BITS, 0.0, 0 \
    }
/* About the few ulp that the vector functions promise, on either side of a comparison. */
#define NEAR(op, attrs, ins, tail)                \
    {                                             \
        op, attrs, ins, tail, KCHECK_REL, 2e-6, 0 \
    }
#define BITS_NEAR(op, attrs, ins, tail)            \
    {                                              \
        op, attrs, ins, tail, KCHECK_BITS, 2e-6, 0 \
    }

static const struct kcase rows[] = {
    EXACT("Pointwise", "", "2x19x5x7", ""),
    EXACT("Pointwise", "", "s", "relu r0"),
    EXACT("Pointwise", "", "1", "relu r0"),
    EXACT("Pointwise", "", "2x19x5x7", "relu r0"),
    EXACT("Pointwise", "", "3x33x11", "clip r0 -1 2.5"),
    EXACT("Pointwise", "", "3x33x11", "clip r0 2.5 -1"),
    EXACT("Pointwise", "", "1x7x3", "abs r0; neg r1; floor r0; ceil r0; round r0; sqrt r1"),
    EXACT("Pointwise", "", "5x131", "floor r0"),
    EXACT("Pointwise", "", "5x131", "ceil r0"),
    EXACT("Pointwise", "", "5x131", "round r0"),
    EXACT("Pointwise", "", "5x131", "sqrt r0"),
    EXACT("Pointwise", "", "5x131", "neg r0"),
    EXACT("Pointwise", "", "5x131", "abs r0"),
    EXACT("Pointwise", "", "5x131", "recip r0"),
    EXACT("Pointwise", "", "5x131", "softsign r0"),
    EXACT("Pointwise", "", "5x131", "leaky_relu r0 0.1"),
    EXACT("Pointwise", "", "5x131", "hardsigmoid r0 0.2 0.5"),
    EXACT("Pointwise", "", "5x131", "hardswish r0"),
    EXACT("Pointwise", "", "2x35x6x6 | 2x35x6x6", "add r0 $1"),
    EXACT("Pointwise", "", "2x35x6x6 | 2x35x6x6", "add $1 r0; relu r1"),
    EXACT("Pointwise", "", "2x35x6x6 | 2x35x6x6", "add r0 $1; clip r1 0 6"),
    EXACT("Pointwise", "", "2x35x6x6 | 35x1x1!", "mul r0 $1"),
    EXACT("Pointwise", "", "2x35x6x6 | 1x35x1x1", "mul r0 $1"),
    EXACT("Pointwise", "", "2x35x6x6 | 2x35x1x1", "mul r0 $1; add r1 r0"),
    EXACT("Pointwise", "", "2x35x6x6 | 2x1x6x6", "sub r0 $1"),
    EXACT("Pointwise", "", "2x35x6x6 | 6", "sub $1 r0"),
    EXACT("Pointwise", "", "2x35x6x6 | 6x1", "div r0 $1"),
    EXACT("Pointwise", "", "2x35x6x6 | 2x1x1x1", "max r0 $1"),
    EXACT("Pointwise", "", "2x35x6x6 | 1x35x6x6", "min r0 $1"),
    EXACT("Pointwise", "", "2x35x6x6 | s", "prelu r0 $1"),
    EXACT("Pointwise", "", "2x35x6x6 | 1x35x1x6 s 35x6x1", "add r0 $1; mul r1 $2; sub $3 r2"),
    EXACT("Pointwise", "", "3x1x5 | 1x1x1 5", "add r0 $1; mul r1 $2; add r2 r0; add r3 r1"),
    EXACT("Pointwise", "", "7x40x33 | 33!", "add r0 $1; relu r1"),
    EXACT("Pointwise", "", "7x40x33 | 40x1", "mul r0 $1"),
    EXACT("Pointwise", "", "7x40x3 | 3", "mul r0 $1"),
    EXACT("Pointwise", "", "1x3x200x300 | 3x1x1!", "sub r0 $1; mul r1 #0.25"),
    BITS_NEAR("Pointwise", "", "40x1000", "pow r0 #2; add r1 #1"),
    EXACT("Pointwise", "", "0x16x4x4", "relu r0"),
    BITS_NEAR("Pointwise", "", "37x131", "exp r0"),
    BITS_NEAR("Pointwise", "", "37x131", "log r0"),
    BITS_NEAR("Pointwise", "", "37x131", "erf r0"),
    BITS_NEAR("Pointwise", "", "37x131", "tanh r0"),
    BITS_NEAR("Pointwise", "", "37x131", "sigmoid r0"),
    BITS_NEAR("Pointwise", "", "37x131", "softplus r0"),
    BITS_NEAR("Pointwise", "", "37x131", "elu r0 1.5"),
    BITS_NEAR("Pointwise", "", "9x131", "pow r0 #0.5"),
    NEAR("Pointwise", "", "37x131", "exp r0"),
    NEAR("Pointwise", "", "37x131+", "log r0"),
    NEAR("Pointwise", "", "37x131", "erf r0"),
    NEAR("Pointwise", "", "37x131", "tanh r0"),
    NEAR("Pointwise", "", "37x131", "sigmoid r0"),
    NEAR("Pointwise", "", "37x131", "silu r0 1"),
    NEAR("Pointwise", "", "2x21x9x9", "silu r0 1.702"),
    {"Pointwise", "", "37x131", "gelu_erf r0", KCHECK_RANGE, 3e-7, 0},
    {"Pointwise", "", "37x131", "gelu_tanh r0", KCHECK_RANGE, 3e-7, 0},
    {"Pointwise", "", "37x131", "sin r0", KCHECK_RANGE, 3e-7, 0},
    {"Pointwise", "", "37x131", "cos r0", KCHECK_RANGE, 3e-7, 0},
    {"Pointwise", "", "37x131", "mul r0 #1e6; cos r1", KCHECK_RANGE, 3e-7, 0},
    NEAR("Pointwise", "", "37x131", "mish r0"),
    NEAR("Pointwise", "", "37x131", "softplus r0"),
    NEAR("Pointwise", "", "37x131", "elu r0 1"),
    NEAR("Pointwise", "", "2x21x9x9 | 2x21x9x9", "sigmoid $1; mul r0 r1"),
    NEAR("Pointwise", "", "1x64x80x80", "silu r0 1"),
    {"Pointwise", "", "128x3072", "gelu_erf r0", KCHECK_RANGE, 3e-7, 0},
    EXACT("Pointwise", "", "1x64x80x80 | 1x64x80x80", "add r0 $1; relu r1"),
    /* operators that are one instruction */
    EXACT("Add", "", "2x35x6x6 2x35x6x6", ""),
    EXACT("Add", "", "2x35x6x6 35x1x1!", "relu r0"),
    EXACT("Sub", "", "35x1x1 2x1x6x6", ""),
    EXACT("Mul", "", "s 4x5", ""),
    EXACT("Mul", "", "2x19x4x4 2x19x1x1", ""),
    EXACT("Div", "", "3x4x5 3x1x5", ""),
    EXACT("Relu", "", "2x19x4x4", ""),
    EXACT("Neg", "", "77", ""),
    EXACT("Max", "", "3x5 5 3x1", ""),
    EXACT("Min", "", "3x5 5", ""),
    EXACT("Sum", "", "3x5 5 3x1 s", "relu r0"),
    EXACT("Clip", "", "4x31 s!=-1 s!=2", ""),
    EXACT("Clip", "", "4x31 - s!=2", ""),
    EXACT("LeakyRelu", "alpha=0.2", "4x31", ""),
    EXACT("HardSigmoid", "alpha=0.25 beta=0.4", "4x31", ""),
    EXACT("Identity", "", "4x31", ""),
    NEAR("Sigmoid", "", "2x19x5x5", ""),
    NEAR("Swish", "alpha=1.5", "2x19x5x5", ""),
    NEAR("Elu", "alpha=1.5", "2x19x5x5", ""),
};
KCASES(pointwise, rows)
