/* reduce.cu - Reduce* over neighbouring axes, x [outer][axis][inner]: a warp, or a block, a result
 * where inner is 1, else a thread.
 *
 * Choices: T (of x), TO (of y), FOLD (0 sum, 1 squares, 2 magnitudes, 3 max, 4 min, 5 product), ROOT
 * (0, 1), ALONG (1: inner is 1).
 */
__device__ __forceinline__ float start()
{
    const float inf = __int_as_float(0x7f800000);
    return FOLD == 3 ? -inf : (FOLD == 4 ? inf : (FOLD == 5 ? 1.0f : 0.0f));
}

/* NaN stays: the greatest of a set with NaN is NaN. */
__device__ __forceinline__ float join(float a, float b)
{
    if (FOLD == 3)
        return a != a ? a : (b > a || b != b ? b : a);
    if (FOLD == 4)
        return a != a ? a : (b < a || b != b ? b : a);
    return FOLD == 5 ? a * b : a + b;
}

__device__ __forceinline__ float add(float state, float x)
{
    return join(state, FOLD == 1 ? x * x : (FOLD == 2 ? fabsf(x) : x));
}

extern "C" __global__ void __launch_bounds__(512)
    dyno_main(const __grid_constant__ dyno_gpu_reduce p)
{
    float state = start();
#if ALONG
    __shared__ float shared[16];
    const i64 at = blockIdx.x;
    const T *x = (const T *)p.x + at * p.axis;
    for (int i = threadIdx.x; i < p.axis; i += blockDim.x)
        state = add(state, dyno_to_f32(x[i]));
#pragma unroll
    for (int step = 16; step > 0; step >>= 1)
        state = join(state, __shfl_xor_sync(0xffffffffu, state, step));
    if (threadIdx.x % 32 == 0)
        shared[threadIdx.x / 32] = state;
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    for (int i = 1; i < (int)blockDim.x / 32; i++)
        state = join(state, shared[i]);
#else
    const i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= p.outer * p.inner)
        return;
    const T *x = (const T *)p.x + at / p.inner * p.axis * p.inner + at % p.inner;
    for (int i = 0; i < p.axis; i++)
        state = add(state, dyno_to_f32(x[(i64)i * p.inner]));
#endif
    state *= p.scale;
    float v[1] = {ROOT ? sqrtf(state) : state};
    dyno_tail<1>(v, p.tail, at, (int)(at / p.columns), (int)(at % p.columns));
    dyno_store<1>((TO *)p.y + at, v);
}
