/* transpose.h - LANES x LANES floats in registers. */
#ifndef DYNO_BACKEND_CPU_BODY_TRANSPOSE_H
#define DYNO_BACKEND_CPU_BODY_TRANSPOSE_H

#include "backend/cpu/simd.h"

#if defined(__AVX512F__)
/* Lane j of r[i] and lane i of r[j] change places. */
static inline void vf_transpose(vf r[LANES])
{
    vf t[LANES];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        const __m512d a = _mm512_castps_pd(t[i]), b = _mm512_castps_pd(t[i + 1]);
        const __m512d c = _mm512_castps_pd(t[i + 2]), d = _mm512_castps_pd(t[i + 3]);
        r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    /* r[4k + j], 128-bit lane l: column 4l + j of rows 4k..4k+3 */
    for (int j = 0; j < 4; j++) {
        const vf even01 = _mm512_shuffle_f32x4(r[j], r[4 + j], 0x88);
        const vf odd01 = _mm512_shuffle_f32x4(r[j], r[4 + j], 0xdd);
        const vf even23 = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0x88);
        const vf odd23 = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0xdd);
        t[j] = _mm512_shuffle_f32x4(even01, even23, 0x88);
        t[4 + j] = _mm512_shuffle_f32x4(odd01, odd23, 0x88);
        t[8 + j] = _mm512_shuffle_f32x4(even01, even23, 0xdd);
        t[12 + j] = _mm512_shuffle_f32x4(odd01, odd23, 0xdd);
    }
    for (int i = 0; i < 16; i++)
        r[i] = t[i];
}
#elif defined(__AVX2__)
static inline void vf_transpose(vf r[LANES])
{
    vf t[LANES];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int j = 0; j < 4; j++) {
        t[j] = _mm256_permute2f128_ps(r[j], r[4 + j], 0x20);
        t[4 + j] = _mm256_permute2f128_ps(r[j], r[4 + j], 0x31);
    }
    for (int i = 0; i < 8; i++)
        r[i] = t[i];
}
#else
static inline void vf_transpose(vf r[LANES])
{
    const vf a = r[0], b = r[1], c = r[2], d = r[3];
    r[0] = (vf){a[0], b[0], c[0], d[0]};
    r[1] = (vf){a[1], b[1], c[1], d[1]};
    r[2] = (vf){a[2], b[2], c[2], d[2]};
    r[3] = (vf){a[3], b[3], c[3], d[3]};
}
#endif

#endif /* DYNO_BACKEND_CPU_BODY_TRANSPOSE_H */
