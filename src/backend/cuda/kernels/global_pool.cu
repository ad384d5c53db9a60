/* global_pool.cu - mean over all positions, channels last: a block sums a stretch of positions of
 * p.lanes * VEC channels of one item, its rows of threads share them.
 *
 * In one launch (one stretch, phase 1), or in two: sums of stretches (phase 0), then those of an item
 * in the same way.  Or the blocks of a cluster have a stretch each, and its first one adds up what
 * they have.  The order of a sum follows from the shape and the cut, not from the run.
 *
 * Choices: T (of x), TO (of y), VEC, PLAIN (1: y is [batch][channels] without padding), CLUSTER
 * (blocks of one; 0: none).
 */
/* v += the sums of the other blocks of the cluster, in their order, for the first block. */
__device__ __forceinline__ void gather(float (&v)[VEC], int lanes, float (&parts)[256][VEC + 1])
{
#if CLUSTER
    ptx_cluster_meet();
    if (blockIdx.y == 0 && (int)threadIdx.x < lanes) {
        const unsigned mine = (unsigned)__cvta_generic_to_shared(&parts[threadIdx.x][0]);
        for (int peer = 1; peer < CLUSTER; peer++) {
            const unsigned from = ptx_cluster_at(mine, peer);
#pragma unroll
            for (int e = 0; e < VEC; e++)
                v[e] += ptx_cluster_load(from + 4u * e);
        }
    }
    ptx_cluster_meet(); /* nobody leaves while others read his sums */
#endif
}

/* The 4 gives a thread the registers without which the compiler puts sums between the loads. */
extern "C" __global__ void
#if CLUSTER
    __cluster_dims__(1, CLUSTER, 1)
#endif
    __launch_bounds__(256, 4)
    dyno_main(const __grid_constant__ dyno_gpu_pool p)
{
#if CLUSTER
    extern __shared__ __align__(16) float shared[];
    float (&parts)[256][VEC + 1] = *reinterpret_cast<float (*)[256][VEC + 1]>(shared);
#else
    __shared__ float parts[256][VEC + 1];
#endif
    const int lane = (int)threadIdx.x % p.lanes;
    const int channel = ((int)blockIdx.x * p.lanes + lane) * VEC;
    const int n = (int)blockIdx.z;
    const int positions = p.h * p.w;
    /* Threads past the channels sum the last ones again, so that all meet. */
    const int from = channel < p.c ? channel : p.c - VEC;
    float *sums = (float *)p.parts + (i64)n * p.chunks * p.c;
    float v[VEC] = {};
    if (p.phase == 0 || p.chunks == 1) {
        const int first = (int)blockIdx.y * p.chunk;
        const int last = positions - first > p.chunk ? first + p.chunk : positions;
        dyno_sum_positions(v, (const T *)p.x + (i64)n * positions * p.x_ld + from, p.x_ld, first,
                           last, p.lanes, true, &parts[0][0]);
        gather(v, p.lanes, parts);
    } else {
        dyno_sum_positions(v, sums + from, p.c, 0, p.chunks, p.lanes, true, &parts[0][0]);
    }
    if ((int)threadIdx.x >= p.lanes || channel >= p.c || (CLUSTER && blockIdx.y != 0))
        return;
    if (p.phase == 0) {
        dyno_store<VEC>(sums + (i64)blockIdx.y * p.c + channel, v);
        return;
    }
#pragma unroll
    for (int e = 0; e < VEC; e++)
        v[e] /= (float)positions;
#if PLAIN
#pragma unroll
    for (int e = 0; e < VEC; e++) {
        if (channel + e < p.channels) {
            float one[1] = {v[e]};
            dyno_tail<1>(one, p.tail, (i64)n * p.channels + channel + e, n, channel + e);
            dyno_store<1>((TO *)p.y + (i64)n * p.channels + channel + e, one);
        }
    }
#else
    dyno_finish(v, p, (i64)n * p.y_ld + channel, n, channel);
    dyno_store<VEC>((TO *)p.y + (i64)n * p.y_ld + channel, v);
#endif
}
