/* cases_pool.c - MaxPool, AveragePool and the global poolings. */
#include "kcase.h"

#define MAX(attrs, ins)                               \
    {                                                 \
        "MaxPool", attrs, ins, "", KCHECK_REL, 0.0, 0 \
    }
#define AVERAGE(attrs, ins)                                \
    {                                                      \
        "AveragePool", attrs, ins, "", KCHECK_SUM, 2e-6, 0 \
    }
#define GLOBAL(op, ins, tail)                  \
    {                                          \
        op, "", ins, tail, KCHECK_SUM, 2e-6, 0 \
    }

#define EXCITATION(attrs, ins, tail)                          \
    {                                                         \
        "Excitation", attrs, ins, tail, KCHECK_RANGE, 4e-6, 0 \
    }

static const struct kcase rows[] = {
    MAX("kernel_shape=3,3 strides=2,2 pads=1,1,1,1", "2x19x14x13"),
    MAX("kernel_shape=3,3 strides=2,2 pads=1,1,1,1", "1x64x112x112"),
    MAX("kernel_shape=2,2 strides=1,1 auto_pad=SAME_UPPER", "1x24x80x80"),
    MAX("kernel_shape=2,2 strides=2,2", "1x32x8x8"),
    MAX("kernel_shape=2,2 strides=2,2 ceil_mode=1", "1x17x9x7"),
    MAX("kernel_shape=5,5 strides=1,1 pads=2,2,2,2", "1x35x10x10"),
    MAX("kernel_shape=3,3 dilations=2,2 pads=2,1,2,3", "1x3x11x9"),
    MAX("kernel_shape=3,2 auto_pad=SAME_UPPER strides=2,3", "2x5x9x10"),
    MAX("kernel_shape=3 strides=2 pads=1,1", "2x20x31"),
    MAX("kernel_shape=2,3,2 strides=1,2,2 pads=1,1,0,0,1,1", "1x18x4x7x6"),
    {"MaxPool", "kernel_shape=3,3 strides=2,2 pads=1,1,1,1", "2x19x14x13 | 19x1x1!",
     "mul r0 $1; relu r1", KCHECK_REL, 1e-6, 0},
    AVERAGE("kernel_shape=3,3 strides=2,2 pads=1,1,1,1", "2x19x14x13"),
    AVERAGE("kernel_shape=3,3 strides=2,2 pads=1,1,1,1 count_include_pad=1", "2x19x14x13"),
    AVERAGE("kernel_shape=3,3 strides=2,2 pads=0,1,1,0 count_include_pad=1 ceil_mode=1",
            "1x33x12x12"),
    AVERAGE("kernel_shape=3,3 strides=2,2 ceil_mode=1", "1x33x12x12"),
    AVERAGE("kernel_shape=2,2 strides=2,2", "1x32x9x9"),
    AVERAGE("kernel_shape=4 strides=3 pads=1,2", "3x7x29"),
    AVERAGE("kernel_shape=2,2,2 auto_pad=SAME_LOWER", "1x5x4x4x4"),
    GLOBAL("GlobalAveragePool", "2x37x7x7", ""),
    GLOBAL("GlobalAveragePool", "1x16x31x33", ""),
    GLOBAL("GlobalAveragePool", "1x40x9 | 40x1!", "add r0 $1"),
    GLOBAL("GlobalAveragePool", "1x24x97x101", ""),
    GLOBAL("GlobalAveragePool", "2x96x64x65 | 96x1x1!", "add r0 $1; relu r1"),
    GLOBAL("GlobalAveragePool", "1x267x23x37", ""),
    GLOBAL("GlobalAveragePool", "3x3x61x59", "relu r0"),
    GLOBAL("GlobalAveragePool", "3x5x1x1", "relu r0"),
    EXCITATION("act=0", "2x16x9x7 4x16x1x1! 16x4x1x1! 4! 16!", ""),
    EXCITATION("act=1", "3x37x5x6 9x37x1x1! 37x9x1x1! 9! 37!", "relu r0"),
    EXCITATION("act=0", "1x96x40x41 24x96x1x1! 100x24x1x1!", ""),
    EXCITATION("act=0", "2x512x3x5 128x512x1x1! 512x128x1x1! 128! 512! | 512x1x1!", "add r0 $5"),
    EXCITATION("act=1", "1x2048x3 2048x2048x1! 1x2048x1! 2048! 1!", ""),
    EXCITATION("act=0", "9x3x1x1 1x3x1x1! 5x1x1x1! 1!", ""),
    {"GlobalMaxPool", "", "2x37x7x5", "", KCHECK_REL, 0.0, 0},
};
KCASES(pool, rows)
