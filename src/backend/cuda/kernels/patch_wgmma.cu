/* patch_wgmma.cu - convolutions over small windows, channels last, by groups of four warps that
 * multiply straight from shared memory (wgmma; compute capability 9.0).
 *
 * Choices: T (f16, bf16), TO (of y), VEC (elements a store), KH KW SH SW, WARPGROUPS, MI (units of a
 * group of four warps), BN (channels of a block: 32, 64, or a multiple of 128), CK (channels of x at
 * a time: 32 or 64), TAPS_A_STEP (1 or KW), STAGES (steps of weights in flight), RESIDENT (blocks
 * that a multiprocessor should hold), SPLIT (blocks of a cluster that share the sum over channels;
 * their parts meet in shared memory).
 *
 * A unit is 8 x 8 neighbouring outputs of an image.  The part of the image under it lies in shared
 * memory once for all taps, a row of CK channels a position, so the operand of a tap is that part
 * from another position on: eight groups of eight neighbours, as far apart as rows of outputs.
 * The tensor cores permute 16-byte chunks by the bits of an address alone, so such a part may begin
 * at any position.  Positions of a row lie sorted by their remainder by SW: neighbouring outputs
 * read neighbours.
 *
 * Weights come through a ring, in the order of use and permuted: [columns / BN][channels / CK][tap]
 * [column][CK].  The next CK channels of the image come while these are multiplied.
 */
#define UNITS      (WARPGROUPS * MI)
#define THREADS    (WARPGROUPS * 128)
#define ROW_BYTES  (2 * CK)
#define CHUNKS     (CK / 8)
#define PATCH_H    (7 * SH + KH)
#define PATCH_W    ((7 * SW + KW + SW - 1) / SW) /* of one remainder */
#define PITCH      (SW * PATCH_W)
#define PIXELS     (PATCH_H * PITCH)
#define PATCH      (PIXELS * ROW_BYTES) /* bytes of a unit */
#define IMAGES     ((UNITS * PATCH + 1023) / 1024 * 1024) /* of all units */
#define COPIES     (UNITS * PIXELS * CHUNKS)
#define STEPS      (KH * KW / TAPS_A_STEP) /* of CK channels */
#define PIECES     (STEPS > 4 ? STEPS - 3 : 1) /* of an image: one a step, from the second on */
#define PIECE      ((COPIES + PIECES * THREADS - 1) / (PIECES * THREADS)) /* copies of a thread */
#define TAP_BYTES  (BN * ROW_BYTES)
#define STEP_BYTES (TAPS_A_STEP * TAP_BYTES)
#define OUT_LD     (BN + 8) /* eight rows of pairs in different banks */
#define TOGETHER   4 /* stores whose operands are loaded at once */

static_assert(CK == 32 || CK == 64, "rows that are permuted");
static_assert((BN == 32 || BN == 64 || BN % 128 == 0) && BN % VEC == 0, "tiles");
static_assert(UNITS * 64 % SPLIT == 0, "parts");
static_assert(STAGES >= 3 && STEPS >= 3, "an image comes while another is multiplied");

/* A unit: where its image begins, and the first position under it. */
struct unit_at {
    i64 image;
    int y, x;
};

/* Byte of a chunk of 16 in memory that begins at a multiple of 1024. */
__device__ __forceinline__ unsigned place_of(int row, int chunk)
{
    return row * ROW_BYTES + ((chunk ^ (CK == 64 ? row & 7 : row >> 1 & 3)) << 4);
}

/* Begins the copies of one piece of CK channels of the images under all units. */
__device__ __forceinline__ void copy_piece(const dyno_gpu_conv &p, const unit_at *units, unsigned to,
                                           int channel, int piece)
{
    const T *x = (const T *)p.x;
#pragma unroll 4
    for (int u = 0; u < PIECE; u++) {
        const int i = (piece * PIECE + u) * THREADS + (int)threadIdx.x;
        if (i >= COPIES)
            break;
        const int position = i / CHUNKS, chunk = i % CHUNKS;
        const int unit = position / PIXELS, pixel = position % PIXELS;
        const int row = pixel / PITCH, column = pixel % PITCH;
        const unit_at at = units[unit];
        const int iy = at.y + row;
        const int ix = at.x + column % PATCH_W * SW + column / PATCH_W;
        const int c = channel + chunk * 8;
        const bool there =
            (unsigned)iy < (unsigned)p.h && (unsigned)ix < (unsigned)p.w && c < p.c;
        ptx_copy16(to + place_of(position, chunk),
                   x + (there ? at.image + ((i64)iy * p.w + ix) * p.x_ld + c : 0), there ? 16 : 0);
    }
}

/* Rows of CK elements from `at` on, groups of eight so many bytes apart. */
__device__ __forceinline__ unsigned long long matrix_at(unsigned at, int group_bytes)
{
    return (unsigned long long)(at >> 4 & 0x3fff) | 1ULL << 16 |
           (unsigned long long)(group_bytes >> 4) << 32 | (CK == 64 ? 1ULL : 2ULL) << 62;
}

/* Begins the products of one step; they run on. */
__device__ __forceinline__ void begin_step(float (&sum)[MI][BN / 8][4], unsigned patch, unsigned b,
                                           int step)
{
    const int r = TAPS_A_STEP == 1 ? step / KW : step, first = TAPS_A_STEP == 1 ? step % KW : 0;
    ptx_products_fence();
#pragma unroll
    for (int tap = 0; tap < TAPS_A_STEP; tap++) {
        const int s = first + tap;
        const int shift = r * PITCH + s % SW * PATCH_W + s / SW;
        const unsigned long long rows =
            matrix_at(patch + shift * ROW_BYTES, SH * PITCH * ROW_BYTES);
        const unsigned long long columns = matrix_at(b + tap * TAP_BYTES, 8 * ROW_BYTES);
#pragma unroll
        for (int k = 0; k < CK / 16; k++) {
#pragma unroll
            for (int i = 0; i < MI; i++) {
                const unsigned long long a = rows + i * (PATCH / 16) + 2 * k;
                if constexpr (BN == 32)
                    ptx_multiply_32<T>(sum[i], a, columns + 2 * k);
                else if constexpr (BN == 64)
                    ptx_multiply_64<T>(sum[i], a, columns + 2 * k);
                else
#pragma unroll
                    for (int n = 0; n < BN; n += 128)
                        ptx_multiply_128<T>(sum[i] + n / 8, a,
                                            columns + 2 * k + n * (ROW_BYTES / 16));
            }
        }
    }
    ptx_products_commit();
}

/* VEC outputs of one position on their way: bias, then what `add` has, then the tail.  The element
 * of y where they belong, or -1. */
template <typename ADD>
__device__ __forceinline__ i64 finish(const dyno_gpu_conv &p, float (&v)[VEC], int n, int oy, int ox,
                                      int column, ADD add)
{
    if (n >= p.batch || oy >= p.oh || ox >= p.ow || column >= p.m)
        return -1;
    const i64 pixel = ((i64)n * p.oh + oy) * p.ow + ox;
    const i64 to = pixel * p.y_ld + column;
    dyno_load<VEC>(v, (const float *)p.bias + column);
    add(v);
    dyno_finish(v, p, to, (int)pixel, column);
    return to;
}

#if SPLIT > 1
/* This block's part of the outputs, from the sums of all blocks of the cluster in their order. */
__device__ __forceinline__ void finish_part(const dyno_gpu_conv &p, unsigned sums, int part,
                                            int unit0, int across, int units_an_image, int n0)
{
    constexpr int GROUPS = BN / VEC;
    constexpr int COUNT = UNITS * 64 / SPLIT * GROUPS;
    for (int first = (int)threadIdx.x; first < COUNT; first += TOGETHER * THREADS) {
        float v[TOGETHER][VEC];
        i64 to[TOGETHER];
#pragma unroll
        for (int u = 0; u < TOGETHER; u++) {
            const int i = first + u * THREADS;
            const int row = part * (UNITS * 64 / SPLIT) + i / GROUPS, column = i % GROUPS * VEC;
            const int unit = unit0 + row / 64, n = unit / units_an_image;
            const int rest = unit - n * units_an_image;
            to[u] = -1;
            if (i >= COUNT)
                continue;
            to[u] = finish(p, v[u], n, rest / across * 8 + row % 64 / 8,
                           rest % across * 8 + row % 8, n0 + column, [&](float (&sum)[VEC]) {
#pragma unroll
                               for (int peer = 0; peer < SPLIT; peer++)
#pragma unroll
                                   for (int e = 0; e < VEC; e += 4) {
                                       float four[4];
                                       ptx_cluster_load4(
                                           four, ptx_cluster_at(
                                                     sums + 4u * (row * OUT_LD + column + e), peer));
#pragma unroll
                                       for (int k = 0; k < 4; k++)
                                           sum[e + k] += four[k];
                                   }
                           });
        }
        dyno_store_all((TO *)p.y, to, v);
    }
}
#else
/* 16 outputs of a warp, two rows of a unit, from their sums in its part of shared memory. */
__device__ __forceinline__ void finish_rows(const dyno_gpu_conv &p, const float *sums, int n, int oy0,
                                            int ox0, int n0)
{
    constexpr int GROUPS = BN / VEC;
    for (int first = (int)threadIdx.x & 31; first < 16 * GROUPS; first += TOGETHER * 32) {
        float v[TOGETHER][VEC];
        i64 to[TOGETHER];
#pragma unroll
        for (int u = 0; u < TOGETHER; u++) {
            const int i = first + u * 32;
            const int row = i / GROUPS, column = i % GROUPS * VEC;
            to[u] = -1;
            if (row < 16)
                to[u] = finish(p, v[u], n, oy0 + row / 8, ox0 + row % 8, n0 + column,
                               [&](float (&sum)[VEC]) {
                                   float own[VEC];
                                   dyno_load<VEC>(own, sums + row * OUT_LD + column);
#pragma unroll
                                   for (int e = 0; e < VEC; e++)
                                       sum[e] += own[e];
                               });
        }
        dyno_store_all((TO *)p.y, to, v);
    }
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
#if SPLIT > 1
    __cluster_dims__(1, 1, SPLIT)
#endif
        dyno_main(const __grid_constant__ dyno_gpu_conv p)
{
    extern __shared__ __align__(1024) unsigned char shared[];
    const int warp = (int)threadIdx.x >> 5, lane = (int)threadIdx.x & 31;
    const int across = (p.ow + 7) / 8, units_an_image = (p.oh + 7) / 8 * across;
    const int unit0 = (int)blockIdx.x * UNITS, n0 = (int)blockIdx.y * BN;
    const int all_slices = (p.c + CK - 1) / CK, part = SPLIT > 1 ? (int)blockIdx.z : 0;
    const int first_slice = all_slices * part / SPLIT;
    const int slices = all_slices * (part + 1) / SPLIT - first_slice, total = slices * STEPS;
    const unsigned ring = (unsigned)__cvta_generic_to_shared(shared);
    const unsigned patches = ring + STAGES * STEP_BYTES;
    unit_at *units = reinterpret_cast<unit_at *>(shared + STAGES * STEP_BYTES +
                                                 (all_slices > SPLIT ? 2 : 1) * IMAGES);
    if (threadIdx.x < UNITS) {
        const int unit = unit0 + (int)threadIdx.x, n = unit / units_an_image;
        const int rest = unit - n * units_an_image;
        units[threadIdx.x].image = (i64)n * p.h * p.w * p.x_ld;
        units[threadIdx.x].y = n < p.batch ? rest / across * 8 * SH - p.ph : -(1 << 29);
        units[threadIdx.x].x = rest % across * 8 * SW - p.pw;
    }
    const unsigned barriers = (unsigned)__cvta_generic_to_shared(units + UNITS);
    if (threadIdx.x == 0) {
#pragma unroll
        for (int i = 0; i < STAGES; i++)
            ptx_barrier_init(barriers + 8 * i, 1);
    }
    __syncthreads();

    const unsigned char *weights =
        (const unsigned char *)p.weights +
        ((i64)blockIdx.y * all_slices + first_slice) * (STEPS * STEP_BYTES);
    int copied = 0, into = 0;
    auto copy_weights = [&]() { /* by one thread */
        if (copied < total) {
            ptx_barrier_expect(barriers + 8 * into, STEP_BYTES);
            ptx_bulk_copy(ring + into * STEP_BYTES, weights + (i64)copied * STEP_BYTES, STEP_BYTES,
                          barriers + 8 * into);
        }
        copied++;
        into = into == STAGES - 1 ? 0 : into + 1;
    };
    if (threadIdx.x == 0) {
#pragma unroll
        for (int i = 0; i < STAGES - 2; i++)
            copy_weights();
    }
    for (int piece = 0; piece < PIECES; piece++)
        copy_piece(p, units, patches, first_slice * CK, piece);

    float sum[MI][BN / 8][4] = {};
    const unsigned own = patches + (threadIdx.x >> 7) * MI * PATCH;
    int stage = 0, parity = 0;
    for (int slice = 0; slice < slices; slice++) {
        ptx_copies_commit();
        ptx_copies_wait<0>();
        ptx_proxy_fence(); /* the tensor cores see this slice's image */
#pragma unroll 1
        for (int step = 0; step < STEPS; step++) {
            /* Everybody has waited for the products of the step before the last one: its weights,
             * and in the second step the other image, may go. */
            __syncthreads();
            if (threadIdx.x == 0)
                copy_weights();
            ptx_barrier_wait(barriers + 8 * stage, parity);
            begin_step(sum, own + (slice & 1) * IMAGES, ring + stage * STEP_BYTES, step);
            if (step >= 1 && step <= PIECES && slice + 1 < slices)
                copy_piece(p, units, patches + ((slice + 1) & 1) * IMAGES,
                           (first_slice + slice + 1) * CK, step - 1);
            ptx_products_wait<1>();
            stage = stage == STAGES - 1 ? 0 : stage + 1;
            parity ^= stage == 0;
        }
    }
    ptx_products_wait<0>();
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
        for (int j = 0; j < BN / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                ptx_settle(sum[i][j][e]); /* not read before the wait */
    __syncthreads(); /* everybody is done with weights and images */

#if SPLIT > 1
    float *sums = reinterpret_cast<float *>(shared);
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
        for (int j = 0; j < BN / 8; j++) {
            float *at = sums + ((warp / 4 * MI + i) * 64 + warp % 4 * 16 + lane / 4) * OUT_LD +
                        j * 8 + lane % 4 * 2;
            *reinterpret_cast<float2 *>(at) = make_float2(sum[i][j][0], sum[i][j][1]);
            *reinterpret_cast<float2 *>(at + 8 * OUT_LD) = make_float2(sum[i][j][2], sum[i][j][3]);
        }
    ptx_cluster_meet();
    finish_part(p, ring, part, unit0, across, units_an_image, n0);
    ptx_cluster_meet(); /* nobody leaves while others read his part */
#else
    float *sums = reinterpret_cast<float *>(shared) + warp * 16 * OUT_LD;
#pragma unroll
    for (int i = 0; i < MI; i++) {
        const int unit = unit0 + warp / 4 * MI + i, n = unit / units_an_image;
        const int rest = unit - n * units_an_image;
#pragma unroll
        for (int j = 0; j < BN / 8; j++) {
            float *at = sums + lane / 4 * OUT_LD + j * 8 + lane % 4 * 2;
            *reinterpret_cast<float2 *>(at) = make_float2(sum[i][j][0], sum[i][j][1]);
            *reinterpret_cast<float2 *>(at + 8 * OUT_LD) = make_float2(sum[i][j][2], sum[i][j][3]);
        }
        __syncwarp();
        finish_rows(p, sums, n, rest / across * 8 + warp % 4 * 2, rest % across * 8, n0);
        __syncwarp();
    }
#endif
}
