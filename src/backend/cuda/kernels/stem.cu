/* stem.cu - first convolutions on tensor cores: few channels in, read as rows of f32 as the caller
 * gives them, channels last out.
 *
 * Choices: T (f16, bf16: what is multiplied), TO (of y), VEC (elements a store), C (channels in),
 * KH KW SH SW, KP (taps of a row of the filter as stored: 4, 8, 16), TH TW (outputs of a block; TW
 * is a multiple of 16), BN (channels of a block, a multiple of 16).
 *
 * A block keeps the part of the image under its outputs as T; two neighbouring taps are one register
 * of the operand.  k runs over channel, row and tap; weights are [output][k], what is padding zero.
 */
#define OUTPUTS  (TH * TW)
#define THREADS  OUTPUTS /* a warp makes 32 outputs */
#define K_ROWS   (C * KH)
#define STEPS    ((K_ROWS * KP + 15) / 16)
#define K_STORED (STEPS * 16)
#define B_LD     (K_STORED + 8) /* rows of ldmatrix in different banks */
#define OUT_LD   (BN + 8) /* eight rows of pairs in different banks */
#define PATCH_H  ((TH - 1) * SH + KH)
#define PATCH_W  (((TW - 1) * SW + KP + 1) / 2 * 2)
#define HELD     16 /* elements of the image that a thread asks for at once */
#define TOGETHER 4  /* stores whose operands are loaded at once */

static_assert(TW % 16 == 0 && OUTPUTS % 32 == 0 && BN % 16 == 0 && BN % VEC == 0, "tiles");

/* The part of the image under the block's outputs, zero outside. */
__device__ __forceinline__ void fill_patch(T *patch, const dyno_gpu_conv &p, int n, int y0, int x0)
{
    constexpr int COUNT = C * PATCH_H * PATCH_W;
    const float *x = (const float *)p.x + (i64)n * C * p.h * p.w;
    for (int first = (int)threadIdx.x; first < COUNT; first += HELD * THREADS) {
        float held[HELD];
#pragma unroll
        for (int u = 0; u < HELD; u++) {
            const int i = first + u * THREADS;
            const int row = i / PATCH_W;
            const int c = row / PATCH_H;
            const int iy = y0 + row - c * PATCH_H;
            const int ix = x0 + i - row * PATCH_W;
            const bool there =
                i < COUNT && (unsigned)iy < (unsigned)p.h && (unsigned)ix < (unsigned)p.w;
            held[u] = there ? x[((i64)c * p.h + iy) * p.w + ix] : 0.0f;
        }
#pragma unroll
        for (int u = 0; u < HELD; u++)
            if (first + u * THREADS < COUNT)
                patch[first + u * THREADS] = dyno_of_f32<T>(held[u]);
    }
}

/* Two neighbours; `at` is even where SW is. */
__device__ __forceinline__ unsigned pair_at(const unsigned short *at)
{
    if constexpr (SW % 2 == 0)
        return *reinterpret_cast<const unsigned *>(at);
    else
        return at[0] | (unsigned)at[1] << 16;
}

/* Sums of 32 outputs of a warp, as pairs of rows of 16. */
__device__ __forceinline__ void multiply(float (&sum)[2][BN / 8][4], const unsigned short *patch,
                                         unsigned b)
{
    const int warp = (int)threadIdx.x >> 5, lane = (int)threadIdx.x & 31, pair = lane & 3;
    const unsigned short *base[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int tile = warp * 2 + i;
        const int y = tile / (TW / 16), x = tile % (TW / 16) * 16 + (lane >> 2);
        base[i] = patch + y * SH * PATCH_W + x * SW;
    }
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        unsigned fa[2][4], fb[BN / 16][4];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = KP == 16  ? step
                            : KP == 8 ? step * 2 + half
                                      : step * 4 + half * 2 + (pair >> 1);
            const int tap = KP == 16 ? half * 8 + 2 * pair : KP == 8 ? 2 * pair : 2 * (pair & 1);
            /* Taps that are padding meet neighbours, which may be infinite. */
            const unsigned mask =
                row >= K_ROWS || tap >= KW ? 0 : (tap + 1 < KW ? 0xffffffffu : 0xffffu);
            const int at = mask != 0 ? (row / KH * PATCH_H + row % KH) * PATCH_W + tap : 0;
#pragma unroll
            for (int i = 0; i < 2; i++) {
                fa[i][half * 2] = pair_at(base[i] + at) & mask;
                fa[i][half * 2 + 1] = pair_at(base[i] + at + 8 * SW) & mask;
            }
        }
#pragma unroll
        for (int j = 0; j < BN / 16; j++)
            ptx_load_matrices(fb[j], b + 2 * ((j * 16 + (lane >> 4) * 8 + (lane & 7)) * B_LD +
                                              step * 16 + (lane >> 3 & 1) * 8));
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < BN / 8; j++)
                ptx_multiply<T>(sum[i][j], fa[i], fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    dyno_main(const __grid_constant__ dyno_gpu_conv p)
{
    extern __shared__ __align__(16) unsigned char shared[];
    T *patch = reinterpret_cast<T *>(shared + 2 * BN * B_LD);
    const unsigned b = (unsigned)__cvta_generic_to_shared(shared);
    const int warp = (int)threadIdx.x >> 5, lane = (int)threadIdx.x & 31;
    const int across = (p.ow + TW - 1) / TW;
    const int oy0 = (int)blockIdx.x / across * TH, ox0 = (int)blockIdx.x % across * TW;
    const int n0 = (int)blockIdx.y * BN, n = (int)blockIdx.z;
    const T *weights = (const T *)p.weights + (i64)n0 * K_STORED;

    for (int i = (int)threadIdx.x; i < BN * (K_STORED / 8); i += THREADS) {
        const int row = i / (K_STORED / 8), chunk = i % (K_STORED / 8);
        ptx_copy16(b + 2 * (row * B_LD + chunk * 8), weights + row * K_STORED + chunk * 8, 16);
    }
    ptx_copies_commit();
    fill_patch(patch, p, n, oy0 * SH - p.ph, ox0 * SW - p.pw);
    ptx_copies_wait<0>();
    __syncthreads();

    float sum[2][BN / 8][4] = {};
    multiply(sum, reinterpret_cast<const unsigned short *>(patch), b);
    __syncthreads(); /* everybody is done with weights and image */

    float *out = reinterpret_cast<float *>(shared);
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < BN / 8; j++) {
            float *at = out + ((warp * 2 + i) * 16 + lane / 4) * OUT_LD + j * 8 + lane % 4 * 2;
            *reinterpret_cast<float2 *>(at) = make_float2(sum[i][j][0], sum[i][j][1]);
            *reinterpret_cast<float2 *>(at + 8 * OUT_LD) = make_float2(sum[i][j][2], sum[i][j][3]);
        }
    __syncthreads();

    constexpr int GROUPS = BN / VEC;
    for (int first = (int)threadIdx.x; first < OUTPUTS * GROUPS; first += TOGETHER * THREADS) {
        float v[TOGETHER][VEC];
        i64 to[TOGETHER];
#pragma unroll
        for (int u = 0; u < TOGETHER; u++) {
            const int i = first + u * THREADS;
            const int row = i / GROUPS, column = i % GROUPS * VEC;
            const int oy = oy0 + row / TW, ox = ox0 + row % TW;
            to[u] = -1;
            if (row >= OUTPUTS || oy >= p.oh || ox >= p.ow || n0 + column >= p.m)
                continue;
            const i64 pixel = ((i64)n * p.oh + oy) * p.ow + ox;
            to[u] = pixel * p.y_ld + n0 + column;
            dyno_load<VEC>(v[u], (const float *)p.bias + n0 + column);
            float own[VEC];
            dyno_load<VEC>(own, out + row * OUT_LD + column);
#pragma unroll
            for (int e = 0; e < VEC; e++)
                v[u][e] += own[e];
            dyno_tail<VEC>(v[u], p.tail, to[u], (int)pixel, n0 + column);
#pragma unroll
            for (int e = 0; e < VEC; e++)
                v[u][e] = n0 + column + e < p.channels ? v[u][e] : 0.0f;
        }
#pragma unroll
        for (int u = 0; u < TOGETHER; u++)
            if (to[u] >= 0)
                dyno_store<VEC>((TO *)p.y + to[u], v[u]);
    }
}
