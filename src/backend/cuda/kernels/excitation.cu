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
#define STEP  (CLUSTER * WARPS) /* between two rows of a warp */
#define ROWS  4                 /* that a warp has at hand at a time */

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

/* Rows first, first + STEP, .. of w [count rows][width] . v[width], for all lanes; width is a multiple
 * of VEC.  ROWS at a time, so that none waits for the memory alone; those past the last are as the
 * last. */
__device__ __forceinline__ void dots(float (&out)[ROWS], const T *w, int first, int count,
                                     const float *v, int width)
{
#pragma unroll
    for (int j = 0; j < ROWS; j++)
        out[j] = 0.0f;
    for (int k = ((int)threadIdx.x & 31) * VEC; k < width; k += 32 * VEC) {
        float row[ROWS][VEC];
#pragma unroll
        for (int j = 0; j < ROWS; j++) {
            const int i = first + j * STEP < count ? first + j * STEP : count - 1;
            dyno_load<VEC>(row[j], w + (i64)i * width + k);
        }
#pragma unroll
        for (int j = 0; j < ROWS; j++)
#pragma unroll
            for (int e = 0; e < VEC; e++)
                out[j] = fmaf(row[j][e], v[k + e], out[j]);
    }
#pragma unroll
    for (int j = 0; j < ROWS; j++)
        out[j] = dyno_warp_sum(out[j]);
}

/* y[item][channel], once its bias is added. */
__device__ __forceinline__ void put(const dyno_gpu_excitation &p, i64 item, int channel, float sum)
{
    float v[1] = {sum + ((const float *)p.b2)[channel]};
    if (channel < p.channels)
        dyno_tail<1>(v, p.tail, item * p.y_ld + channel, (int)item, channel);
    else
        v[0] = 0.0f;
    dyno_store<1>((TO *)p.y + item * p.y_ld + channel, v);
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
    for (int i = rank * WARPS + warp; i < p.r; i += ROWS * STEP) {
        float a[ROWS];
        dots(a, (const T *)p.w1, i, p.r, means, p.c);
#pragma unroll
        for (int j = 0; j < ROWS; j++)
            if ((threadIdx.x & 31) == 0 && i + j * STEP < p.r) {
                a[j] += ((const float *)p.b1)[i + j * STEP];
                own[i + j * STEP] = SILU ? dyno_quick_silu(a[j], 0.0f, 0.0f, 1.0f, 0.0f)
                                         : fmaxf(a[j], 0.0f);
            }
    }
    meet();
    for (int i = threadIdx.x; i < p.r; i += 256)
        hidden[i] = there(own + i, i / WARPS % CLUSTER);
    __syncthreads();
    for (int i = rank * WARPS + warp; i < p.m; i += ROWS * STEP) {
        float a[ROWS];
        dots(a, (const T *)p.w2, i, p.m, hidden, p.r);
#pragma unroll
        for (int j = 0; j < ROWS; j++)
            if ((threadIdx.x & 31) == 0 && i + j * STEP < p.m)
                put(p, n, i + j * STEP, a[j]);
    }
    meet(); /* nobody leaves while others read what is his */
}
