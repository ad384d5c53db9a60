/* channel_norm_rows.cu - Instance-, Group- and BatchNormalization, in rows of f32.  With moments of
 * x a block makes the channels of one item that share them, which lie side by side; else a thread
 * makes some neighbours of one channel.
 *
 * Choices: MOMENTS (1: of x, 0: they are given).
 */
#if !MOMENTS
template <int W>
__device__ __forceinline__ void scale_neighbours(const dyno_gpu_channel_norm &p, i64 at)
{
    const i64 plane = at / p.positions;
    if (plane >= (i64)p.batch * p.channels)
        return;
    const int channel = (int)(plane % p.channels);
    const float factor = ((const float *)p.scale)[channel] /
                         sqrtf(((const float *)p.var)[channel] + p.epsilon);
    const float shift = ((const float *)p.bias)[channel] - ((const float *)p.mean)[channel] * factor;
    float v[W];
    dyno_load<W>(v, (const float *)p.x + at);
#pragma unroll
    for (int e = 0; e < W; e++)
        v[e] = fmaf(v[e], factor, shift);
    dyno_tail<W>(v, p.tail, at, (int)(at / p.c), (int)(at % p.c));
    dyno_store<W>((float *)p.y + at, v);
}
#endif

extern "C" __global__ void __launch_bounds__(256)
    dyno_main(const __grid_constant__ dyno_gpu_channel_norm p)
{
#if MOMENTS
    const float *scales = (const float *)p.scale, *biases = (const float *)p.bias;
    __shared__ float shared[32];
    const int groups = p.channels / p.group;
    const int group = (int)(blockIdx.x % groups);
    const i64 first = (i64)blockIdx.x * p.group * p.positions;
    const i64 count = (i64)p.group * p.positions;
    const float *x = (const float *)p.x + first;
    float sum = 0.0f;
    for (i64 i = threadIdx.x; i < count; i += blockDim.x)
        sum += x[i];
    const float mean = dyno_block_fold<false>(sum, shared) / (float)count;
    float squares = 0.0f;
    for (i64 i = threadIdx.x; i < count; i += blockDim.x) {
        const float d = x[i] - mean;
        squares = fmaf(d, d, squares);
    }
    const float var = dyno_block_fold<false>(squares, shared) / (float)count;
    const float factor = 1.0f / sqrtf(var + p.epsilon);
    for (i64 i = threadIdx.x; i < count; i += blockDim.x) {
        const int channel = group * p.group + (int)(i / p.positions);
        float v[1] = {(x[i] - mean) * factor * scales[channel] + biases[channel]};
        const i64 at = first + i;
        dyno_tail<1>(v, p.tail, at, (int)(at / p.c), (int)(at % p.c));
        dyno_store<1>((float *)p.y + at, v);
    }
#else
    const i64 unit = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (p.chunk == 4)
        scale_neighbours<4>(p, unit * 4);
    else
        scale_neighbours<1>(p, unit);
#endif
}
