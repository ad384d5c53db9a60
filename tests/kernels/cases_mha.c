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
};
KCASES(mha, rows)
