/* excitation.h - attributes of Dyno's Excitation (domain "dyno"): what squeeze-and-excite blocks
 * compute from a map before they scale it (Hu et al., "Squeeze-and-Excitation Networks", 2018).
 *
 * Inputs  x [N, C, spatial...], w1 [R, C, 1...], w2 [M, R, 1...], b1 [R] and b2 [M] or absent.
 * Output  [N, M, 1...]:  w2 . act(w1 . mean(x) + b1) + b2.
 */
#ifndef DYNO_OPS_EXCITATION_H
#define DYNO_OPS_EXCITATION_H

#include <stdint.h>

enum dyno_excitation_act {
    DYNO_EXCITATION_RELU = 0,
    DYNO_EXCITATION_SILU = 1, /* a * sigmoid(a) */
};

struct dyno_excitation_attrs {
    int64_t act; /* enum dyno_excitation_act */
};

#define DYNO_EXCITATION_MAX 2048 /* C, R and M of which passes make one */

#endif /* DYNO_OPS_EXCITATION_H */
