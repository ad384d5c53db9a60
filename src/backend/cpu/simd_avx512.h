/* simd_avx512.h - vf of sixteen floats: AVX-512 F VL BW DQ.  Included by simd.h alone. */
#ifndef DYNO_BACKEND_CPU_SIMD_AVX512_H
#define DYNO_BACKEND_CPU_SIMD_AVX512_H

#include <immintrin.h>

#define LANES 16
typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;

static inline vf vf_zero(void)
{
    return _mm512_setzero_ps();
}
static inline vf vf_set1(float x)
{
    return _mm512_set1_ps(x);
}
static inline vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void vf_store(float *p, vf a)
{
    _mm512_storeu_ps(p, a);
}
static inline __mmask16 vm_first(int n)
{
    return (__mmask16)((1U << n) - 1U);
}
/* The first n of LANES elements, 0 < n <= LANES; the other lanes are 0 and are not touched. */
static inline vf vf_load_n(const float *p, int n)
{
    return _mm512_maskz_loadu_ps(vm_first(n), p);
}
static inline void vf_store_n(float *p, vf a, int n)
{
    _mm512_mask_storeu_ps(p, vm_first(n), a);
}
/* Every second of the floats of a, then of b, from the first on. */
static inline vf vf_even(vf a, vf b)
{
    const __m512i idx =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, idx, b);
}
static inline vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
static inline vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
static inline vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
static inline vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
/* a * b + c */
static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
static inline vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
static inline vf vf_sqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}
static inline vf vf_and(vf a, vf b)
{
    return _mm512_and_ps(a, b);
}
static inline vf vf_or(vf a, vf b)
{
    return _mm512_or_ps(a, b);
}
static inline vf vf_xor(vf a, vf b)
{
    return _mm512_xor_ps(a, b);
}
static inline vf vf_abs(vf a)
{
    return _mm512_andnot_ps(_mm512_set1_ps(-0.0F), a);
}
static inline vf vf_floor(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
static inline vf vf_ceil(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
/* To nearest, ties to even. */
static inline vf vf_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vm vf_lt(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
static inline vm vf_gt(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}
static inline vm vf_eq(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
static inline vm vf_isnan(vf a)
{
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
}
/* m ? a : b */
static inline vf vf_select(vm m, vf a, vf b)
{
    return _mm512_mask_blend_ps(m, b, a);
}
static inline int vm_any(vm m)
{
    return m != 0;
}
static inline float vf_hsum(vf a)
{
    return _mm512_reduce_add_ps(a);
}
static inline float vf_hmax(vf a)
{
    return _mm512_reduce_max_ps(a);
}

static inline vi vi_set1(int32_t x)
{
    return _mm512_set1_epi32(x);
}
static inline vi vi_add(vi a, vi b)
{
    return _mm512_add_epi32(a, b);
}
static inline vi vi_sub(vi a, vi b)
{
    return _mm512_sub_epi32(a, b);
}
static inline vi vi_and(vi a, vi b)
{
    return _mm512_and_si512(a, b);
}
static inline vi vi_or(vi a, vi b)
{
    return _mm512_or_si512(a, b);
}
static inline vi vi_shl(vi a, int bits)
{
    return _mm512_slli_epi32(a, bits);
}
/* Arithmetic. */
static inline vi vi_shr(vi a, int bits)
{
    return _mm512_srai_epi32(a, bits);
}
static inline vm vi_eq(vi a, vi b)
{
    return _mm512_cmpeq_epi32_mask(a, b);
}
/* Bits, unchanged. */
static inline vi vi_from_bits(vf a)
{
    return _mm512_castps_si512(a);
}
static inline vf vf_from_bits(vi a)
{
    return _mm512_castsi512_ps(a);
}
/* Value, for floats that are whole and fit. */
static inline vi vi_from_vf(vf a)
{
    return _mm512_cvtps_epi32(a);
}
static inline vf vf_from_vi(vi a)
{
    return _mm512_cvtepi32_ps(a);
}

#endif /* DYNO_BACKEND_CPU_SIMD_AVX512_H */
