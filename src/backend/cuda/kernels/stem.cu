/* stem.cu - first convolutions on tensor cores: few channels in, read as rows of f32 as the caller
 * gives them, channels last out.
 *
 * Choices: T (f16, bf16: what is multiplied, and y), VEC (elements a store), C (channels in),
 * KH KW SH SW, KP (taps of a row of the filter as stored: 4, 8, 16), LEAD (of those, before the
 * first: 0, 1), EVEN (1: every window begins at an even column of the patch), TH TW (outputs of a
 * block; TW is a multiple of 16), BN (channels of a block, a multiple of 16).
 *
 * A block keeps the part of the image under its outputs as T, from a multiple of four columns on;
 * two neighbouring taps are one register of the operand.  k runs over channel, row and tap; weights
 * are [output][k], what is padding zero.
 */
#define OUTPUTS  (TH * TW)
#define THREADS  OUTPUTS /* a warp makes 32 outputs */
#define K_ROWS   (C * KH)
#define STEPS    ((K_ROWS * KP + 15) / 16)
#define K_STORED (STEPS * 16)
#define B_LD     (K_STORED + 8) /* rows of ldmatrix in different banks */
#define OUT_LD   (BN + 8) /* eight rows of pairs in different banks */
#define PATCH_H  ((TH - 1) * SH + KH)
#define PATCH_W  (((TW - 1) * SW + KP + 3 + 3) / 4 * 4) /* the first tap is one of its first four */
#define FOURS    (PATCH_W / 4) /* of a row of the patch */
#define HELD     4 /* times four elements of the image that a thread asks for at once */

static_assert(TW % 16 == 0 && OUTPUTS % 32 == 0 && BN % 16 == 0 && BN % VEC == 0, "tiles");
static_assert(TW * SW % 4 == 0 && VEC == 8 && (!EVEN || SW % 2 == 0), "whole fours");

/* The part of the image under the block's outputs, zero outside. */
__device__ __forceinline__ void fill_patch(T *patch, const dyno_gpu_conv &p, int n, int y0, int x0)
{
    constexpr int COUNT = C * PATCH_H * FOURS;
    const float *x = (const float *)p.x + (i64)n * C * p.h * p.w;
    const bool whole = (p.w & 3) == 0 && (p.x & 15) == 0; /* fours of the image are, too */
    for (int first = (int)threadIdx.x; first < COUNT; first += HELD * THREADS) {
        float held[HELD][4];
#pragma unroll
        for (int u = 0; u < HELD; u++) {
            const int i = first + u * THREADS;
            const int row = i / FOURS;
            const int c = row / PATCH_H;
            const int iy = y0 + row - c * PATCH_H;
            const int ix = x0 + (i - row * FOURS) * 4;
            const bool there = i < COUNT && (unsigned)iy < (unsigned)p.h;
            const float *from = x + ((i64)c * p.h + iy) * p.w + ix;
#pragma unroll
            for (int e = 0; e < 4; e++)
                held[u][e] = 0.0f;
            if (whole) {
                if (there && (unsigned)ix < (unsigned)p.w)
                    dyno_load<4>(held[u], from);
            } else {
#pragma unroll
                for (int e = 0; e < 4; e++)
                    if (there && (unsigned)(ix + e) < (unsigned)p.w)
                        held[u][e] = from[e];
            }
        }
#pragma unroll
        for (int u = 0; u < HELD; u++)
            if (first + u * THREADS < COUNT)
                dyno_store<4>(patch + (first + u * THREADS) * 4, held[u]);
    }
}

/* Two neighbours. */
__device__ __forceinline__ unsigned pair_at(const unsigned short *at)
{
    if constexpr (EVEN)
        return *reinterpret_cast<const unsigned *>(at);
    else
        return at[0] | (unsigned)at[1] << 16;
}

/* Sums of 32 outputs of a warp, as pairs of rows of 16. */
__device__ __forceinline__ void multiply(float (&sum)[2][BN / 8][4], const unsigned short *patch,
                                         unsigned b, int offset)
{
    const int warp = (int)threadIdx.x >> 5, lane = (int)threadIdx.x & 31, pair = lane & 3;
    const unsigned short *base[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int tile = warp * 2 + i;
        const int y = tile / (TW / 16), x = tile % (TW / 16) * 16 + (lane >> 2);
        base[i] = patch + y * SH * PATCH_W + x * SW + offset;
    }
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        unsigned fa[2][4], fb[BN / 16][4];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = KP == 16  ? step
                            : KP == 8 ? step * 2 + half
                                      : step * 4 + half * 2 + (pair >> 1);
            const int at = KP == 16 ? half * 8 + 2 * pair : KP == 8 ? 2 * pair : 2 * (pair & 1);
            const int tap = at - LEAD;
            /* Taps that are padding meet neighbours, which may be infinite. */
            const unsigned mask = row >= K_ROWS
                                      ? 0
                                      : (tap >= 0 && tap < KW ? 0xffffu : 0u) |
                                            (tap + 1 < KW ? 0xffff0000u : 0u);
            const int from = row < K_ROWS ? (row / KH * PATCH_H + row % KH) * PATCH_W + at : 0;
#pragma unroll
            for (int i = 0; i < 2; i++) {
                fa[i][half * 2] = pair_at(base[i] + from) & mask;
                fa[i][half * 2 + 1] = pair_at(base[i] + from + 8 * SW) & mask;
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

/* Bias and tail of 16 neighbouring outputs of a row from (oy, ox) on, by pairs of channels where
 * they were multiplied, then whole vectors by way of the warp's part of shared memory. */
__device__ __forceinline__ void finish(const dyno_gpu_conv &p, float (&sum)[BN / 8][4], T *out, int n,
                                       int oy, int ox, int n0)
{
    const int lane = (int)threadIdx.x & 31;
    const i64 line = ((i64)n * p.oh + (oy < p.oh ? oy : p.oh - 1)) * p.ow;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int row = half * 8 + lane / 4;
        const i64 pixel = line + (ox + row < p.ow ? ox + row : p.ow - 1); /* is there */
#pragma unroll
        for (int j = 0; j < BN / 8; j++) {
            const int column = j * 8 + lane % 4 * 2;
            const int channel = n0 + column < p.m ? n0 + column : p.m - 2;
            float v[2];
            dyno_load<2>(v, (const float *)p.bias + channel);
#pragma unroll
            for (int e = 0; e < 2; e++)
                v[e] += sum[j][half * 2 + e];
            dyno_tail<2>(v, p.tail, pixel * p.y_ld + channel, (int)pixel, channel);
#pragma unroll
            for (int e = 0; e < 2; e++)
                v[e] = n0 + column + e < p.channels ? v[e] : 0.0f;
            dyno_store<2>(out + row * OUT_LD + column, v);
        }
    }
    __syncwarp();
#pragma unroll
    for (int i = lane; i < 16 * (BN / VEC); i += 32) {
        const int row = i / (BN / VEC), column = i % (BN / VEC) * VEC;
        if (oy < p.oh && ox + row < p.ow && n0 + column < p.m)
            *reinterpret_cast<dyno_words<16> *>((T *)p.y + (line + ox + row) * p.y_ld + n0 + column) =
                *reinterpret_cast<const dyno_words<16> *>(out + row * OUT_LD + column);
    }
    __syncwarp();
}

extern "C" __global__ void __launch_bounds__(THREADS)
    dyno_main(const __grid_constant__ dyno_gpu_conv p)
{
    extern __shared__ __align__(16) unsigned char shared[];
    T *patch = reinterpret_cast<T *>(shared + 2 * BN * B_LD);
    const unsigned b = (unsigned)__cvta_generic_to_shared(shared);
    const int warp = (int)threadIdx.x >> 5;
    const int across = (p.ow + TW - 1) / TW;
    const int oy0 = (int)blockIdx.x / across * TH, ox0 = (int)blockIdx.x % across * TW;
    const int n0 = (int)blockIdx.y * BN, n = (int)blockIdx.z;
    const T *weights = (const T *)p.weights + (i64)n0 * K_STORED;

    for (int i = (int)threadIdx.x; i < BN * (K_STORED / 8); i += THREADS) {
        const int row = i / (K_STORED / 8), chunk = i % (K_STORED / 8);
        ptx_copy16(b + 2 * (row * B_LD + chunk * 8), weights + row * K_STORED + chunk * 8, 16);
    }
    ptx_copies_commit();
    const int offset = -(p.pw + LEAD) & 3; /* of the first tap: the patch begins at a four */
    fill_patch(patch, p, n, oy0 * SH - p.ph, ox0 * SW - p.pw - LEAD - offset);
    ptx_copies_wait<0>();
    __syncthreads();

    float sum[2][BN / 8][4] = {};
    multiply(sum, reinterpret_cast<const unsigned short *>(patch), b, offset);
    /* A warp's own; 16 bytes each after the patch. */
    T *out = patch + (C * PATCH_H * PATCH_W + 7) / 8 * 8 + warp * 16 * OUT_LD;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int tile = warp * 2 + i;
        finish(p, sum[i], out, n, oy0 + tile / (TW / 16), ox0 + tile % (TW / 16) * 16, n0);
    }
}
