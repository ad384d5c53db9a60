/* prelude.cuh - element types, vectors of them, and small tools; before every template.
 *
 * Self-contained: the run-time compiler comes without NVIDIA's headers.
 */
typedef long long i64;

struct f16 {
    unsigned short bits;
};
struct bf16 {
    unsigned short bits;
};

__device__ __forceinline__ float dyno_to_f32(float x)
{
    return x;
}
__device__ __forceinline__ float dyno_to_f32(f16 x)
{
    return ptx_of_f16(x.bits);
}
__device__ __forceinline__ float dyno_to_f32(bf16 x)
{
    return __int_as_float((int)x.bits << 16);
}

template <typename T> __device__ __forceinline__ T dyno_of_f32(float x);
template <> __device__ __forceinline__ float dyno_of_f32<float>(float x)
{
    return x;
}
template <> __device__ __forceinline__ f16 dyno_of_f32<f16>(float x)
{
    return {ptx_to_f16(x)};
}
template <> __device__ __forceinline__ bf16 dyno_of_f32<bf16>(float x)
{
    return {ptx_to_bf16(x)};
}

/* Instructions of tails that mean what ops/pw.def says, but for the last bits: the compiler's
 * division and expf take a branch and some 25 instructions an element, more than what a
 * convolution multiplies. */
__device__ __forceinline__ float dyno_quick_sigmoid(float a, float, float, float, float)
{
    return ptx_recip(1.0f + ptx_exp2(-1.44269504f * a));
}
__device__ __forceinline__ float dyno_quick_silu(float a, float, float, float p, float)
{
    return a * ptx_recip(1.0f + ptx_exp2(-1.44269504f * p * a));
}

/* W neighbouring elements; the address is a multiple of their size, up to 16 bytes. */
template <int BYTES> struct dyno_words;
template <> struct dyno_words<2> {
    unsigned short w[1];
};
template <> struct dyno_words<4> {
    unsigned w[1];
};
template <> struct __align__(8) dyno_words<8>
{
    unsigned w[2];
};
template <> struct __align__(16) dyno_words<16>
{
    unsigned w[4];
};

template <int W, typename T> __device__ __forceinline__ void dyno_load(float (&v)[W], const T *from)
{
    constexpr int BYTES = W * (int)sizeof(T);
    if constexpr (BYTES > 16) {
        float half[W / 2];
        dyno_load<W / 2>(half, from);
#pragma unroll
        for (int i = 0; i < W / 2; i++)
            v[i] = half[i];
        dyno_load<W / 2>(half, from + W / 2);
#pragma unroll
        for (int i = 0; i < W / 2; i++)
            v[W / 2 + i] = half[i];
    } else {
        union pack {
            dyno_words<BYTES> words;
            T items[W];
            __device__ pack()
            {
            }
        } pack;
        pack.words = *reinterpret_cast<const dyno_words<BYTES> *>(from);
#pragma unroll
        for (int i = 0; i < W; i++)
            v[i] = dyno_to_f32(pack.items[i]);
    }
}

template <int W, typename T> __device__ __forceinline__ void dyno_store(T *to, const float (&v)[W])
{
    constexpr int BYTES = W * (int)sizeof(T);
    if constexpr (BYTES > 16) {
        float half[W / 2];
#pragma unroll
        for (int i = 0; i < W / 2; i++)
            half[i] = v[i];
        dyno_store<W / 2>(to, half);
#pragma unroll
        for (int i = 0; i < W / 2; i++)
            half[i] = v[W / 2 + i];
        dyno_store<W / 2>(to + W / 2, half);
    } else if constexpr (sizeof(T) == 2 && W % 2 == 0) {
        dyno_words<BYTES> words;
#pragma unroll
        for (int i = 0; i < W / 2; i++)
            words.w[i] = ptx_pack<T>(v[2 * i], v[2 * i + 1]);
        *reinterpret_cast<dyno_words<BYTES> *>(to) = words;
    } else {
        union pack {
            dyno_words<BYTES> words;
            T items[W];
            __device__ pack()
            {
            }
        } pack;
#pragma unroll
        for (int i = 0; i < W; i++)
            pack.items[i] = dyno_of_f32<T>(v[i]);
        *reinterpret_cast<dyno_words<BYTES> *>(to) = pack.words;
    }
}

/* Sum and maximum over the lanes of a warp, for all of them. */
__device__ __forceinline__ float dyno_warp_sum(float x)
{
#pragma unroll
    for (int step = 16; step > 0; step >>= 1)
        x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}
__device__ __forceinline__ float dyno_warp_max(float x)
{
#pragma unroll
    for (int step = 16; step > 0; step >>= 1)
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
    return x;
}

/* The same over a block of `threads` (a multiple of 32, at most 1024). */
template <bool MAX> __device__ __forceinline__ float dyno_block_fold(float x, float *shared)
{
    const int warp = (int)threadIdx.x >> 5;
    const int warps = ((int)blockDim.x + 31) >> 5;
    x = MAX ? dyno_warp_max(x) : dyno_warp_sum(x);
    __syncthreads(); /* the last use of `shared` is over */
    if ((threadIdx.x & 31) == 0)
        shared[warp] = x;
    __syncthreads();
    x = (int)(threadIdx.x & 31) < warps ? shared[threadIdx.x & 31]
                                        : (MAX ? -__int_as_float(0x7f800000) : 0.0f);
    return MAX ? dyno_warp_max(x) : dyno_warp_sum(x);
}

/* v: for the first `lanes` threads of 256 the sum of positions first to last - 1 of x, which lie ld
 * apart; rows of `lanes` threads share them.  A thread to which none is mine sums nothing, and meets
 * the others.  A load past the last position is that of the last one again, so that no branch lies
 * between loads.  parts[256 * (W + 1)]: shared memory. */
template <int W, typename X>
__device__ __forceinline__ void dyno_sum_positions(float (&v)[W], const X *x, i64 ld, int first,
                                                   int last, int lanes, bool is_mine, float *parts)
{
    constexpr int LOADS = 4; /* of a thread, in flight */
    const int rows = 256 / lanes;
    const int row = (int)threadIdx.x / lanes;
    for (int i = first + row; is_mine && row < rows && i < last; i += LOADS * rows) {
        float a[LOADS][W];
#pragma unroll
        for (int k = 0; k < LOADS; k++) {
            const int at = i + k * rows < last ? i + k * rows : last - 1;
            dyno_load<W>(a[k], x + at * ld);
        }
#pragma unroll
        for (int k = 0; k < LOADS; k++)
#pragma unroll
            for (int e = 0; e < W; e++)
                v[e] += i + k * rows < last ? a[k][e] : 0.0f;
    }
#pragma unroll
    for (int e = 0; e < W; e++)
        parts[(int)threadIdx.x * (W + 1) + e] = v[e];
    for (int count = rows; count > 1;) {
        const int half = (count + 1) / 2;
        __syncthreads();
        if (row < count - half) {
#pragma unroll
            for (int e = 0; e < W; e++)
                parts[(int)threadIdx.x * (W + 1) + e] = v[e] +=
                    parts[((int)threadIdx.x + half * lanes) * (W + 1) + e];
        }
        count = half;
    }
}

/* Where a thread's rows of the left factor begin: rows of memory, or (WINDOWS) windows of an image,
 * and where on the k axis it is there. */
template <typename T, int COUNT, bool WINDOWS> struct dyno_factor_rows {
    const T *base[COUNT];
    bool there[COUNT];
};
template <typename T, int COUNT> struct dyno_factor_rows<T, COUNT, true> {
    const T *base[COUNT];
    int y[COUNT], x[COUNT];
    int channel, r, s;
};

/* COUNT rows from `first` on, `step` apart; those past the last are as the first, and not there. */
template <typename T, int COUNT, bool WINDOWS>
__device__ __forceinline__ void dyno_find_rows(dyno_factor_rows<T, COUNT, WINDOWS> &rows,
                                               const dyno_gpu_product &p, const T *a, int first,
                                               int step, int k)
{
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        const int m = first + i * step;
        if constexpr (WINDOWS) {
            const int plane = p.oh * p.ow;
            const int n = m / plane;
            const int pixel = m - n * plane;
            const int oy = pixel / p.ow;
            rows.y[i] = m < p.m ? oy * p.sh - p.ph : -(1 << 29);
            rows.x[i] = (pixel - oy * p.ow) * p.sw - p.pw;
            rows.base[i] = a + (i64)(m < p.m ? n : 0) * p.h * p.w * p.lda;
        } else {
            rows.there[i] = m < p.m;
            rows.base[i] = a + (i64)(m < p.m ? m : 0) * p.lda;
        }
    }
    if constexpr (WINDOWS) {
        const int tap = k / p.c;
        rows.channel = k - tap * p.c;
        rows.r = tap / p.kw;
        rows.s = tap - rows.r * p.kw;
    }
}

/* So many elements on along the k axis. */
template <typename T, int COUNT, bool WINDOWS>
__device__ __forceinline__ void dyno_step_rows(dyno_factor_rows<T, COUNT, WINDOWS> &rows,
                                               const dyno_gpu_product &p, int by)
{
    if constexpr (WINDOWS) {
        rows.channel += by;
        while (rows.channel >= p.c) {
            rows.channel -= p.c;
            if (++rows.s == p.kw) {
                rows.s = 0;
                rows.r++;
            }
        }
    }
}

/* The step's tail, which comes behind this (backend/cuda/tail.h). */
template <int W>
__device__ __forceinline__ void dyno_tail(float (&v)[W], const dyno_gpu_tail &t, i64 at, int row,
                                          int column);

/* W channels of an output from `channel` on, which belong at element `at` of y: the tail, and zeros
 * past those that are meant. */
template <int W, typename P>
__device__ __forceinline__ void dyno_finish(float (&v)[W], const P &p, i64 at, int row, int channel)
{
    dyno_tail<W>(v, p.tail, at, row, channel);
#pragma unroll
    for (int e = 0; e < W; e++)
        v[e] = channel + e < p.channels ? v[e] : 0.0f;
}

/* Vectors to elements of y, those of which belong anywhere (to >= 0): after what they were made of
 * was loaded, as no load passes a store. */
template <int W, int COUNT, typename Y>
__device__ __forceinline__ void dyno_store_all(Y *y, const i64 (&to)[COUNT],
                                               const float (&v)[COUNT][W])
{
#pragma unroll
    for (int u = 0; u < COUNT; u++)
        if (to[u] >= 0)
            dyno_store<W>(y + to[u], v[u]);
}
