/* gemm.h - attributes of Gemm: y = alpha * A' * B' + beta * C. */
#ifndef DYNO_OPS_GEMM_H
#define DYNO_OPS_GEMM_H

#include <stdint.h>

struct dyno_gemm_attrs {
    float alpha;     /* factor of the product, 1 */
    float beta;      /* factor of C, 1 */
    int64_t trans_a; /* != 0: A is [K, M] */
    int64_t trans_b; /* != 0: B is [N, K] */
};

#endif /* DYNO_OPS_GEMM_H */
