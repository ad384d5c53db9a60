/* global_pool.cu - mean over all positions, channels last: a block makes 32 * VEC channels of one
 * item, its rows of threads share the positions.
 *
 * Choices: T (of x), TO (of y), VEC, SCALE (1: mean, 0: sum), PLAIN (1: y is [batch][channels]
 * without padding).
 */
extern "C" __global__ void __launch_bounds__(256) dyno_main(const __grid_constant__ dyno_gpu_pool p)
{
    __shared__ float parts[8][32][VEC + 1];
    const int lane = threadIdx.x & 31, row = threadIdx.x >> 5;
    const int channel = ((int)blockIdx.x * 32 + lane) * VEC;
    const int n = (int)blockIdx.y;
    const int positions = p.h * p.w;
    float v[VEC] = {};
    if (channel < p.c) {
        const T *x = (const T *)p.x + (i64)n * positions * p.x_ld + channel;
#pragma unroll 4
        for (int i = row; i < positions; i += 8) {
            float a[VEC];
            dyno_load<VEC>(a, x + (i64)i * p.x_ld);
#pragma unroll
            for (int e = 0; e < VEC; e++)
                v[e] += a[e];
        }
    }
#pragma unroll
    for (int e = 0; e < VEC; e++)
        parts[row][lane][e] = v[e];
    __syncthreads();
    if (row != 0 || channel >= p.c)
        return;
#pragma unroll
    for (int r = 1; r < 8; r++)
#pragma unroll
        for (int e = 0; e < VEC; e++)
            v[e] += parts[r][lane][e];
#pragma unroll
    for (int e = 0; e < VEC; e++)
        v[e] = SCALE ? v[e] / (float)positions : v[e];
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
    dyno_tail<VEC>(v, p.tail, (i64)n * p.y_ld + channel, n, channel);
#pragma unroll
    for (int e = 0; e < VEC; e++)
        v[e] = channel + e < p.channels ? v[e] : 0.0f;
    dyno_store<VEC>((TO *)p.y + (i64)n * p.y_ld + channel, v);
#endif
}
