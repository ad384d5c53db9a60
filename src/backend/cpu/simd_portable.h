/* simd_portable.h - vf of four floats in the compiler's own vectors: SSE2, NEON or plain code.
 * Included by simd.h alone. */
#ifndef DYNO_BACKEND_CPU_SIMD_PORTABLE_H
#define DYNO_BACKEND_CPU_SIMD_PORTABLE_H

#define LANES 4
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
typedef uint32_t vu __attribute__((vector_size(16))); /* integers wrap, so sums go through it */
typedef vi vm;

static inline vf vf_zero(void)
{
    return (vf){0.0F, 0.0F, 0.0F, 0.0F};
}
static inline vf vf_set1(float x)
{
    return (vf){x, x, x, x};
}
static inline vf vf_load(const float *p)
{
    vf a;
    memcpy(&a, p, sizeof(a));
    return a;
}
static inline void vf_store(float *p, vf a)
{
    memcpy(p, &a, sizeof(a));
}
/* The first n of LANES elements, 0 < n <= LANES; the other lanes are 0 and are not touched. */
static inline vf vf_load_n(const float *p, int n)
{
    vf a = vf_zero();
    for (int i = 0; i < n; i++)
        a[i] = p[i];
    return a;
}
static inline void vf_store_n(float *p, vf a, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = a[i];
}
static inline vf vf_even(vf a, vf b)
{
    vf r = vf_zero();
    for (int i = 0; i < LANES / 2; i++) {
        r[i] = a[2 * i];
        r[LANES / 2 + i] = b[2 * i];
    }
    return r;
}
static inline vf vf_add(vf a, vf b)
{
    return a + b;
}
static inline vf vf_sub(vf a, vf b)
{
    return a - b;
}
static inline vf vf_mul(vf a, vf b)
{
    return a * b;
}
static inline vf vf_div(vf a, vf b)
{
    return a / b;
}
/* a * b + c */
static inline vf vf_fma(vf a, vf b, vf c)
{
    return a * b + c;
}
static inline vi vi_set1(int32_t x)
{
    return (vi){x, x, x, x};
}
static inline vi vi_add(vi a, vi b)
{
    return (vi)((vu)a + (vu)b);
}
static inline vi vi_sub(vi a, vi b)
{
    return (vi)((vu)a - (vu)b);
}
static inline vi vi_and(vi a, vi b)
{
    return a & b;
}
static inline vi vi_or(vi a, vi b)
{
    return a | b;
}
static inline vi vi_shl(vi a, int bits)
{
    return (vi)((vu)a << bits);
}
/* Arithmetic. */
static inline vi vi_shr(vi a, int bits)
{
    return a >> bits;
}
static inline vm vi_eq(vi a, vi b)
{
    return a == b;
}
/* Bits, unchanged. */
static inline vi vi_from_bits(vf a)
{
    vi b;
    memcpy(&b, &a, sizeof(b));
    return b;
}
static inline vf vf_from_bits(vi a)
{
    vf b;
    memcpy(&b, &a, sizeof(b));
    return b;
}
/* Value, for floats that are whole and fit. */
static inline vi vi_from_vf(vf a)
{
    return __builtin_convertvector(a, vi);
}
static inline vf vf_from_vi(vi a)
{
    return __builtin_convertvector(a, vf);
}
static inline vm vf_lt(vf a, vf b)
{
    return a < b;
}
static inline vm vf_gt(vf a, vf b)
{
    return a > b;
}
static inline vm vf_eq(vf a, vf b)
{
    return a == b;
}
static inline vm vf_isnan(vf a)
{
    return a != a; /* NOLINT(misc-redundant-expression): that is how NaN shows */
}
/* m ? a : b */
static inline vf vf_select(vm m, vf a, vf b)
{
    return vf_from_bits((m & vi_from_bits(a)) | (~m & vi_from_bits(b)));
}
static inline int vm_any(vm m)
{
    return (m[0] | m[1] | m[2] | m[3]) != 0;
}
static inline vf vf_min(vf a, vf b)
{
    return vf_select(a < b, a, b);
}
static inline vf vf_max(vf a, vf b)
{
    return vf_select(a > b, a, b);
}
static inline vf vf_sqrt(vf a)
{
    return (vf){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])};
}
static inline vf vf_and(vf a, vf b)
{
    return vf_from_bits(vi_from_bits(a) & vi_from_bits(b));
}
static inline vf vf_or(vf a, vf b)
{
    return vf_from_bits(vi_from_bits(a) | vi_from_bits(b));
}
static inline vf vf_xor(vf a, vf b)
{
    return vf_from_bits(vi_from_bits(a) ^ vi_from_bits(b));
}
static inline vf vf_abs(vf a)
{
    return vf_from_bits(vi_from_bits(a) & vi_set1(INT32_MAX));
}
/* To nearest, ties to even: adding 2^23 leaves no room for a fraction. */
static inline vf vf_round(vf a)
{
    const vf big = vf_set1(8388608.0F);
    const vf mag = vf_abs(a);
    const vf whole = vf_or((mag + big) - big, vf_and(a, vf_set1(-0.0F)));
    return vf_select(mag < big, whole, a);
}
static inline vf vf_floor(vf a)
{
    const vf near = vf_round(a);
    const vf down = near - vf_select(near > a, vf_set1(1.0F), vf_zero());
    return vf_or(vf_abs(down), vf_and(a, vf_set1(-0.0F)));
}
static inline vf vf_ceil(vf a)
{
    const vf near = vf_round(a);
    const vf up = near + vf_select(near < a, vf_set1(1.0F), vf_zero());
    return vf_or(vf_abs(up), vf_and(a, vf_set1(-0.0F)));
}
static inline float vf_hsum(vf a)
{
    return (a[0] + a[2]) + (a[1] + a[3]);
}
static inline float vf_hmax(vf a)
{
    const float x = a[0] > a[2] ? a[0] : a[2];
    const float y = a[1] > a[3] ? a[1] : a[3];
    return x > y ? x : y;
}

#endif /* DYNO_BACKEND_CPU_SIMD_PORTABLE_H */
