/* row_norm.cu - LayerNormalization and RMSNormalization over the last axes.
 *
 * Choices: T (of x), TO (of y), CENTRE (1: about the mean, 0: RMS), BIAS (0, 1), VEC (neighbours a
 * thread takes; divides the row), HELD (vectors of a row that a thread keeps in registers; 0: rows
 * are too long for that and are read again), LANES (threads a row: 32, so that nobody waits for
 * another warp, or 0: all of the block).
 */
__device__ __forceinline__ float fold(float x, float *shared)
{
    return LANES == 32 ? dyno_warp_sum(x) : dyno_block_fold<false>(x, shared);
}

/* One vector of the row, at `column`, made and stored. */
__device__ __forceinline__ void finish(const dyno_gpu_rows &p, i64 row, int column, float (&v)[VEC],
                                       float mean, float factor)
{
    float scale[VEC], bias[VEC];
    dyno_load<VEC>(scale, (const float *)p.scale + column);
    if (BIAS)
        dyno_load<VEC>(bias, (const float *)p.bias + column);
#pragma unroll
    for (int e = 0; e < VEC; e++) {
        v[e] = (v[e] - mean) * factor * scale[e];
        if (BIAS)
            v[e] += bias[e];
    }
    const i64 at = row * p.columns + column;
    dyno_tail<VEC>(v, p.tail, at, (int)row, column);
    dyno_store<VEC>((TO *)p.y + at, v);
}

extern "C" __global__ void __launch_bounds__(1024)
    dyno_main(const __grid_constant__ dyno_gpu_rows p)
{
    __shared__ float shared[32];
    const int lanes = LANES == 32 ? 32 : (int)blockDim.x;
    const int lane = LANES == 32 ? (int)threadIdx.x & 31 : (int)threadIdx.x;
    const i64 row = LANES == 32 ? (i64)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5)
                                : (i64)blockIdx.x;
    if (LANES == 32 && row >= p.rows)
        return;
    const T *x = (const T *)p.x + row * p.columns;
    float mean = 0.0f, sum = 0.0f, squares = 0.0f;
#if HELD
    float v[HELD][VEC];
#pragma unroll
    for (int h = 0; h < HELD; h++) {
        const int column = (h * lanes + lane) * VEC;
#pragma unroll
        for (int e = 0; e < VEC; e++)
            v[h][e] = 0.0f;
        if (column < p.columns)
            dyno_load<VEC>(v[h], x + column);
    }
    if (CENTRE) {
#pragma unroll
        for (int h = 0; h < HELD; h++)
#pragma unroll
            for (int e = 0; e < VEC; e++)
                sum += v[h][e];
        mean = fold(sum, shared) / (float)p.columns;
    }
#pragma unroll
    for (int h = 0; h < HELD; h++) {
        const bool there = (h * lanes + lane) * VEC < p.columns;
#pragma unroll
        for (int e = 0; e < VEC; e++) {
            const float d = there ? v[h][e] - mean : 0.0f;
            squares = fmaf(d, d, squares);
        }
    }
#else
    float v[1][VEC];
    if (CENTRE) {
        for (int column = lane * VEC; column < p.columns; column += lanes * VEC) {
            dyno_load<VEC>(v[0], x + column);
#pragma unroll
            for (int e = 0; e < VEC; e++)
                sum += v[0][e];
        }
        mean = fold(sum, shared) / (float)p.columns;
    }
    for (int column = lane * VEC; column < p.columns; column += lanes * VEC) {
        dyno_load<VEC>(v[0], x + column);
#pragma unroll
        for (int e = 0; e < VEC; e++)
            squares = fmaf(v[0][e] - mean, v[0][e] - mean, squares);
    }
#endif
    const float factor = 1.0f / sqrtf(fold(squares, shared) / (float)p.columns + p.epsilon);
#if HELD
#pragma unroll
    for (int h = 0; h < HELD; h++) {
        const int column = (h * lanes + lane) * VEC;
        if (column < p.columns)
            finish(p, row, column, v[h], mean, factor);
    }
#else
    for (int column = lane * VEC; column < p.columns; column += lanes * VEC) {
        dyno_load<VEC>(v[0], x + column);
        finish(p, row, column, v[0], mean, factor);
    }
#endif
}
