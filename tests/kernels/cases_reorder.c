/* cases_reorder.c - from ROW to BLOCK and back; to 16 bits, where numbers are near. */
#include "kcase.h"

#define ROW(ins)                                      \
    {                                                 \
        "Reorder", "", ins, NULL, KCHECK_BITS, 0.0, 0 \
    }
#define NEAR(ins)                                     \
    {                                                 \
        "Reorder", "", ins, NULL, KCHECK_REL, 1e-7, 0 \
    }
static const struct kcase rows[] = {
    ROW("1x16x8x8"),    ROW("2x3x7x9"),    ROW("1x33x5"),    ROW("3x17"),       ROW("2x40x1x1"),
    ROW("1x1x1x1"),     ROW("1x5x67x31"),  ROW("2x64x9x13"), ROW("1x20x3x4x5"), ROW("0x16x2x2"),
    ROW("1x3x224x224"), ROW("1x64x56x56"), NEAR("2x1x7x9"),  NEAR("1x4x300"),   NEAR("2x7x5x13"),
    NEAR("1x8x16x17"),  NEAR("2x17x65"),   NEAR("3x40"),     NEAR("1x72x9x29"), NEAR("2x33x64"),
};
KCASES(reorder, rows)
