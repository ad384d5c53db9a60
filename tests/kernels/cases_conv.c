/* cases_conv.c - Conv and ConvTranspose. */
#include "kcase.h"

#define CONV(attrs, ins, tail)                        \
    {                                                 \
        "Conv", attrs, ins, tail, KCHECK_SUM, 1e-6, 0 \
    }
#define TRANSPOSE(attrs, ins, tail)                            \
    {                                                          \
        "ConvTranspose", attrs, ins, tail, KCHECK_SUM, 1e-6, 0 \
    }

static const struct kcase rows[] = {
    /* 1x1 */
    CONV("", "2x32x7x9 48x32x1x1! 48!", ""),
    CONV("", "1x35x5x7 19x35x1x1! 19!", "relu r0"),
    CONV("", "3x40x1x1 10x40x1x1! 10!", "silu r0 1"),
    CONV("", "2x64x12x11 96x64x1x1! - | 2x96x12x11", "add r0 $3; relu r1"),
    CONV("", "2x19x6x5 21x19x1x1! 21! | 2x21x6x5", "add $3 r0; gelu_tanh r1"),
    CONV("strides=2,2", "1x64x9x9 96x64x1x1! 96!", "clip r0 0 0.5"),
    /* windows */
    CONV("strides=2,2 pads=1,1,1,1", "1x19x13x11 35x19x3x3! 35!", "silu r0 1"),
    CONV("pads=1,1,1,1", "2x33x17x19 40x33x3x3! 40!", "relu r0"),
    CONV("pads=1,1,1,1", "1x16x7x7 16x16x3x3! 16! | 1x16x7x7", "add r0 $3"),
    CONV("", "1x20x3x3 100x20x3x3! 100!", ""),
    CONV("pads=0,1,2,1", "1x24x9x14 24x24x3x3! -", "gelu_erf r0"),
    CONV("pads=2,1,1,0 dilations=2,3", "1x24x12x13 20x24x3x2! 20!", "relu r0"),
    CONV("auto_pad=SAME_UPPER strides=2,2", "1x17x10x9 18x17x5x5! 18!", ""),
    CONV("pads=2,2,2,2", "1x3x2x2 5x3x5x5! 5!", ""),
    /* windows of many channels over several units of outputs */
    CONV("pads=1,1,1,1", "2x136x11x18 72x136x3x3! 72! | 2x72x11x18", "silu r0 1; add r1 $3"),
    CONV("pads=1,1,1,1 strides=2,2", "2x72x19x35 136x72x3x3! 136!", "silu r0 1"),
    CONV("pads=2,2,2,2", "1x40x12x9 40x40x5x5! 40!", "relu r0"),
    CONV("pads=0,3,1,2 strides=1,3", "1x48x9x31 24x48x2x4! -", ""),
    /* K in parts */
    CONV("pads=1,1,1,1", "1x456x5x7 20x456x3x3! 20! | 1x20x5x7", "add r0 $3; relu r1"),
    CONV("", "1x6200x3x6 17x6200x1x1! -", "silu r0 1"),
    /* a few pixels more than fill panels, summed along K */
    CONV("pads=1,1,1,1", "2x70x7x7 37x70x3x3! 37! | 2x37x7x7", "add r0 $3; relu r1"),
    CONV("pads=1,1,1,1 strides=2,2", "1x40x27x27 33x40x3x3! -", "silu r0 1"),
    CONV("", "1x64x1x1 96x64x1x1! 96!", "clip r0 0 0.5"),
    CONV("group=2", "2x300x5x10 20x150x1x1! 20!", "gelu_erf r0"),
    CONV("", "1x100x3x17 9x100x1x1! 9!", ""),
    /* first layers */
    CONV("strides=2,2 pads=3,3,3,3", "2x3x30x31 24x3x7x7! 24!", "silu r0 1"),
    CONV("strides=4,4", "1x4x9x9 24x4x4x4! 24!", ""),
    CONV("strides=5", "1x1x100 40x1x10!", "gelu_erf r0"),
    CONV("strides=5", "1x1x6000 17x1x10! 17!", "relu r0"),
    /* groups */
    CONV("group=2 pads=1,1,1,1", "2x64x9x9 64x32x3x3! 64! | 2x64x9x9", "add r0 $3"),
    CONV("group=4 pads=1,1,1,1", "1x12x10x10 8x3x3x3! 8!", "relu r0"),
    CONV("group=4 pads=8,8", "1x64x37 64x16x16! 64!", "gelu_erf r0"),
    CONV("group=3", "1x3x8x8 6x1x3x3! 6!", ""),
    /* depthwise */
    CONV("group=24 pads=1,1,1,1", "1x24x12x13 24x1x3x3! 24!", "clip r0 0 6"),
    CONV("group=20 pads=1,1,1,1 strides=2,2", "2x20x9x31 20x1x3x3! 20!", "relu r0"),
    CONV("group=40 pads=2,2,2,2", "1x40x14x7 40x1x5x5! 40!", "silu r0 1"),
    CONV("group=40 pads=2,2,2,2 strides=2,2", "1x40x15x14 40x1x5x5! -", ""),
    CONV("group=35 pads=3,3,3,3", "1x35x9x21 35x1x7x7! 35! | 1x35x9x21", "add r0 $3; relu r1"),
    CONV("group=16 pads=2,2,2,2 dilations=2,2", "1x16x9x9 16x1x3x3! 16!", ""),
    CONV("group=16 pads=2,2 strides=3", "1x16x40 16x1x5! 16!", ""),
    CONV("group=17 pads=2,2,2,2 strides=2,2", "1x17x2x3 17x1x5x5! 17!", ""),
    /* planes of several strips, the last of which overlaps */
    CONV("group=2 pads=1,1,1,1", "1x2x75x70 4x1x3x3! 4!", "relu r0"),
    CONV("group=3 pads=1,0,1,1 strides=2,2", "2x3x121x90 3x1x3x3! -", ""),
    CONV("group=2 pads=2,2,2,2", "1x2x37x115 2x1x5x5! 2!", "silu r0 1"),
    CONV("group=2 pads=2,2,2,2 strides=2,2", "1x2x131x71 2x1x5x5! 2!", ""),
    CONV("group=2 pads=4,5,4,5 strides=3,3 dilations=2,4", "1x2x140x61 2x1x3x3! 2!", "relu r0"),
    CONV("group=2 pads=3,9 strides=2 dilations=3", "1x2x5000 2x1x7! 2!", ""),
    CONV("group=3 pads=0,5,0,5 strides=1,3", "1x3x4x1 3x1x1x3! 3!", ""),
    /* three axes */
    CONV("pads=1,0,1,1,2,0 strides=1,2,1", "1x5x4x7x6 7x5x3x3x2! 7!", "relu r0"),
    CONV("group=5 pads=1,1,1,1,1,1", "2x5x4x5x6 10x1x3x3x3! 10!", ""),
    /* transposed */
    TRANSPOSE("strides=2,2", "1x24x9x11 24x24x2x2! 24!", "relu r0"),
    TRANSPOSE("strides=2,2", "2x24x5x6 24x1x2x2! 1!", "sigmoid r0"),
    TRANSPOSE("strides=2,2 pads=1,1,1,1 output_padding=1,1", "1x35x6x7 35x19x3x3! 19!",
              "silu r0 1"),
    TRANSPOSE("strides=2,2 pads=1,1,1,1", "1x16x6x7 16x32x4x4! - | 1x32x12x14", "add r0 $3"),
    TRANSPOSE("group=2 pads=1,1,1,1", "1x32x5x5 32x16x3x3! 32!", "clip r0 0 0.5"),
    TRANSPOSE("strides=3,3 dilations=2,2 output_padding=1,1", "1x8x5x5 8x6x3x2! 6!", ""),
    TRANSPOSE("strides=3 pads=1,1", "2x20x13 20x18x5! 18!", ""),
    TRANSPOSE("strides=3,3 output_padding=1,1", "1x16x4x5 16x16x2x2! 16!", "relu r0"),
    TRANSPOSE("", "1x16x1x1 16x40x4x4! 40!", ""),
    TRANSPOSE("strides=2,1,2", "1x6x3x4x5 6x7x2x3x2! 7!", "relu r0"),
};
KCASES(conv, rows)
