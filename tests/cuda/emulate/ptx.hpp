/* ptx.hpp - in the place of kernels/ptx.cuh: the same functions, by the emulated driver. */
struct f16;
struct bf16;

template <typename T> struct emulate_type;
template <> struct emulate_type<f16> {
    static constexpr emulate_op MULTIPLY = EMULATE_MULTIPLY_F16, WGMMA = EMULATE_WGMMA_F16;
};
template <> struct emulate_type<float> {
    static constexpr emulate_op MULTIPLY = EMULATE_MULTIPLY_TF32;
};
template <> struct emulate_type<bf16> {
    static constexpr emulate_op MULTIPLY = EMULATE_MULTIPLY_BF16, WGMMA = EMULATE_WGMMA_BF16;
};

inline float ptx_of_f16(unsigned short x)
{
    return emulate_now->f16[x];
}

/* To the nearest, ties to even. */
inline unsigned short ptx_to_f16(float x)
{
    const unsigned sign = (unsigned)__float_as_int(x) >> 16 & 0x8000;
    const unsigned bits = (unsigned)__float_as_int(x) & 0x7fffffff;
    if (bits > 0x7f800000)
        return 0x7fff;
    if (bits >= 0x477ff000) /* 65520 */
        return (unsigned short)(sign | 0x7c00);
    if (bits < 0x38800000) /* 2^-14: the sum has the steps of a denormal */
        return (unsigned short)(sign | (unsigned)__float_as_int(fabsf(x) + 0.5f) - 0x3f000000);
    return (unsigned short)(sign | (bits - 0x38000000 + 0xfff + (bits >> 13 & 1)) >> 13);
}

inline unsigned short ptx_to_bf16(float x)
{
    const unsigned bits = (unsigned)__float_as_int(x);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return 0x7fff;
    return (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* What is less than 2^-126 is 0, before and after. */
inline float emulate_flushed(float x)
{
    return fabsf(x) < 1.17549435e-38f ? x * 0.0f : x;
}
inline float ptx_exp2(float x)
{
    return emulate_flushed(exp2f(emulate_flushed(x)));
}
inline float ptx_recip(float x)
{
    return emulate_flushed(1.0f / emulate_flushed(x));
}

template <typename T> unsigned ptx_pack(float low, float high);
template <> inline unsigned ptx_pack<f16>(float low, float high)
{
    return (unsigned)ptx_to_f16(high) << 16 | ptx_to_f16(low);
}
template <> inline unsigned ptx_pack<bf16>(float low, float high)
{
    return (unsigned)ptx_to_bf16(high) << 16 | ptx_to_bf16(low);
}

inline void ptx_copy16(unsigned at, const void *from, int n)
{
    emulate_now->copy16(at, from, n);
}
inline void ptx_copies_commit()
{
    emulate_now->copies_commit();
}
template <int LEFT> void ptx_copies_wait()
{
    emulate_now->copies_wait(LEFT);
}

inline void emulate_load(emulate_op op, unsigned (&r)[4], unsigned at)
{
    emulate_matrices lane = {{}, at};
    emulate_now->warp_meet(op, &lane);
    for (int i = 0; i < 4; i++)
        r[i] = lane.r[i];
}
inline void ptx_load_matrices(unsigned (&r)[4], unsigned at)
{
    emulate_load(EMULATE_LOAD_MATRICES, r, at);
}
inline void ptx_load_turned(unsigned (&r)[4], unsigned at)
{
    emulate_load(EMULATE_LOAD_TURNED, r, at);
}

/* To the nearest, ties away from zero. */
inline unsigned ptx_to_tf32(unsigned x)
{
    return (x & 0x7f800000) == 0x7f800000 ? x : (x + 0x1000) & ~0x1fffu;
}

template <typename T>
void ptx_multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
{
    emulate_multiply lane = {c, a, {b0, b1}};
    emulate_now->warp_meet(emulate_type<T>::MULTIPLY, &lane);
}

template <typename T>
void ptx_multiply_32(float (*d)[4], unsigned long long a, unsigned long long b)
{
    emulate_wgmma lane = {d, a, b, 32};
    emulate_now->warp_meet(emulate_type<T>::WGMMA, &lane);
}
template <typename T>
void ptx_multiply_64(float (*d)[4], unsigned long long a, unsigned long long b)
{
    emulate_wgmma lane = {d, a, b, 64};
    emulate_now->warp_meet(emulate_type<T>::WGMMA, &lane);
}
template <typename T>
void ptx_multiply_128(float (*d)[4], unsigned long long a, unsigned long long b)
{
    emulate_wgmma lane = {d, a, b, 128};
    emulate_now->warp_meet(emulate_type<T>::WGMMA, &lane);
}

inline void ptx_products_fence()
{
}
inline void ptx_products_commit()
{
    emulate_now->warp_meet(EMULATE_WGMMA_COMMIT, nullptr);
}
template <int LEFT> void ptx_products_wait()
{
    emulate_wait lane = {LEFT};
    emulate_now->warp_meet(EMULATE_WGMMA_WAIT, &lane);
}
inline void ptx_settle(float &)
{
}
inline void ptx_proxy_fence()
{
}

inline void ptx_barrier_init(unsigned at, int arrivals)
{
    emulate_now->barrier_init(at, arrivals);
}
inline void ptx_barrier_expect(unsigned at, int bytes)
{
    emulate_now->barrier_expect(at, bytes);
}
inline void ptx_barrier_wait(unsigned at, int parity)
{
    emulate_now->barrier_wait(at, parity);
}
inline void ptx_bulk_copy(unsigned to, const void *from, int bytes, unsigned barrier)
{
    emulate_now->bulk_copy(to, from, bytes, barrier);
}

inline void ptx_cluster_meet()
{
    emulate_now->cluster_meet();
}
inline unsigned ptx_cluster_at(unsigned at, int rank)
{
    return at + (unsigned)(rank + 1) * EMULATE_RANK_STEP;
}
inline float ptx_cluster_load(unsigned at)
{
    return emulate_now->cluster_load(at);
}
inline void ptx_cluster_load4(float *x, unsigned at)
{
    for (unsigned i = 0; i < 4; i++)
        x[i] = emulate_now->cluster_load(at + 4 * i);
}
