/* moments.h - sums over stretches of memory, in several chains. */
#ifndef DYNO_BACKEND_CPU_BODY_MOMENTS_H
#define DYNO_BACKEND_CPU_BODY_MOMENTS_H

#include "backend/cpu/simd.h"

#define CHAINS 4
#define STRIDE ((int64_t)CHAINS * LANES)

/* Sum of x. */
static inline float stretch_sum(const float *src, int64_t count)
{
    vf acc[CHAINS];
    for (int64_t k = 0; k < CHAINS; k++)
        acc[k] = vf_zero();
    int64_t i = 0;
    for (; i + STRIDE <= count; i += STRIDE)
        for (int64_t k = 0; k < CHAINS; k++)
            acc[k] = vf_add(acc[k], vf_load(src + i + k * LANES));
    for (; i + LANES <= count; i += LANES)
        acc[0] = vf_add(acc[0], vf_load(src + i));
    if (i < count)
        acc[1] = vf_add(acc[1], vf_load_n(src + i, (int)(count - i)));
    return vf_hsum(vf_add(vf_add(acc[0], acc[1]), vf_add(acc[2], acc[3])));
}

/* Sum of (x - shift)^2. */
static inline float stretch_square_sum(const float *src, int64_t count, float shift)
{
    const vf b = vf_set1(shift);
    vf acc[CHAINS];
    for (int64_t k = 0; k < CHAINS; k++)
        acc[k] = vf_zero();
    int64_t i = 0;
    for (; i + STRIDE <= count; i += STRIDE)
        for (int64_t k = 0; k < CHAINS; k++) {
            const vf x = vf_sub(vf_load(src + i + k * LANES), b);
            acc[k] = vf_fma(x, x, acc[k]);
        }
    for (; i + LANES <= count; i += LANES) {
        const vf x = vf_sub(vf_load(src + i), b);
        acc[0] = vf_fma(x, x, acc[0]);
    }
    float rest = 0.0F;
    for (; i < count; i++)
        rest += (src[i] - shift) * (src[i] - shift);
    return vf_hsum(vf_add(vf_add(acc[0], acc[1]), vf_add(acc[2], acc[3]))) + rest;
}

/* dst = src * scale + shift. */
static inline void stretch_affine(const float *src, float *dst, int64_t count, float scale,
                                  float shift)
{
    const vf a = vf_set1(scale);
    const vf b = vf_set1(shift);
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        vf_store(dst + i, vf_fma(vf_load(src + i), a, b));
    if (i < count) {
        const int left = (int)(count - i);
        vf_store_n(dst + i, vf_fma(vf_load_n(src + i, left), a, b), left);
    }
}

#endif /* DYNO_BACKEND_CPU_BODY_MOMENTS_H */
