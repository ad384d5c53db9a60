/* product_ffma.cu - matrix product in plain f32, rows of A from memory or from windows of an image,
 * channels last (implicit GEMM).
 *
 * Choices: T, TB, TO (types of a, b and out), BM BN (tile of a block), TM TN (of a
 * thread: 4 or 8), WINDOWS (0, 1), VEC (elements a store: 4, 2, 1), AV BV (elements of a row of a and
 * of b that are read at once: 4, or 1 where rows do not lie at multiples of that); those three may be 0
 * where that is seen when it runs.  B is [k][columns].
 * A thread owns groups of four rows and four columns, so that its reads of shared memory are 16
 * bytes and free of conflicts.
 */
#define BK       16
#define THREADS  ((BM / TM) * (BN / TN))
#define CHUNKS   (BK / 4)
#define ROWS     (THREADS / CHUNKS)
#define A_COPIES (BM / ROWS)
#define B_COPIES (BK * BN / 4 / THREADS)
#define A_LD     (BM + 4)

static_assert(BM % ROWS == 0 && (BK * BN / 4) % THREADS == 0, "a thread copies whole chunks");

__device__ __forceinline__ void clear(float (&v)[4])
{
    v[0] = v[1] = v[2] = v[3] = 0.0f;
}

/* The first `left` of four elements; the rest are zero.  ld: elements between rows. */
template <int AT_ONCE, typename E>
__device__ __forceinline__ void read_four(float (&to)[4], const E *from, int left, int ld)
{
    if (AT_ONCE == 4 || (AT_ONCE == 0 && ld % 4 == 0)) {
        if (left > 0)
            dyno_load<4>(to, from);
    } else {
#pragma unroll
        for (int e = 0; e < 4; e++)
            if (e < left)
                to[e] = dyno_to_f32(from[e]);
    }
}

typedef dyno_factor_rows<T, A_COPIES, WINDOWS> factor_rows;

__device__ __forceinline__ void read_a(float (&to)[A_COPIES][4], const factor_rows &rows,
                                       const dyno_gpu_product &p, int k)
{
#pragma unroll
    for (int i = 0; i < A_COPIES; i++) {
#if WINDOWS
        const int y = rows.y[i] + rows.r * p.dh;
        const int x = rows.x[i] + rows.s * p.dw;
        const bool there =
            (unsigned)y < (unsigned)p.h && (unsigned)x < (unsigned)p.w && rows.r < p.kh;
        const T *from = rows.base[i] + (there ? ((i64)y * p.w + x) * p.lda + rows.channel : 0);
#else
        const bool there = rows.there[i];
        const T *from = rows.base[i] + k;
#endif
        clear(to[i]);
        read_four<AV>(to[i], from, !there ? 0 : WINDOWS ? 4 : p.a_columns - k, p.lda);
    }
}

__device__ __forceinline__ void read_b(float (&to)[B_COPIES][4], const TB *b,
                                       const dyno_gpu_product &p, int n0, int k0)
{
#pragma unroll
    for (int i = 0; i < B_COPIES; i++) {
        const int at = (int)threadIdx.x + i * THREADS;
        const int k = at / (BN / 4), n = n0 + at % (BN / 4) * 4;
        clear(to[i]);
        if (k0 + k < p.depth)
            read_four<BV>(to[i], b + (i64)(k0 + k) * p.ldb + n, p.columns - n, p.ldb);
    }
}

/* The thread's part of the output, W elements a store. */
template <int W>
__device__ __forceinline__ void finish(const dyno_gpu_product &p, const float (&sum)[TM][TN],
                                       int m_first, int n_first)
{
#pragma unroll
    for (int i = 0; i < TM; i++) {
        const int m = m_first + i / 4 * (BM * 4 / TM) + i % 4;
        if (m >= p.m)
            continue;
#pragma unroll
        for (int j = 0; j < TN; j += W) {
            const int n = n_first + j / 4 * (BN * 4 / TN) + j % 4;
            if (n >= p.out_columns)
                continue;
            float v[W];
#pragma unroll
            for (int e = 0; e < W; e++)
                v[e] = sum[i][j + e] + (p.bias != 0 ? ((const float *)p.bias)[n + e] : 0.0f);
            const i64 at = (i64)blockIdx.z * p.out_batch + (i64)m * p.ldo + n;
            dyno_tail<W>(v, p.tail, at, m, n);
#pragma unroll
            for (int e = 0; e < W; e++)
                v[e] = n + e < p.n ? v[e] : 0.0f;
            dyno_store<W>((TO *)p.out + at, v);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    dyno_main(const __grid_constant__ dyno_gpu_product p)
{
    __shared__ __align__(16) float sa[2][BK][A_LD];
    __shared__ __align__(16) float sb[2][BK][BN];
    const int m0 = (int)blockIdx.x * BM, n0 = (int)blockIdx.y * BN;
    const i64 batch = blockIdx.z;
    const T *a = (const T *)p.a + batch * p.a_batch;
    const TB *b = (const TB *)p.b + batch * p.b_batch;
    const int chunk = (int)threadIdx.x % CHUNKS, row0 = (int)threadIdx.x / CHUNKS;
    const int ty = (int)threadIdx.x / (BN / TN), tx = (int)threadIdx.x % (BN / TN);
    int k = chunk * 4;
    factor_rows rows;
    dyno_find_rows(rows, p, a, m0 + (int)threadIdx.x / CHUNKS, ROWS, k);
    float sum[TM][TN] = {};
    float ra[A_COPIES][4], rb[B_COPIES][4];

    auto put = [&](int stage) {
#pragma unroll
        for (int i = 0; i < A_COPIES; i++) {
            sa[stage][chunk * 4 + 0][row0 + i * ROWS] = ra[i][0];
            sa[stage][chunk * 4 + 1][row0 + i * ROWS] = ra[i][1];
            sa[stage][chunk * 4 + 2][row0 + i * ROWS] = ra[i][2];
            sa[stage][chunk * 4 + 3][row0 + i * ROWS] = ra[i][3];
        }
#pragma unroll
        for (int i = 0; i < B_COPIES; i++) {
            const int at = (int)threadIdx.x + i * THREADS;
            *reinterpret_cast<float4 *>(&sb[stage][at / (BN / 4)][at % (BN / 4) * 4]) =
                make_float4(rb[i][0], rb[i][1], rb[i][2], rb[i][3]);
        }
    };
    read_a(ra, rows, p, k);
    read_b(rb, b, p, n0, 0);
    put(0);
    __syncthreads();
    const int tiles = p.k / BK;
    for (int tile = 0; tile < tiles; tile++) {
        const int stage = tile & 1;
        if (tile + 1 < tiles) {
            k += BK;
            dyno_step_rows(rows, p, BK);
            read_a(ra, rows, p, k);
            read_b(rb, b, p, n0, (tile + 1) * BK);
        }
#pragma unroll
        for (int kk = 0; kk < BK; kk++) {
            float x[TM], y[TN];
#pragma unroll
            for (int i = 0; i < TM; i += 4)
                *reinterpret_cast<float4 *>(x + i) = *reinterpret_cast<const float4 *>(
                    &sa[stage][kk][i / 4 * (BM * 4 / TM) + ty * 4]);
#pragma unroll
            for (int j = 0; j < TN; j += 4)
                *reinterpret_cast<float4 *>(y + j) = *reinterpret_cast<const float4 *>(
                    &sb[stage][kk][j / 4 * (BN * 4 / TN) + tx * 4]);
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < TN; j++)
                    sum[i][j] = fmaf(x[i], y[j], sum[i][j]);
        }
        if (tile + 1 < tiles)
            put(stage ^ 1);
        __syncthreads();
    }
#if VEC == 0
    if (p.ldo % 4 == 0)
        finish<4>(p, sum, m0 + ty * 4, n0 + tx * 4);
    else
        finish<1>(p, sum, m0 + ty * 4, n0 + tx * 4);
#else
    finish<VEC>(p, sum, m0 + ty * 4, n0 + tx * 4);
#endif
}
