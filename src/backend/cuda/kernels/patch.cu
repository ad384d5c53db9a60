/* patch.cu - convolutions over small windows on tensor cores, channels last: a block keeps the part
 * of the image under its outputs, CK channels at a time, and multiplies all taps out of it, so that
 * no element is fetched once a tap.
 *
 * Choices: T (f16, bf16), TO (of y), VEC (elements a store), KH KW SH SW, TH TW (outputs of a block;
 * TW is 8 or a multiple of 16), MI (rows of 16 outputs a warp makes), BN (channels of a block), CK
 * (16, 32 or 64).
 *
 * Weights: [channels / CK][tap][column][CK].  Columns of the image lie sorted by their remainder by
 * SW, so that neighbouring outputs read neighbours; 16-byte chunks of eight neighbours are permuted
 * into different banks.
 */
#define OUTPUTS (TH * TW)
#define THREADS (OUTPUTS / (16 * MI) * 32)
#define CHUNKS  (CK / 8)
#define PATCH_H ((TH - 1) * SH + KH)
#define PATCH_W (((TW - 1) * SW + KW + SW - 1) / SW) /* of one remainder */
#define PIXELS  (PATCH_H * SW * PATCH_W)
#define ROWS_B  (KH * KW * BN)
#define STAGE   (2 * CK * (PIXELS + ROWS_B)) /* bytes */
#define OUT_LD  (BN + 8)
#define TOGETHER 4 /* stores whose operands are loaded at once */

static_assert((TW == 8 || TW % 16 == 0) && OUTPUTS % (16 * MI) == 0, "tiles");
static_assert(BN % 16 == 0 && BN % VEC == 0 && (CK == 16 || CK == 32 || CK == 64), "tiles");

/* Element of a row of CK at its chunk: eight neighbouring rows lie in different banks. */
__device__ __forceinline__ int place_of(int row, int chunk)
{
    const int turn = CK == 64 ? row & 7 : CK == 32 ? row >> 1 & 3 : row >> 2 & 1;
    return row * CK + ((chunk ^ turn) << 3);
}

/* Begins the copies of one stretch of channels. */
__device__ __forceinline__ void copy_stage(const dyno_gpu_conv &p, unsigned to, int stretch, int n,
                                           int y0, int x0, int n0, int columns)
{
    const T *x = (const T *)p.x + (i64)n * p.h * p.w * p.x_ld;
    const int first = stretch * CK;
    for (int i = (int)threadIdx.x; i < PIXELS * CHUNKS; i += THREADS) {
        const int pixel = i / CHUNKS, chunk = i % CHUNKS;
        const int row = pixel / (SW * PATCH_W), column = pixel % (SW * PATCH_W);
        const int iy = y0 + row;
        const int ix = x0 + column % PATCH_W * SW + column / PATCH_W;
        const int c = first + chunk * 8;
        const bool there =
            (unsigned)iy < (unsigned)p.h && (unsigned)ix < (unsigned)p.w && c < p.c;
        ptx_copy16(to + 2 * place_of(pixel, chunk), x + (there ? ((i64)iy * p.w + ix) * p.x_ld + c : 0),
                   there ? 16 : 0);
    }
    const unsigned b = to + 2 * CK * PIXELS;
    const T *weights = (const T *)p.weights + ((i64)stretch * KH * KW * columns + n0) * CK;
    for (int i = (int)threadIdx.x; i < ROWS_B * CHUNKS; i += THREADS) {
        const int row = i / CHUNKS, chunk = i % CHUNKS;
        ptx_copy16(b + 2 * place_of(row, chunk),
                   weights + ((i64)(row / BN) * columns + row % BN) * CK + chunk * 8, 16);
    }
}

__device__ __forceinline__ void multiply_stage(float (&sum)[MI][BN / 8][4], unsigned a,
                                               const int (&base)[MI])
{
    const int lane = (int)threadIdx.x & 31;
    const unsigned b = a + 2 * CK * PIXELS;
#pragma unroll
    for (int tap = 0; tap < KH * KW; tap++) {
        const int r = tap / KW, s = tap % KW;
        const int shift = r * SW * PATCH_W + s % SW * PATCH_W + s / SW;
#pragma unroll
        for (int k = 0; k < CHUNKS; k += 2) {
            unsigned fa[MI][4], fb[BN / 16][4];
#pragma unroll
            for (int i = 0; i < MI; i++)
                ptx_load_matrices(fa[i], a + 2 * place_of(base[i] + shift, k + (lane >> 4)));
#pragma unroll
            for (int j = 0; j < BN / 16; j++)
                ptx_load_matrices(
                    fb[j], b + 2 * place_of(tap * BN + j * 16 + (lane >> 4) * 8 + (lane & 7),
                                            k + (lane >> 3 & 1)));
#pragma unroll
            for (int i = 0; i < MI; i++)
#pragma unroll
                for (int j = 0; j < BN / 8; j++)
                    ptx_multiply<T>(sum[i][j], fa[i], fb[j / 2][j % 2 * 2],
                                    fb[j / 2][j % 2 * 2 + 1]);
        }
    }
}

/* 16 outputs of a warp, from their sums in its part of shared memory. */
__device__ __forceinline__ void finish(const dyno_gpu_conv &p, const float *sums, int output0, int n,
                                       int oy0, int ox0, int n0)
{
    constexpr int GROUPS = BN / VEC;
    for (int first = (int)threadIdx.x & 31; first < 16 * GROUPS; first += TOGETHER * 32) {
        float v[TOGETHER][VEC];
        i64 to[TOGETHER];
#pragma unroll
        for (int u = 0; u < TOGETHER; u++) {
            const int i = first + u * 32;
            const int row = i / GROUPS, column = i % GROUPS * VEC;
            const int oy = oy0 + (output0 + row) / TW, ox = ox0 + (output0 + row) % TW;
            to[u] = -1;
            if (row >= 16 || oy >= p.oh || ox >= p.ow || n0 + column >= p.m)
                continue;
            const i64 pixel = ((i64)n * p.oh + oy) * p.ow + ox;
            to[u] = pixel * p.y_ld + n0 + column;
            float own[VEC];
            dyno_load<VEC>(v[u], (const float *)p.bias + n0 + column);
            dyno_load<VEC>(own, sums + row * OUT_LD + column);
#pragma unroll
            for (int e = 0; e < VEC; e++)
                v[u][e] += own[e];
            dyno_finish(v[u], p, to[u], (int)pixel, n0 + column);
        }
        dyno_store_all((TO *)p.y, to, v);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    dyno_main(const __grid_constant__ dyno_gpu_conv p)
{
    extern __shared__ __align__(128) unsigned char shared[];
    const unsigned stages = (unsigned)__cvta_generic_to_shared(shared);
    const int warp = (int)threadIdx.x >> 5, lane = (int)threadIdx.x & 31;
    const int across = (p.ow + TW - 1) / TW;
    const int oy0 = (int)blockIdx.x / across * TH, ox0 = (int)blockIdx.x % across * TW;
    const int n0 = (int)blockIdx.y * BN, n = (int)blockIdx.z;
    const int y0 = oy0 * SH - p.ph, x0 = ox0 * SW - p.pw;
    const int columns = (int)gridDim.y * BN;
    const int stretches = (p.c + CK - 1) / CK;
    int base[MI];
#pragma unroll
    for (int i = 0; i < MI; i++) {
        const int output = (warp * MI + i) * 16 + (lane & 15);
        base[i] = output / TW * SH * (SW * PATCH_W) + output % TW;
    }
    float sum[MI][BN / 8][4] = {};
    copy_stage(p, stages, 0, n, y0, x0, n0, columns);
    ptx_copies_commit();
    for (int stretch = 0; stretch < stretches; stretch++) {
        if (stretch + 1 < stretches)
            copy_stage(p, stages + ((stretch + 1) & 1) * STAGE, stretch + 1, n, y0, x0, n0, columns);
        ptx_copies_commit();
        ptx_copies_wait<1>();
        __syncthreads();
        multiply_stage(sum, stages + (stretch & 1) * STAGE, base);
        __syncthreads(); /* everybody is done with this stage */
    }

    float *sums = reinterpret_cast<float *>(shared) + warp * 16 * OUT_LD;
#pragma unroll
    for (int i = 0; i < MI; i++) {
#pragma unroll
        for (int j = 0; j < BN / 8; j++) {
            float *at = sums + lane / 4 * OUT_LD + j * 8 + lane % 4 * 2;
            *reinterpret_cast<float2 *>(at) = make_float2(sum[i][j][0], sum[i][j][1]);
            *reinterpret_cast<float2 *>(at + 8 * OUT_LD) = make_float2(sum[i][j][2], sum[i][j][3]);
        }
        __syncwarp();
        finish(p, sums, (warp * MI + i) * 16, n, oy0, ox0, n0);
        __syncwarp();
    }
}
