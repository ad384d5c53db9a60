/* vmath.h - elementary functions of a vector, all within about 3e-7 relative error (4 ulp) of the
 * exact value; infinities, NaN and zeros come out as libm's.
 *
 * Polynomials and rationals were fitted by Lawson's iteration (weighted least squares driven to the
 * minimax) on the reduced ranges named beside them.
 */
#ifndef DYNO_BACKEND_CPU_BODY_VMATH_H
#define DYNO_BACKEND_CPU_BODY_VMATH_H

#include "backend/cpu/simd.h"

/* Lanes one at a time, for what is rare. */
static inline vf vf_map(float (*fn)(float), vf x)
{
    float lanes[LANES];
    vf_store(lanes, x);
    for (int i = 0; i < LANES; i++)
        lanes[i] = fn(lanes[i]);
    return vf_load(lanes);
}

static inline vf vf_map2(float (*fn)(float, float), vf x, vf y)
{
    float a[LANES], b[LANES];
    vf_store(a, x);
    vf_store(b, y);
    for (int i = 0; i < LANES; i++)
        a[i] = fn(a[i], b[i]);
    return vf_load(a);
}

/* 2^n for whole n in [-126, 127]. */
static inline vf vf_pow2(vi n)
{
    return vf_from_bits(vi_shl(vi_add(n, vi_set1(127)), 23));
}

/* x = n ln 2 + r, |r| <= ln 2 / 2; returns e^r - 1. */
static inline vf vexp_reduced(vf x, vf *n_out)
{
    const vf n = vf_round(vf_mul(x, vf_set1(1.442695041F)));
    vf r = vf_fma(n, vf_set1(-0.693145752F), x);
    r = vf_fma(n, vf_set1(-1.42860677e-06F), r);
    vf p = vf_set1(1.395296771e-03F);
    p = vf_fma(p, r, vf_set1(8.370320313e-03F));
    p = vf_fma(p, r, vf_set1(4.166616872e-02F));
    p = vf_fma(p, r, vf_set1(1.666650623e-01F));
    p = vf_fma(p, r, vf_set1(0.5F));
    *n_out = n;
    return vf_fma(vf_mul(r, r), p, r);
}

/* Results below 2^-125 are 0. */
static inline vf vexp(vf x)
{
    vf n;
#if defined(__AVX512F__)
    const vf in = vf_clip(x, vf_set1(-104.0F), vf_set1(89.0F));
    const vf e = vf_add(vexp_reduced(in, &n), vf_set1(1.0F));
    return _mm512_scalef_ps(e, n);
#else
    /* n goes straight into the exponent, which is right for normal results only. */
    const vf e = vf_add(vexp_reduced(x, &n), vf_set1(1.0F));
    vf y = vf_from_bits(vi_add(vi_from_bits(e), vi_shl(vi_from_vf(n), 23)));
    y = vf_select(vf_gt(x, vf_set1(88.7228F)), vf_set1(INFINITY), y);
    return vf_select(vf_lt(x, vf_set1(-86.6F)), vf_zero(), y);
#endif
}

/* e^x - 1 for x <= 0; anything else gives a finite value that means nothing (NaN stays NaN). */
static inline vf vexpm1_neg(vf x)
{
    vf n;
    const vf q = vexp_reduced(vf_clip(x, vf_set1(-80.0F), vf_zero()), &n);
    const vf s = vf_pow2(vi_from_vf(n));
    return vf_fma(s, q, vf_sub(s, vf_set1(1.0F)));
}

static inline vf vlog(vf x)
{
    const vm tiny = vf_lt(x, vf_set1(1.17549435e-38F));
    const vf scaled = vf_select(tiny, vf_mul(x, vf_set1(8388608.0F)), x);
    /* scaled = 2^k m with m in [sqrt(1/2), sqrt(2)) */
    const vi base = vi_set1(0x3f3504f3);
    const vi bits = vi_sub(vi_from_bits(scaled), base);
    const vf k = vf_sub(vf_from_vi(vi_shr(bits, 23)), vf_select(tiny, vf_set1(23.0F), vf_zero()));
    const vf m = vf_from_bits(vi_add(vi_and(bits, vi_set1(0x007fffff)), base));
    const vf f = vf_sub(m, vf_set1(1.0F));
    /* log(1 + f) = 2 s + s R(s^2), s = f / (2 + f), |s| <= 0.172 */
    const vf s = vf_div(f, vf_add(vf_set1(2.0F), f));
    const vf z = vf_mul(s, s);
    vf p = vf_set1(2.367714494e-01F);
    p = vf_fma(p, z, vf_set1(2.853161693e-01F));
    p = vf_fma(p, z, vf_set1(4.000044167e-01F));
    p = vf_fma(p, z, vf_set1(6.666666269e-01F));
    const vf half = vf_mul(vf_set1(0.5F), vf_mul(f, f));
    vf low = vf_mul(s, vf_fma(p, z, half));
    low = vf_fma(k, vf_set1(1.42860677e-06F), low);
    vf y = vf_add(vf_sub(f, vf_sub(half, low)), vf_mul(k, vf_set1(0.693145752F)));
    y = vf_select(vf_eq(x, vf_set1(INFINITY)), x, y);
    y = vf_select(vf_eq(x, vf_zero()), vf_set1(-INFINITY), y);
    y = vf_select(vf_lt(x, vf_zero()), vf_set1(NAN), y);
    return vf_select(vf_isnan(x), x, y);
}

/* log(1 + x) for x >= 0. */
static inline vf vlog1p_pos(vf x)
{
    const vf u = vf_add(vf_set1(1.0F), x);
    const vf lost = vf_sub(x, vf_sub(u, vf_set1(1.0F)));
    const vf y = vf_add(vlog(u), vf_div(lost, u));
    return vf_select(vf_eq(x, vf_set1(INFINITY)), x, y);
}

/* x P(x^2) / Q(x^2) on |x| <= 3.92, where erf is 1 to half an ulp. */
static inline vf verf(vf x)
{
    const vf a = vf_clip(x, vf_set1(-3.92F), vf_set1(3.92F));
    const vf t = vf_mul(a, a);
    vf p = vf_set1(2.050086778e-06F);
    p = vf_fma(p, t, vf_set1(2.848836302e-04F));
    p = vf_fma(p, t, vf_set1(3.765643341e-03F));
    p = vf_fma(p, t, vf_set1(5.274880305e-02F));
    p = vf_fma(p, t, vf_set1(1.904070377e-01F));
    p = vf_fma(p, t, vf_set1(1.128379107e+00F));
    vf q = vf_set1(3.809175905e-05F);
    q = vf_fma(q, t, vf_set1(1.162542496e-03F));
    q = vf_fma(q, t, vf_set1(1.496926881e-02F));
    q = vf_fma(q, t, vf_set1(1.141093522e-01F));
    q = vf_fma(q, t, vf_set1(5.020765662e-01F));
    q = vf_fma(q, t, vf_set1(1.0F));
    return vf_clip(vf_div(vf_mul(a, p), q), vf_set1(-1.0F), vf_set1(1.0F));
}

/* x P(x^2) / Q(x^2) on |x| <= 9, where tanh is 1 to half an ulp. */
static inline vf vtanh(vf x)
{
    const vf a = vf_clip(x, vf_set1(-9.0F), vf_set1(9.0F));
    const vf t = vf_mul(a, a);
    vf p = vf_set1(1.335459920e-08F);
    p = vf_fma(p, t, vf_set1(2.060903353e-05F));
    p = vf_fma(p, t, vf_set1(3.495584941e-03F));
    p = vf_fma(p, t, vf_set1(1.338102371e-01F));
    p = vf_fma(p, t, vf_set1(1.0F));
    vf q = vf_set1(7.776532129e-07F);
    q = vf_fma(q, t, vf_set1(3.285629791e-04F));
    q = vf_fma(q, t, vf_set1(2.587697096e-02F));
    q = vf_fma(q, t, vf_set1(4.671433866e-01F));
    q = vf_fma(q, t, vf_set1(1.0F));
    return vf_clip(vf_div(vf_mul(a, p), q), vf_set1(-1.0F), vf_set1(1.0F));
}

static inline vf vsigmoid(vf x)
{
    const vf one = vf_set1(1.0F);
    return vf_div(one, vf_add(one, vexp(vf_neg(x))));
}

/* x / (1 + e^(-p x)) */
static inline vf vsilu(vf x, vf p)
{
    return vf_div(x, vf_add(vf_set1(1.0F), vexp(vf_mul(vf_neg(p), x))));
}

static inline vf vgelu_erf(vf x)
{
    const vf erf1 = vf_add(vf_set1(1.0F), verf(vf_mul(x, vf_set1(0.70710678118654752F))));
    return vf_mul(vf_mul(vf_set1(0.5F), x), erf1);
}

static inline vf vgelu_tanh(vf x)
{
    const vf cube = vf_mul(vf_mul(vf_mul(vf_set1(0.044715F), x), x), x);
    const vf inner = vf_mul(vf_set1(0.79788456080286536F), vf_add(x, cube));
    return vf_mul(vf_mul(vf_set1(0.5F), x), vf_add(vf_set1(1.0F), vtanh(inner)));
}

static inline vf vsoftplus(vf x)
{
    return vf_select(vf_gt(x, vf_set1(20.0F)), x, vlog1p_pos(vexp(x)));
}

/* x tanh(log(1 + e^x)) = x n / (n + 2), n = e^x (e^x + 2) */
static inline vf vmish(vf x)
{
    const vf two = vf_set1(2.0F);
    const vf e = vexp(x);
    const vf n = vf_mul(e, vf_add(e, two));
    const vf y = vf_div(vf_mul(x, n), vf_add(n, two));
    return vf_select(vf_gt(x, vf_set1(20.0F)), x, y);
}

/* sin(x + quarter * pi / 2) for |x| <= 8192; the caller sends the rest to libm. */
static inline vf vsin_reduced(vf x, int32_t quarter)
{
    const vf n = vf_round(vf_mul(x, vf_set1(0.636619772F)));
    vf r = vf_fma(n, vf_set1(-1.5703125F), x);
    r = vf_fma(n, vf_set1(-4.837512969970703125e-4F), r);
    r = vf_fma(n, vf_set1(-7.54978995489188216e-8F), r);
    const vf z = vf_mul(r, r);
    vf s = vf_set1(2.718308679e-06F);
    s = vf_fma(s, z, vf_set1(-1.983933471e-04F));
    s = vf_fma(s, z, vf_set1(8.333329111e-03F));
    s = vf_fma(s, z, vf_set1(-1.666666716e-01F));
    s = vf_fma(vf_mul(s, z), r, r);
    vf c = vf_set1(-2.721020849e-07F);
    c = vf_fma(c, z, vf_set1(2.479951945e-05F));
    c = vf_fma(c, z, vf_set1(-1.388888340e-03F));
    c = vf_fma(c, z, vf_set1(4.166666791e-02F));
    c = vf_fma(vf_mul(z, z), c, vf_fma(z, vf_set1(-0.5F), vf_set1(1.0F)));
    const vi quadrant = vi_add(vi_from_vf(n), vi_set1(quarter));
    const vm odd = vi_eq(vi_and(quadrant, vi_set1(1)), vi_set1(1));
    const vf sign = vf_from_bits(vi_shl(vi_and(quadrant, vi_set1(2)), 30));
    return vf_xor(vf_select(odd, c, s), sign);
}

static inline vf vsin(vf x)
{
    if (vm_any(vf_gt(vf_abs(x), vf_set1(8192.0F))) || vm_any(vf_isnan(x)))
        return vf_map(sinf, x);
    return vsin_reduced(x, 0);
}

static inline vf vcos(vf x)
{
    if (vm_any(vf_gt(vf_abs(x), vf_set1(8192.0F))) || vm_any(vf_isnan(x)))
        return vf_map(cosf, x);
    return vsin_reduced(x, 1);
}

/* Models raise to 2, 3, 0.5 and -0.5; anything else goes to libm. */
static inline vf vpow(vf x, vf y)
{
    return vf_map2(powf, x, y);
}

#endif /* DYNO_BACKEND_CPU_BODY_VMATH_H */
