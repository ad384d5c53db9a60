/* attention_mma.cu - softmax(scale * q . k^T + mask) . v of one head for QUERIES queries a block, on
 * tensor cores; scores stay in registers (online softmax, as in FlashAttention: Dao et al., 2022).
 *
 * Choices: T (f16, bf16), TO, DIM V_DIM (of a head, multiples of 16 up to 128), MASK (0, 1),
 * TM (type of the mask), MASK_ROWS (it differs from query to query), WARPS (that share the queries), MI (times 16 queries of a warp), SPLIT
 * (warps that share the keys of the same queries; their parts meet at the end), KEYS (of a warp's
 * part of a tile), AT_ONCE (of them in registers), STAGES (tiles in shared memory, at least 2),
 * RESIDENT (blocks that a multiprocessor should hold).
 *
 * A tile has KEYS keys for each of SPLIT warps.  While one is used, the next come.  Rows in shared
 * memory are padded by 16 bytes, so that ldmatrix meets no bank conflicts.
 */
#define QUERIES (WARPS * MI * 16)
#define THREADS (WARPS * SPLIT * 32)
#define TILE    (SPLIT * KEYS)
#define LD      (DIM + 8)
#define V_LD    (V_DIM + 8)
#define STAGE   (2 * TILE * (LD + V_LD)) /* bytes: keys, then values */
#define LOG2_E  1.44269504f
#define OUT     (MI * V_DIM / 2) /* floats of a thread: outputs, ... */
#define PART    (OUT + 4 * MI)   /* ... maxima and sums with them */
#define ACROSS  (WARPS * 32)     /* threads of a part */

static_assert(KEYS % AT_ONCE == 0 && AT_ONCE % 16 == 0 && STAGES >= 2, "parts of a tile");

/* What a thread has of the rows lane / 4 and lane / 4 + 8 of each 16 queries. */
struct rows {
    float out[MI][V_DIM / 8][4];
    float most[MI][2], sum[MI][2]; /* sum: of this lane's keys */
};

/* Rows of a tile from `from` on, `there` of them; the others are zeros. */
template <int D>
__device__ __forceinline__ void copy_rows(unsigned to, const T *from, int there, int ld)
{
    constexpr int COPIES = TILE * (D / 8);
#pragma unroll
    for (int first = 0; first < COPIES; first += THREADS) {
        const int i = first + (int)threadIdx.x;
        if (COPIES % THREADS != 0 && i >= COPIES)
            break;
        const int row = i / (D / 8), chunk = i % (D / 8);
        const bool ok = row < there;
        ptx_copy16(to + 2 * (row * (D + 8) + chunk * 8), from + (ok ? (i64)row * ld + chunk * 8 : 0),
                   ok ? 16 : 0);
    }
}

/* e to the x; without a mask scores are in units of log 2 already. */
__device__ __forceinline__ float power(float x)
{
    return ptx_exp2(MASK ? x * LOG2_E : x);
}

/* What to hold scores against: -inf is no number to subtract. */
__device__ __forceinline__ float base_of(float most)
{
    return most == -__int_as_float(0x7f800000) ? 0.0f : most;
}

__device__ __forceinline__ int lesser(int a, int b)
{
    return a < b ? a : b;
}

/* The 16 queries from `row` on as operands; a negative scale is the queries' sign. */
__device__ __forceinline__ void load_queries(unsigned (&a)[DIM / 16][4], const dyno_gpu_attention &p,
                                             const T *q, int row, int lane)
{
    const unsigned sign = p.scale < 0.0f ? 0x80008000u : 0u;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int at = lesser(row + lane / 4 + h * 8, p.tq - 1); /* past the end: not stored */
        const unsigned *from = (const unsigned *)(q + (i64)at * p.q_ld + lane % 4 * 2);
#pragma unroll
        for (int d = 0; d < DIM / 16; d++) {
            a[d][h] = from[d * 8] ^ sign;
            a[d][2 + h] = from[d * 8 + 4] ^ sign;
        }
    }
}

/* s, products of queries from `row` on and keys from `key` on, as what softmax is of; `left` keys
 * are there. */
__device__ __forceinline__ void finish_scores(float (&s)[AT_ONCE / 8][4],
                                              const dyno_gpu_attention &p, int batch, int head,
                                              int row, int key, int left, int lane)
{
#if MASK
    const float scale = fabsf(p.scale);
    const TM *mask =
        (const TM *)p.mask + (i64)batch * p.mask_strides[0] + (i64)head * p.mask_strides[1];
#pragma unroll
    for (int j = 0; j < AT_ONCE / 8; j++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const int at = lesser(key + j * 8 + lane % 4 * 2 + e, p.tk - 1);
            const TM *from = mask + (i64)at * p.mask_strides[3];
            float added = MASK_ROWS ? 0.0f : dyno_to_f32(*from);
#pragma unroll
            for (int h = 0; h < 2; h++) {
                if (MASK_ROWS)
                    added = dyno_to_f32(from[(i64)lesser(row + lane / 4 + h * 8, p.tq - 1) *
                                             p.mask_strides[2]]);
                s[j][2 * h + e] = fmaf(s[j][2 * h + e], scale, added);
            }
        }
#endif
    if (left >= AT_ONCE)
        return;
#pragma unroll
    for (int j = 0; j < AT_ONCE / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            s[j][e] = j * 8 + lane % 4 * 2 + (e & 1) < left ? s[j][e]
                                                            : -__int_as_float(0x7f800000);
}

/* Scores become their share of e^(score - most); what was summed before is scaled to match.
 * `factor`: of the scores, without a mask. */
__device__ __forceinline__ void fold(float (&s)[AT_ONCE / 8][4], float (&out)[V_DIM / 8][4],
                                     float (&most)[2], float (&sum)[2], float factor)
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float high = fmaxf(s[0][2 * h], s[0][2 * h + 1]);
#pragma unroll
        for (int j = 1; j < AT_ONCE / 8; j++)
            high = fmaxf(high, fmaxf(s[j][2 * h], s[j][2 * h + 1]));
        high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 1));
        high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 2));
        const float now = fmaxf(most[h], MASK ? high : high * factor);
        const float base = base_of(now);
        const float change = power(most[h] - base);
        most[h] = now;
        if (change != 1.0f) {
            sum[h] *= change;
#pragma unroll
            for (int j = 0; j < V_DIM / 8; j++) {
                out[j][2 * h] *= change;
                out[j][2 * h + 1] *= change;
            }
        }
#pragma unroll
        for (int j = 0; j < AT_ONCE / 8; j++)
#pragma unroll
            for (int e = 2 * h; e < 2 * h + 2; e++) {
                s[j][e] = MASK ? power(s[j][e] - base) : ptx_exp2(fmaf(s[j][e], factor, -base));
                sum[h] += s[j][e];
            }
    }
}

#if SPLIT > 1
/* These rows go to `at`, where every float of a thread has a row of its own. */
__device__ __forceinline__ void put_rows(const rows &own, float *at)
{
#pragma unroll
    for (int i = 0; i < MI; i++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            at[(OUT + i * 4 + h) * ACROSS] = own.most[i][h];
            at[(OUT + i * 4 + 2 + h) * ACROSS] = own.sum[i][h];
        }
#pragma unroll
        for (int j = 0; j < V_DIM / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                at[((i * (V_DIM / 8) + j) * 4 + e) * ACROSS] = own.out[i][j][e];
    }
}

#endif

/* What the outputs of a row are multiplied with: `sum` is of this lane's keys. */
__device__ __forceinline__ float whole_of(float sum)
{
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    return sum == 0.0f ? __int_as_float(0x7fffffff) : 1.0f / sum; /* -inf throughout */
}

/* Where the outputs of row lane / 4 of those from `row` on begin, of this lane; NULL: past the end. */
__device__ __forceinline__ TO *place_of(const dyno_gpu_attention &p, int batch, int head, int row,
                                        int lane)
{
    row += lane / 4;
    return row < p.tq ? (TO *)p.out + ((i64)batch * p.tq + row) * p.out_ld + head * V_DIM +
                            lane % 4 * 2
                      : nullptr;
}

#if SPLIT > 1
/* The 16 queries from `row` on, put together out of all parts in their order, columns in turn: those
 * of `part` here. */
__device__ __forceinline__ void gather_queries(const dyno_gpu_attention &p, const float *parts, int i,
                                               int part, int batch, int head, int row, int lane)
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float most = parts[(OUT + i * 4 + h) * ACROSS], sum = 0.0f, shares[SPLIT];
#pragma unroll
        for (int n = 1; n < SPLIT; n++)
            most = fmaxf(most, parts[(n * PART + OUT + i * 4 + h) * ACROSS]);
        const float base = base_of(most);
#pragma unroll
        for (int n = 0; n < SPLIT; n++) {
            shares[n] = power(parts[(n * PART + OUT + i * 4 + h) * ACROSS] - base);
            sum += parts[(n * PART + OUT + i * 4 + 2 + h) * ACROSS] * shares[n];
        }
        const float whole = whole_of(sum);
        TO *to = place_of(p, batch, head, row + h * 8, lane);
        for (int j = part; j < V_DIM / 8; j += SPLIT) {
            float two[2] = {0.0f, 0.0f};
#pragma unroll
            for (int n = 0; n < SPLIT; n++)
#pragma unroll
                for (int e = 0; e < 2; e++)
                    two[e] += parts[(n * PART + (i * (V_DIM / 8) + j) * 4 + 2 * h + e) * ACROSS] *
                              shares[n];
            two[0] *= whole;
            two[1] *= whole;
            if (to != nullptr)
                dyno_store<2>(to + j * 8, two);
        }
    }
}
#else
/* The 16 queries from `row` on. */
__device__ __forceinline__ void store_queries(const dyno_gpu_attention &p,
                                              const float (&out)[V_DIM / 8][4],
                                              const float (&sum)[2], int batch, int head, int row,
                                              int lane)
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float whole = whole_of(sum[h]);
        TO *to = place_of(p, batch, head, row + h * 8, lane);
        if (to == nullptr)
            continue;
#pragma unroll
        for (int j = 0; j < V_DIM / 8; j++) {
            const float two[2] = {out[j][2 * h] * whole, out[j][2 * h + 1] * whole};
            dyno_store<2>(to + j * 8, two);
        }
    }
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
    dyno_main(const __grid_constant__ dyno_gpu_attention p)
{
    extern __shared__ __align__(128) unsigned char shared[];
    const float none = -__int_as_float(0x7f800000);
    const unsigned ring = (unsigned)__cvta_generic_to_shared(shared);
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int part = SPLIT > 1 ? warp / WARPS : 0;
    const int head = blockIdx.y, batch = blockIdx.z;
    const int row0 = blockIdx.x * QUERIES + warp % WARPS * (MI * 16);
    const T *q = (const T *)p.q + (i64)batch * p.tq * p.q_ld + p.q_offset + head * DIM;
    const T *k = (const T *)p.k + (i64)batch * p.tk * p.k_ld + p.k_offset + head * DIM;
    const T *v = (const T *)p.v + (i64)batch * p.tk * p.v_ld + p.v_offset + head * V_DIM;
    const int tiles = (p.tk + TILE - 1) / TILE;
    const float factor = fabsf(p.scale) * LOG2_E;
    auto copy_tile = [&](int tile, int stage) {
        if (tile < tiles) {
            const unsigned to = ring + stage * STAGE;
            const int first = tile * TILE;
            copy_rows<DIM>(to, k + (i64)first * p.k_ld, p.tk - first, p.k_ld);
            copy_rows<V_DIM>(to + 2 * TILE * LD, v + (i64)first * p.v_ld, p.tk - first, p.v_ld);
        }
        ptx_copies_commit();
    };
#pragma unroll
    for (int i = 0; i < STAGES - 1; i++)
        copy_tile(i, i);
    unsigned a[MI][DIM / 16][4];
    rows own = {};
#pragma unroll
    for (int i = 0; i < MI; i++) {
        load_queries(a[i], p, q, row0 + i * 16, lane);
        own.most[i][0] = own.most[i][1] = none;
    }

    int stage = 0;
#pragma unroll 1
    for (int tile = 0; tile < tiles; tile++) {
        ptx_copies_wait<STAGES - 2>();
        __syncthreads(); /* this tile is there, the one before is read */
        copy_tile(tile + STAGES - 1, stage == 0 ? STAGES - 1 : stage - 1);
        const int key0 = tile * TILE + part * KEYS;
        const unsigned sk = ring + stage * STAGE + 2 * part * KEYS * LD;
        const unsigned sv = ring + stage * STAGE + 2 * (TILE * LD + part * KEYS * V_LD);
        stage = stage == STAGES - 1 ? 0 : stage + 1;
#pragma unroll 1
        for (int at = 0; at < KEYS && key0 + at < p.tk; at += AT_ONCE) {
            float s[MI][AT_ONCE / 8][4] = {};
#pragma unroll
            for (int d = 0; d < DIM; d += 16)
#pragma unroll
                for (int j = 0; j < AT_ONCE / 16; j++) {
                    unsigned b[4];
                    ptx_load_matrices(b, sk + 2 * ((at + j * 16 + (lane >> 4) * 8 + (lane & 7)) * LD +
                                                   d + (lane >> 3 & 1) * 8));
#pragma unroll
                    for (int i = 0; i < MI; i++) {
                        ptx_multiply<T>(s[i][2 * j], a[i][d / 16], b[0], b[1]);
                        ptx_multiply<T>(s[i][2 * j + 1], a[i][d / 16], b[2], b[3]);
                    }
                }
#pragma unroll
            for (int i = 0; i < MI; i++) {
                finish_scores(s[i], p, batch, head, row0 + i * 16, key0 + at, p.tk - key0 - at,
                              lane);
                fold(s[i], own.out[i], own.most[i], own.sum[i], factor);
            }
#pragma unroll
            for (int j = 0; j < AT_ONCE / 16; j++) {
                unsigned c[MI][4];
#pragma unroll
                for (int i = 0; i < MI; i++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        c[i][e] = ptx_pack<T>(s[i][2 * j + e / 2][e % 2 * 2],
                                              s[i][2 * j + e / 2][e % 2 * 2 + 1]);
#pragma unroll
                for (int d = 0; d < V_DIM; d += 16) {
                    unsigned b[4];
                    ptx_load_turned(
                        b, sv + 2 * ((at + j * 16 + (lane & 15)) * V_LD + d + (lane >> 4) * 8));
#pragma unroll
                    for (int i = 0; i < MI; i++) {
                        ptx_multiply<T>(own.out[i][d / 8], c[i], b[0], b[1]);
                        ptx_multiply<T>(own.out[i][d / 8 + 1], c[i], b[2], b[3]);
                    }
                }
            }
        }
    }

#if SPLIT > 1
    float *parts = reinterpret_cast<float *>(shared) + warp % WARPS * 32 + lane;
    __syncthreads(); /* all tiles are read */
    put_rows(own, parts + part * PART * ACROSS);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < MI; i++)
        gather_queries(p, parts, i, part, batch, head, row0 + i * 16, lane);
#else
#pragma unroll
    for (int i = 0; i < MI; i++)
        store_queries(p, own.out[i], own.sum[i], batch, head, row0 + i * 16, lane);
#endif
}
