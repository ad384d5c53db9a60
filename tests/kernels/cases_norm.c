/* cases_norm.c - Softmax, the normalisations, the reductions. */
#include "kcase.h"

#define SOFTMAX(attrs, ins, tail)                          \
    {                                                      \
        "Softmax", attrs, ins, tail, KCHECK_RANGE, 2e-6, 0 \
    }
#define NORM(op, attrs, ins, tail)                  \
    {                                               \
        op, attrs, ins, tail, KCHECK_RANGE, 4e-6, 0 \
    }
#define SUM(op, attrs, ins)                     \
    {                                           \
        op, attrs, ins, "", KCHECK_SUM, 3e-6, 0 \
    }
#define EXACT(op, attrs, ins)                   \
    {                                           \
        op, attrs, ins, "", KCHECK_BITS, 0.0, 0 \
    }

static const struct kcase rows[] = {
    SOFTMAX("axis=-1", "3x7x131", ""),
    SOFTMAX("axis=-1", "12x128", "mul r0 #2"),
    SOFTMAX("axis=-1", "12x128x128", ""),
    SOFTMAX("axis=-1", "10x18385", ""),
    SOFTMAX("axis=-1", "2x24576", ""),
    SOFTMAX("axis=-1", "2x24577", "mul r0 #2"),
    SOFTMAX("axis=-1", "5x1", ""),
    SOFTMAX("axis=-1", "4x3", ""),
    SOFTMAX("axis=1", "2x16x33", ""),
    SOFTMAX("axis=1", "2x19x5x67", ""),
    SOFTMAX("axis=0", "9x70 | 70", "add r0 $1"),
    {"LogSoftmax", "axis=-1", "3x7x131", "", KCHECK_RANGE, 2e-6, 0},
    {"LogSoftmax", "axis=1", "3x7x21", "", KCHECK_RANGE, 2e-6, 0},
    NORM("LayerNormalization", "axis=-1", "4x7x131 131! 131!", ""),
    NORM("LayerNormalization", "axis=-1", "5x768 768! 768! | 5x768", "add r0 $3; relu r1"),
    NORM("LayerNormalization", "axis=1 epsilon=0.01", "3x4x5 4x5 -", ""),
    NORM("LayerNormalization", "axis=-1", "128x768 768! 768!", ""),
    NORM("LayerNormalization", "axis=-1", "9x3 3! 3!", ""),
    NORM("LayerNormalization", "axis=-1", "3x5120 5120! 5120! | 3x5120", "add r0 $3"),
    NORM("LayerNormalization", "axis=-1", "2x20003 20003! -", ""),
    NORM("RMSNormalization", "axis=-1 epsilon=1e-6", "4x7x131 131!", ""),
    NORM("InstanceNormalization", "", "2x19x7x9 19! 19!", ""),
    NORM("InstanceNormalization", "epsilon=0.001", "1x32x65 32! 32!", "relu r0"),
    NORM("GroupNormalization", "num_groups=2", "2x32x5x7 32! 32!", ""),
    NORM("GroupNormalization", "num_groups=6", "1x18x5x7 18! 18! | 18x1x1!", "mul r0 $3"),
    NORM("BatchNormalization", "", "2x19x5x7 19! 19! 19! 19!+", ""),
    NORM("BatchNormalization", "epsilon=0.01", "3x33 33! 33! 33! 33!+", "relu r0"),
    SUM("ReduceSum", "", "3x131x7 i64:1=-1"),
    SUM("ReduceSum", "keepdims=0", "3x131x70 i64:1=1"),
    SUM("ReduceSum", "", "3x5x7x2 i64:2=1,2"),
    SUM("ReduceSum", "", "9x300"),
    SUM("ReduceMean", "", "2x19x7x9 i64:2=2,3"),
    SUM("ReduceMean", "keepdims=0", "4x768 i64:1!=-1"),
    SUM("ReduceMean", "", "4x1x300x1 i64:2=0,2"),
    SUM("ReduceL1", "", "5x77 i64:1=1"),
    SUM("ReduceL2", "", "5x77 i64:1=1"),
    SUM("ReduceL2", "", "5x77x9 i64:1=1"),
    SUM("ReduceSumSquare", "", "5x77 i64:1=0"),
    SUM("ReduceProd", "", "5x7 i64:1=1"),
    EXACT("ReduceMax", "", "5x77x3 i64:1=1"),
    EXACT("ReduceMax", "keepdims=0", "5x77 i64:1=1"),
    EXACT("ReduceMin", "", "5x77 i64:1=1"),
    EXACT("ReduceMin", "", "2x4x5x3 i64:2=0,1"),
};
KCASES(norm, rows)
