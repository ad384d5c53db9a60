/* cases_resize.c - Resize of spatial axes. */
#include "kcase.h"

#define RESIZE(attrs, ins, tail)                          \
    {                                                     \
        "Resize", attrs, ins, tail, KCHECK_RANGE, 2e-6, 0 \
    }
#define NEAREST(attrs, ins)                                          \
    {                                                                \
        "Resize", "mode=nearest " attrs, ins, "", KCHECK_REL, 0.0, 0 \
    }

static const struct kcase rows[] = {
    NEAREST("coordinate_transformation_mode=asymmetric nearest_mode=floor",
            "2x19x5x7 - 4!=1,1,2,2"),
    NEAREST("coordinate_transformation_mode=asymmetric nearest_mode=floor",
            "1x64x40x40 - 4!=1,1,2,2"),
    NEAREST("", "1x33x9x8 - - i64:4=1,33,5,13"),
    NEAREST("", "1x33x9 - 3!=1,1,1.7"),
    NEAREST("coordinate_transformation_mode=align_corners nearest_mode=ceil",
            "1x3x4x5x6 - - i64:5=1,3,4,9,11"),
    RESIZE("mode=linear", "2x19x5x7 - 4!=1,1,2,2", ""),
    RESIZE("mode=linear", "2x19x5x7 - 4!=1,1,2,3 | 19x1x1!", "mul r0 $3; relu r1"),
    RESIZE("mode=linear coordinate_transformation_mode=align_corners",
           "1x16x6x5 - - i64:4=1,16,13,11", ""),
    RESIZE("mode=linear coordinate_transformation_mode=pytorch_half_pixel",
           "1x16x6x5 - - i64:4=1,16,1,3", ""),
    RESIZE("mode=linear coordinate_transformation_mode=asymmetric", "1x5x8x8 - 4!=1,1,0.5,0.7", ""),
    RESIZE("mode=cubic", "1x5x8x8 - 4!=1,1,1.5,2.2", ""),
    RESIZE("mode=linear axes=2,3", "1x18x8x8 - - i64:2=17,9 | 1x18x17x9", "add r0 $4"),
};
KCASES(resize, rows)
