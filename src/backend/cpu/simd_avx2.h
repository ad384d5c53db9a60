/* simd_avx2.h - vf of eight floats: AVX2 and FMA.  Included by simd.h alone. */
#ifndef DYNO_BACKEND_CPU_SIMD_AVX2_H
#define DYNO_BACKEND_CPU_SIMD_AVX2_H

#include <immintrin.h>

#define LANES 8
typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm;

static inline vf vf_zero(void)
{
    return _mm256_setzero_ps();
}
static inline vf vf_set1(float x)
{
    return _mm256_set1_ps(x);
}
static inline vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
static inline void vf_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a);
}
/* All-ones in the first n lanes. */
static inline __m256i vi_first(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
/* The first n of LANES elements, 0 < n <= LANES; the other lanes are 0 and are not touched. */
static inline vf vf_load_n(const float *p, int n)
{
    return _mm256_maskload_ps(p, vi_first(n));
}
static inline void vf_store_n(float *p, vf a, int n)
{
    _mm256_maskstore_ps(p, vi_first(n), a);
}
static inline vf vf_even(vf a, vf b)
{
    const __m256d pairs = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(pairs, 0xd8));
}
static inline vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}
static inline vf vf_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}
static inline vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}
static inline vf vf_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}
/* a * b + c */
static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
static inline vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
static inline vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
static inline vf vf_sqrt(vf a)
{
    return _mm256_sqrt_ps(a);
}
static inline vf vf_and(vf a, vf b)
{
    return _mm256_and_ps(a, b);
}
static inline vf vf_or(vf a, vf b)
{
    return _mm256_or_ps(a, b);
}
static inline vf vf_xor(vf a, vf b)
{
    return _mm256_xor_ps(a, b);
}
static inline vf vf_abs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), a);
}
static inline vf vf_floor(vf a)
{
    return _mm256_floor_ps(a);
}
static inline vf vf_ceil(vf a)
{
    return _mm256_ceil_ps(a);
}
/* To nearest, ties to even. */
static inline vf vf_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vm vf_lt(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
static inline vm vf_gt(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_GT_OQ);
}
static inline vm vf_eq(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}
static inline vm vf_isnan(vf a)
{
    return _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
}
/* m ? a : b */
static inline vf vf_select(vm m, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, m);
}
static inline int vm_any(vm m)
{
    return _mm256_movemask_ps(m) != 0;
}
static inline float vf_hsum(vf a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline float vf_hmax(vf a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

static inline vi vi_set1(int32_t x)
{
    return _mm256_set1_epi32(x);
}
static inline vi vi_add(vi a, vi b)
{
    return _mm256_add_epi32(a, b);
}
static inline vi vi_sub(vi a, vi b)
{
    return _mm256_sub_epi32(a, b);
}
static inline vi vi_and(vi a, vi b)
{
    return _mm256_and_si256(a, b);
}
static inline vi vi_or(vi a, vi b)
{
    return _mm256_or_si256(a, b);
}
static inline vi vi_shl(vi a, int bits)
{
    return _mm256_slli_epi32(a, bits);
}
/* Arithmetic. */
static inline vi vi_shr(vi a, int bits)
{
    return _mm256_srai_epi32(a, bits);
}
static inline vm vi_eq(vi a, vi b)
{
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b));
}
/* Bits, unchanged. */
static inline vi vi_from_bits(vf a)
{
    return _mm256_castps_si256(a);
}
static inline vf vf_from_bits(vi a)
{
    return _mm256_castsi256_ps(a);
}
/* Value, for floats that are whole and fit. */
static inline vi vi_from_vf(vf a)
{
    return _mm256_cvtps_epi32(a);
}
static inline vf vf_from_vi(vi a)
{
    return _mm256_cvtepi32_ps(a);
}

#endif /* DYNO_BACKEND_CPU_SIMD_AVX2_H */
