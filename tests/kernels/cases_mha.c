/* cases_mha.c - multi-head attention. */
#include "kcase.h"

#define MHA(attrs, ins, tail)                                         \
    {                                                                 \
        "MultiHeadAttention", attrs, ins, tail, KCHECK_RANGE, 3e-6, 0 \
    }

static const struct kcase rows[] = {
    MHA("heads=2 head_dim=64 scale=0.125", "2x128x128 2x128x128 2x128x128 -", ""),
    MHA("heads=3 head_dim=32 scale=0.177", "1x33x96 1x33x96 1x33x96 1x1x1x33", ""),
    MHA("heads=3 head_dim=7 v_head_dim=5 scale=0.4", "2x5x21 2x9x21 2x9x15 2x1x5x9", ""),
    MHA("heads=1 head_dim=17 scale=1", "1x1x17 1x1x17 1x1x17 -", ""),
    MHA("heads=2 head_dim=16 scale=0.25 k_offset=32 v_offset=64", "2x50x96 2x50x96 2x50x96 -", ""),
    MHA("heads=4 head_dim=24 scale=0.2 q_offset=3", "1x131x100 1x77x96 1x77x96 4x131x77", ""),
    MHA("heads=2 head_dim=64 scale=0.125", "1x7x128 1x500x128 1x500x128 1x500 | 1x7x128",
        "add r0 $4"),
    MHA("heads=2 head_dim=8 scale=0.3", "1x20x16 1x6x16 1x6x16 2x20x1", ""),
    MHA("heads=2 head_dim=64 scale=-0.125", "1x200x128 1x300x128 1x300x128 -", ""),
    MHA("heads=1 head_dim=64 scale=0.125", "1x130x64 1x140x64 1x140x64 1x1x130x140", ""),
    MHA("heads=1 head_dim=80 v_head_dim=48 scale=0.11", "1x70x80 1x130x80 1x130x48 -", ""),
    MHA("heads=1 head_dim=128 scale=-0.09", "1x40x128 1x90x128 1x90x128 1x1x1x90", ""),
    MHA("heads=1 head_dim=16 scale=0", "1x20x16 1x70x16 1x70x16 -", ""),
};
KCASES(mha, rows)
