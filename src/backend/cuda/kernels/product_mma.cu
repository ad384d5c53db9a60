/* product_mma.cu - matrix product on tensor cores (mma.sync or wgmma, f32 sums), rows of A from
 * memory or from windows of an image, channels last (implicit GEMM).
 *
 * Choices: T (f16, bf16; float: multiplied as TF32), TO (type of out), BM BN BK (tile of a block; rows
 * of BK elements are 64 or 128 bytes), WM WN
 * (tile of a warp), STAGES (tiles in flight), SPLIT (blocks of a cluster that share the sum over k;
 * their parts meet in shared memory), WINDOWS (0, 1), VEC (elements a store), WGMMA (1: groups
 * of four warps multiply straight from shared memory, BK 64, WM 16, WN BN; compute capability 9.0).
 *
 * Tiles come by cp.async into shared memory whose 16-byte chunks are permuted, so that neither the
 * copies nor ldmatrix meet bank conflicts.
 */
#define WARPS_M    (BM / WM)
#define WARPS_N    (BN / WN)
#define THREADS    (32 * WARPS_M * WARPS_N)
#define CHUNK      (16 / (int)sizeof(T)) /* elements that are copied at once */
#define CHUNKS     (BK / CHUNK)
#define ROWS       (THREADS / CHUNKS) /* rows that the block copies at once */
#define A_COPIES   (BM / ROWS)
#define B_COPIES   (BN / ROWS)
#define ROW_BYTES  (BK * (int)sizeof(T))
#define TILE_BYTES ((BM + BN) * ROW_BYTES)
#define OUT_LD     (BN + 8) /* eight rows of pairs in different banks */
#define TOGETHER   4 /* stores whose operands are loaded at once: no load passes a store */

static_assert(BM % ROWS == 0 && BN % ROWS == 0, "a thread copies whole rows");
static_assert(ROW_BYTES == 64 || ROW_BYTES == 128, "rows of a tile");
static_assert(!WGMMA || (BK == 64 && sizeof(T) == 2 && WM == 16 && WN == BN && BM % 64 == 0 && BN % 64 == 0),
              "wgmma");
static_assert(WM % 16 == 0 && WN % 16 == 0 && BM % SPLIT == 0, "tiles");

/* In bytes. */
__device__ __forceinline__ int tile_at(int row, int chunk)
{
    return ROW_BYTES == 128 ? row * 128 + ((chunk ^ (row & 7)) << 4)
                            : row * 64 + ((chunk ^ (row >> 1 & 3)) << 4);
}

typedef dyno_factor_rows<T, A_COPIES, WINDOWS> factor_rows;

__device__ __forceinline__ void copy_a(const factor_rows &rows, const dyno_gpu_product &p,
                                       unsigned to, int k)
{
    const int row0 = (int)threadIdx.x / CHUNKS;
    const int chunk = (int)threadIdx.x % CHUNKS;
#pragma unroll
    for (int i = 0; i < A_COPIES; i++) {
#if WINDOWS
        const int y = rows.y[i] + rows.r * p.dh;
        const int x = rows.x[i] + rows.s * p.dw;
        const bool there =
            (unsigned)y < (unsigned)p.h && (unsigned)x < (unsigned)p.w && rows.r < p.kh;
        const T *from = rows.base[i] + (there ? ((i64)y * p.w + x) * p.lda + rows.channel : 0);
#else
        const bool there = rows.there[i] && k < p.a_columns;
        const T *from = rows.base[i] + (there ? k : 0);
#endif
        ptx_copy16(to + tile_at(row0 + i * ROWS, chunk), from, there ? 16 : 0);
    }
}

__device__ __forceinline__ void copy_b(const T *b, const dyno_gpu_product &p, unsigned to, int n0,
                                       int k)
{
    const int row0 = (int)threadIdx.x / CHUNKS;
    const int chunk = (int)threadIdx.x % CHUNKS;
#pragma unroll
    for (int i = 0; i < B_COPIES; i++) {
        const int n = n0 + row0 + i * ROWS;
        const bool there = n < p.columns;
        ptx_copy16(to + tile_at(row0 + i * ROWS, chunk), b + (there ? (i64)n * p.ldb + k : 0),
                   there ? 16 : 0);
    }
}

#if WGMMA
/* 128-byte rows, their 16-byte chunks permuted in groups of eight rows: as tile_at lays them. */
__device__ __forceinline__ unsigned long long matrix_at(unsigned at)
{
    return (unsigned long long)(at >> 4 & 0x3fff) | 1ULL << 16 | 64ULL << 32 | 1ULL << 62;
}

/* Begins the products of a tile; they run on while copies are issued. */
__device__ __forceinline__ void begin_tile(float (&sum)[BN / 8][4], unsigned a, unsigned b)
{
    const unsigned long long rows = matrix_at(a + (threadIdx.x >> 7) * 64 * 128);
    const unsigned long long columns = matrix_at(b);
    ptx_products_fence();
#pragma unroll
    for (int k = 0; k < BK / 16; k++) {
        if constexpr (BN % 128 == 0) {
#pragma unroll
            for (int n = 0; n < BN; n += 128)
                ptx_multiply_128<T>(sum + n / 8, rows + 2 * k, columns + 2 * k + n * 128 / 16);
        } else {
#pragma unroll
            for (int n = 0; n < BN; n += 64)
                ptx_multiply_64<T>(sum + n / 8, rows + 2 * k, columns + 2 * k + n * 128 / 16);
        }
    }
    ptx_products_commit();
}
#endif

__device__ __forceinline__ void multiply_tile(float (&sum)[WM / 16][WN / 8][4], unsigned a,
                                              unsigned b, int wm, int wn)
{
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int k = 0; k < CHUNKS; k += 2) { /* 32 bytes of k */
        unsigned fa[WM / 16][4], fb[WN / 16][4];
#pragma unroll
        for (int i = 0; i < WM / 16; i++)
            ptx_load_matrices(fa[i], a + tile_at(wm + i * 16 + (lane & 15), k + (lane >> 4)));
#pragma unroll
        for (int i = 0; sizeof(T) == 4 && i < WM / 16; i++) /* B was rounded when it was packed */
#pragma unroll
            for (int e = 0; e < 4; e++)
                fa[i][e] = ptx_to_tf32(fa[i][e]);
#pragma unroll
        for (int j = 0; j < WN / 16; j++)
            ptx_load_matrices(fb[j], b + tile_at(wn + j * 16 + (lane >> 4) * 8 + (lane & 7),
                                                     k + (lane >> 3 & 1)));
#pragma unroll
        for (int i = 0; i < WM / 16; i++)
#pragma unroll
            for (int j = 0; j < WN / 8; j++)
                ptx_multiply<T>(sum[i][j], fa[i], fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1]);
    }
}

/* v += the sums at element `at` of the tile, of all blocks of the cluster in their order. */
__device__ __forceinline__ void add_sums(float (&v)[VEC], const float *out, unsigned shared, int at)
{
#if SPLIT > 1
    (void)out;
#pragma unroll
    for (int peer = 0; peer < SPLIT; peer++) {
        const unsigned from = ptx_cluster_at(shared + 4u * at, peer);
        float part[VEC];
        if constexpr (VEC % 4 == 0) {
#pragma unroll
            for (int e = 0; e < VEC; e += 4)
                ptx_cluster_load4(part + e, from + 4 * e);
        } else {
#pragma unroll
            for (int e = 0; e < VEC; e++)
                part[e] = ptx_cluster_load(from + 4 * e);
        }
#pragma unroll
        for (int e = 0; e < VEC; e++)
            v[e] += part[e];
    }
#else
    (void)shared;
    float sum[VEC];
    dyno_load<VEC>(sum, out + at);
#pragma unroll
    for (int e = 0; e < VEC; e++)
        v[e] += sum[e];
#endif
}

extern "C" __global__ void __launch_bounds__(THREADS)
#if SPLIT > 1
    __cluster_dims__(1, 1, SPLIT)
#endif
        dyno_main(const __grid_constant__ dyno_gpu_product p)
{
    extern __shared__ __align__(1024) unsigned char shared[];
    const unsigned tiles = (unsigned)__cvta_generic_to_shared(shared);
    const int warp = (int)threadIdx.x >> 5, lane = (int)threadIdx.x & 31;
    const int m0 = (int)blockIdx.x * BM, n0 = (int)blockIdx.y * BN;
    const int wm = warp % WARPS_M * WM, wn = warp / WARPS_M * WN;
    const int part = SPLIT > 1 ? (int)blockIdx.z % SPLIT : 0;
    const i64 batch = (int)blockIdx.z / SPLIT;
    const int k_tiles = p.k / BK;
    const int first = k_tiles * part / SPLIT, last = k_tiles * (part + 1) / SPLIT;
    const T *a = (const T *)p.a + batch * p.a_batch;
    const T *b = (const T *)p.b + batch * p.b_batch;

    int k = first * BK + (int)threadIdx.x % CHUNKS * CHUNK;
    factor_rows rows;
    dyno_find_rows(rows, p, a, m0 + (int)threadIdx.x / CHUNKS, ROWS, k);
    float sum[WM / 16][WN / 8][4] = {};
    int copied = first;
    auto copy_tile = [&](int stage) {
        if (copied < last) {
            const unsigned at = tiles + (unsigned)TILE_BYTES * stage;
            copy_a(rows, p, at, k);
            copy_b(b, p, at + BM * ROW_BYTES, n0, k);
            copied++;
            k += BK;
            dyno_step_rows(rows, p, BK);
        }
        ptx_copies_commit();
    };
#pragma unroll
    for (int stage = 0; stage < STAGES - 1; stage++)
        copy_tile(stage);
    int stage = 0;
    for (int tile = first; tile < last; tile++) {
        ptx_copies_wait<STAGES - 2>();
        const unsigned at = tiles + (unsigned)TILE_BYTES * stage;
#if WGMMA
        /* What was copied is seen by the tensor cores, which are done with the tile before. */
        ptx_proxy_fence();
        ptx_products_wait<0>();
        __syncthreads();
        begin_tile(sum[0], at, at + BM * ROW_BYTES);
        copy_tile(stage == 0 ? STAGES - 1 : stage - 1);
#else
        __syncthreads(); /* this tile is here, and everybody is done with the one before */
        copy_tile(stage == 0 ? STAGES - 1 : stage - 1);
        multiply_tile(sum, at, at + BM * ROW_BYTES, wm, wn);
#endif
        stage = stage == STAGES - 1 ? 0 : stage + 1;
    }
#if WGMMA
    ptx_products_wait<0>();
#pragma unroll
    for (int j = 0; j < WN / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            ptx_settle(sum[0][j][e]); /* not read before the wait */
#endif
    ptx_copies_wait<0>();
    __syncthreads();

    float *out = reinterpret_cast<float *>(shared);
#pragma unroll
    for (int i = 0; i < WM / 16; i++)
#pragma unroll
        for (int j = 0; j < WN / 8; j++) {
            float *at = out + (wm + i * 16 + lane / 4) * OUT_LD + wn + j * 8 + lane % 4 * 2;
            *reinterpret_cast<float2 *>(at) = make_float2(sum[i][j][0], sum[i][j][1]);
            *reinterpret_cast<float2 *>(at + 8 * OUT_LD) = make_float2(sum[i][j][2], sum[i][j][3]);
        }
#if SPLIT > 1
    ptx_cluster_meet();
#else
    __syncthreads();
#endif
    constexpr int GROUPS = BN / VEC;
    constexpr int COUNT = BM / SPLIT * GROUPS;
    for (int first_i = (int)threadIdx.x; first_i < COUNT; first_i += TOGETHER * THREADS) {
        float v[TOGETHER][VEC];
        i64 to[TOGETHER];
#pragma unroll
        for (int u = 0; u < TOGETHER; u++) {
            const int i = first_i + u * THREADS;
            const int row = part * (BM / SPLIT) + i / GROUPS;
            const int column = i % GROUPS * VEC;
            const int m = m0 + row, n = n0 + column;
            to[u] = i < COUNT && m < p.m && n < p.out_columns
                        ? batch * p.out_batch + (i64)m * p.ldo + n
                        : -1;
            if (to[u] < 0)
                continue;
            dyno_load<VEC>(v[u], (const float *)p.bias + batch * p.bias_batch + n);
            add_sums(v[u], out, tiles, row * OUT_LD + column);
            dyno_tail<VEC>(v[u], p.tail, to[u], m, (int)batch * p.column_batch + n);
#pragma unroll
            for (int e = 0; e < VEC; e++)
                v[u][e] = n + e < p.n ? v[u][e] : 0.0f;
        }
        dyno_store_all((TO *)p.out, to, v);
    }
#if SPLIT > 1
    ptx_cluster_meet(); /* nobody leaves while others read his part */
#endif
}
