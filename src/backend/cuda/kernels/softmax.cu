/* softmax.cu - over the last axis: a block a row.
 *
 * Choices: T (of x), TO (of y).
 */
#define HELD  24 /* elements a thread keeps; longer rows are read three times */
#define LOG2E 1.44269504f

__device__ __forceinline__ void finish(const dyno_gpu_rows &p, i64 row, int i, float x)
{
    float v[1] = {x};
    dyno_tail<1>(v, p.tail, row * p.columns + i, (int)row, i);
    dyno_store<1>((TO *)p.y + row * p.columns + i, v);
}

/* Rows that threads can hold: read once, each exponential taken once. */
__device__ __forceinline__ void held_row(const dyno_gpu_rows &p, const T *x, i64 row, float *shared)
{
    float v[HELD];
    float most = -__int_as_float(0x7f800000), sum = 0.0f;
#pragma unroll
    for (int h = 0; h < HELD; h++) {
        const int i = h * (int)blockDim.x + (int)threadIdx.x;
        v[h] = i < p.columns ? dyno_to_f32(x[i]) : -__int_as_float(0x7f800000);
    }
#pragma unroll
    for (int h = 0; h < HELD; h++)
        most = fmaxf(most, v[h]);
    most = dyno_block_fold<true>(most, shared);
#pragma unroll
    for (int h = 0; h < HELD; h++) {
        const int i = h * (int)blockDim.x + (int)threadIdx.x;
        v[h] = i < p.columns ? ptx_exp2((v[h] - most) * LOG2E) : 0.0f;
        sum += v[h];
    }
    sum = dyno_block_fold<false>(sum, shared);
    const float factor = 1.0f / sum;
#pragma unroll
    for (int h = 0; h < HELD; h++) {
        const int i = h * (int)blockDim.x + (int)threadIdx.x;
        if (i < p.columns)
            finish(p, row, i, v[h] * factor);
    }
}

extern "C" __global__ void __launch_bounds__(1024)
    dyno_main(const __grid_constant__ dyno_gpu_rows p)
{
    __shared__ float shared[32];
    const i64 row = blockIdx.x;
    const T *x = (const T *)p.x + row * p.columns;
    if (p.columns <= HELD * (int)blockDim.x) {
        held_row(p, x, row, shared);
        return;
    }
    float most = -__int_as_float(0x7f800000);
    for (int i = threadIdx.x; i < p.columns; i += blockDim.x)
        most = fmaxf(most, dyno_to_f32(x[i]));
    most = dyno_block_fold<true>(most, shared);
    float sum = 0.0f;
    for (int i = threadIdx.x; i < p.columns; i += blockDim.x)
        sum += ptx_exp2((dyno_to_f32(x[i]) - most) * LOG2E);
    sum = dyno_block_fold<false>(sum, shared);
    const float factor = 1.0f / sum;
    for (int i = threadIdx.x; i < p.columns; i += blockDim.x)
        finish(p, row, i, ptx_exp2((dyno_to_f32(x[i]) - most) * LOG2E) * factor);
}
