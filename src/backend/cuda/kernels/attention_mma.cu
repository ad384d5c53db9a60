/* attention_mma.cu - softmax(scale * q . k^T + mask) . v of one head for 64 queries a block, on
 * tensor cores; scores stay in registers (online softmax, as in FlashAttention: Dao et al., 2022).
 *
 * Choices: T (f16, bf16), TO, DIM V_DIM (of a head, multiples of 16 up to 128), MASK (0, 1),
 * TM (type of the mask).
 *
 * A warp owns 16 queries.  Rows in shared memory are padded by 16 bytes, so that ldmatrix meets no
 * bank conflicts.
 */
#define QUERIES 64
#define KEYS    64
#define THREADS 128
#define LD      (DIM + 8)
#define V_LD    (V_DIM + 8)

__device__ __forceinline__ void copy_rows(unsigned to, const T *from, int rows, int there, int ld,
                                          int dim, int to_ld)
{
    for (int i = threadIdx.x; i < rows * (dim / 8); i += THREADS) {
        const int row = i / (dim / 8), chunk = i % (dim / 8);
        const bool ok = row < there;
        ptx_copy16(to + 2 * (row * to_ld + chunk * 8), from + (ok ? (i64)row * ld + chunk * 8 : 0),
                   ok ? 16 : 0);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    dyno_main(const __grid_constant__ dyno_gpu_attention p)
{
    extern __shared__ __align__(128) unsigned char shared[];
    const float none = -__int_as_float(0x7f800000);
    const unsigned sq = (unsigned)__cvta_generic_to_shared(shared);
    const unsigned sk = sq + 2 * QUERIES * LD;
    const unsigned sv = sk + 2 * KEYS * LD;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int head = blockIdx.y, batch = blockIdx.z;
    const int q0 = blockIdx.x * QUERIES;
    const T *q = (const T *)p.q + ((i64)batch * p.tq + q0) * p.q_ld + p.q_offset + head * DIM;
    const T *k = (const T *)p.k + (i64)batch * p.tk * p.k_ld + p.k_offset + head * DIM;
    const T *v = (const T *)p.v + (i64)batch * p.tk * p.v_ld + p.v_offset + head * V_DIM;
    copy_rows(sq, q, QUERIES, p.tq - q0, p.q_ld, DIM, LD);

    float out[V_DIM / 8][4] = {};
    float most[2] = {none, none}, sum[2] = {0.0f, 0.0f};
    const int row0 = q0 + warp * 16 + lane / 4; /* and row0 + 8 */
    for (int k0 = 0; k0 < p.tk; k0 += KEYS) {
        __syncthreads(); /* the tile before is read */
        copy_rows(sk, k + (i64)k0 * p.k_ld, KEYS, p.tk - k0, p.k_ld, DIM, LD);
        ptx_copies_commit();
        copy_rows(sv, v + (i64)k0 * p.v_ld, KEYS, p.tk - k0, p.v_ld, V_DIM, V_LD);
        ptx_copies_commit();
        ptx_copies_wait<1>();
        __syncthreads();
        float s[KEYS / 8][4] = {};
#pragma unroll
        for (int d = 0; d < DIM; d += 16) {
            unsigned a[4];
            ptx_load_matrices(a, sq + 2 * ((warp * 16 + (lane & 15)) * LD + d + (lane >> 4) * 8));
#pragma unroll
            for (int j = 0; j < KEYS / 16; j++) {
                unsigned b[4];
                ptx_load_matrices(b, sk + 2 * ((j * 16 + (lane >> 4) * 8 + (lane & 7)) * LD + d +
                                               (lane >> 3 & 1) * 8));
                ptx_multiply<T>(s[2 * j], a, b[0], b[1]);
                ptx_multiply<T>(s[2 * j + 1], a, b[2], b[3]);
            }
        }
        float high[2] = {none, none};
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int key = k0 + j * 8 + lane % 4 * 2 + (e & 1);
                const int row = row0 + (e >> 1) * 8;
                float x = s[j][e] * p.scale;
#if MASK
                if (key < p.tk && row < p.tq)
                    x += dyno_to_f32(
                        ((const TM *)
                             p.mask)[(i64)batch * p.mask_strides[0] + head * p.mask_strides[1] +
                                     row * p.mask_strides[2] + key * p.mask_strides[3]]);
#endif
                x = key < p.tk ? x : none;
                s[j][e] = x;
                high[e >> 1] = fmaxf(high[e >> 1], x);
            }
#pragma unroll
        for (int h = 0; h < 2; h++) {
            high[h] = fmaxf(high[h], __shfl_xor_sync(0xffffffffu, high[h], 1));
            high[h] = fmaxf(high[h], __shfl_xor_sync(0xffffffffu, high[h], 2));
            const float now = fmaxf(most[h], high[h]);
            const float base = now == none ? 0.0f : now; /* nothing but -inf so far */
            const float factor = __expf(most[h] - base);
            most[h] = now;
            sum[h] *= factor;
#pragma unroll
            for (int j = 0; j < V_DIM / 8; j++) {
                out[j][2 * h] *= factor;
                out[j][2 * h + 1] *= factor;
            }
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
                for (int e = 2 * h; e < 2 * h + 2; e++) {
                    s[j][e] = __expf(s[j][e] - base);
                    sum[h] += s[j][e];
                }
        }
        ptx_copies_wait<0>();
        __syncthreads();
#pragma unroll
        for (int j = 0; j < KEYS / 16; j++) {
            const unsigned a[4] = {ptx_pack<T>(s[2 * j][0], s[2 * j][1]),
                                   ptx_pack<T>(s[2 * j][2], s[2 * j][3]),
                                   ptx_pack<T>(s[2 * j + 1][0], s[2 * j + 1][1]),
                                   ptx_pack<T>(s[2 * j + 1][2], s[2 * j + 1][3])};
#pragma unroll
            for (int d = 0; d < V_DIM; d += 16) {
                unsigned b[4];
                ptx_load_turned(b, sv + 2 * ((j * 16 + (lane & 15)) * V_LD + d + (lane >> 4) * 8));
                ptx_multiply<T>(out[d / 8], a, b[0], b[1]);
                ptx_multiply<T>(out[d / 8 + 1], a, b[2], b[3]);
            }
        }
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        sum[h] += __shfl_xor_sync(0xffffffffu, sum[h], 1);
        sum[h] += __shfl_xor_sync(0xffffffffu, sum[h], 2);
        const int row = row0 + h * 8;
        if (row >= p.tq)
            continue;
        const float factor = 1.0f / sum[h];
        const float whole =
            sum[h] == 0.0f ? __int_as_float(0x7fffffff) : factor; /* -inf throughout */
        TO *to = (TO *)p.out + ((i64)batch * p.tq + row) * p.out_ld + head * V_DIM + lane % 4 * 2;
#pragma unroll
        for (int j = 0; j < V_DIM / 8; j++) {
            const float two[2] = {out[j][2 * h] * whole, out[j][2 * h + 1] * whole};
            dyno_store<2>(to + j * 8, two);
        }
    }
}
