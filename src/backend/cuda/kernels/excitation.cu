/* excitation.cu - means of a map, channels last, through two products with an activation between
 * them: a cluster an item, whose blocks share positions, then rows of the products.
 *
 * Sums of stretches may come from a launch before (phase 0: a block a stretch; p.chunks of them).
 * The order of every sum follows from the shape and the cut.
 *
 * Choices: T (of x and the weights), TO (of y), VEC, CLUSTER (blocks of one; 1: none), SILU (0:
 * Relu).
 */
#define WARPS 8

__device__ __forceinline__ void meet()
{
#if CLUSTER > 1
    ptx_cluster_meet();
#else
    __syncthreads();
#endif
}

/* What lies at `mine` in block `rank` of the cluster. */
__device__ __forceinline__ float there(const float *mine, int rank)
{
#if CLUSTER > 1
    return ptx_cluster_load(ptx_cluster_at((unsigned)__cvta_generic_to_shared(mine), rank));
#else
    return *mine;
#endif
}

/* sums[c] over positions first to last - 1 of x, which lie ld apart. */
template <typename X>
__device__ __forceinline__ void sum_stretch(float *sums, const X *x, i64 ld, int c, int first,
                                            int last, float *parts)
{
    const int vectors = c / VEC;
    const int lanes = vectors < 256 ? vectors : 256;
    const int lane = (int)threadIdx.x % lanes;
    for (int base = 0; base < vectors; base += lanes) {
        const bool is_mine = base + lane < vectors;
        float v[VEC] = {};
        dyno_sum_positions(v, x + (is_mine ? base + lane : 0) * VEC, ld, first, last, lanes,
                           is_mine, parts);
        if ((int)threadIdx.x < lanes && is_mine) {
#pragma unroll
            for (int e = 0; e < VEC; e++)
                sums[(base + lane) * VEC + e] = v[e];
        }
        __syncthreads();
    }
}

/* For all lanes: row[count] . v[count]; count is a multiple of VEC. */
__device__ __forceinline__ float dot(const T *row, const float *v, int count)
{
    float sum = 0.0f;
    for (int k = ((int)threadIdx.x & 31) * VEC; k < count; k += 32 * VEC) {
        float w[VEC];
        dyno_load<VEC>(w, row + k);
#pragma unroll
        for (int e = 0; e < VEC; e++)
            sum = fmaf(w[e], v[k + e], sum);
    }
    return dyno_warp_sum(sum);
}

extern "C" __global__ void __launch_bounds__(256)
#if CLUSTER > 1
    __cluster_dims__(CLUSTER, 1, 1)
#endif
        dyno_main(const __grid_constant__ dyno_gpu_excitation p)
{
    extern __shared__ __align__(16) float shared[];
    float *parts = shared, *sums = parts + 256 * (VEC + 1), *means = sums + p.c;
    float *own = means + p.c, *hidden = own + p.r;
    const i64 n = blockIdx.z;
    const int rank = (int)blockIdx.x, warp = (int)threadIdx.x >> 5;
    const T *x = (const T *)p.x + n * p.positions * p.x_ld;
    float *stretches = (float *)p.parts + n * (p.phase == 0 ? (int)gridDim.x : p.chunks) * p.c;
    const int first = rank * p.chunk;
    const int last = p.positions - first > p.chunk ? first + p.chunk : p.positions;
    if (p.phase == 0) {
        sum_stretch(sums, x, p.x_ld, p.c, first, last, parts);
        for (int i = threadIdx.x; i < p.c; i += 256)
            stretches[(i64)rank * p.c + i] = sums[i];
        return;
    }
    if (p.chunks > 0)
        sum_stretch(sums, stretches, p.c, p.c, p.chunks * rank / CLUSTER,
                    p.chunks * (rank + 1) / CLUSTER, parts);
    else
        sum_stretch(sums, x, p.x_ld, p.c, first, last, parts);
    meet();
    for (int i = threadIdx.x; i < p.c; i += 256) {
        float sum = 0.0f;
        for (int peer = 0; peer < CLUSTER; peer++)
            sum += there(sums + i, peer);
        means[i] = sum / (float)p.positions;
    }
    __syncthreads();
    for (int i = rank * WARPS + warp; i < p.r; i += CLUSTER * WARPS) {
        const float a = dot((const T *)p.w1 + (i64)i * p.c, means, p.c) + ((const float *)p.b1)[i];
        if ((threadIdx.x & 31) == 0)
            own[i] = SILU ? dyno_quick_silu(a, 0.0f, 0.0f, 1.0f, 0.0f) : fmaxf(a, 0.0f);
    }
    meet();
    for (int i = threadIdx.x; i < p.r; i += 256)
        hidden[i] = there(own + i, i / WARPS % CLUSTER);
    __syncthreads();
    for (int i = rank * WARPS + warp; i < p.m; i += CLUSTER * WARPS) {
        const float a = dot((const T *)p.w2 + (i64)i * p.r, hidden, p.r) + ((const float *)p.b2)[i];
        if ((threadIdx.x & 31) == 0) {
            float v[1] = {a};
            if (i < p.channels)
                dyno_tail<1>(v, p.tail, n * p.y_ld + i, (int)n, i);
            else
                v[0] = 0.0f;
            dyno_store<1>((TO *)p.y + n * p.y_ld + i, v);
        }
    }
    meet(); /* nobody leaves while others read what is his */
}
