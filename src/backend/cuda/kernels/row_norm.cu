/* row_norm.cu - LayerNormalization and RMSNormalization over the last axes: a block a row.
 *
 * Choices: T (of x), TO (of y), CENTRE (1: about the mean, 0: RMS), BIAS (0, 1).
 */
extern "C" __global__ void __launch_bounds__(1024)
    dyno_main(const __grid_constant__ dyno_gpu_rows p)
{
    __shared__ float shared[32];
    const i64 row = blockIdx.x;
    const T *x = (const T *)p.x + row * p.columns;
    TO *y = (TO *)p.y + row * p.columns;
    float mean = 0.0f;
    if (CENTRE) {
        float sum = 0.0f;
        for (int i = threadIdx.x; i < p.columns; i += blockDim.x)
            sum += dyno_to_f32(x[i]);
        mean = dyno_block_fold<false>(sum, shared) / (float)p.columns;
    }
    float squares = 0.0f;
    for (int i = threadIdx.x; i < p.columns; i += blockDim.x) {
        const float d = dyno_to_f32(x[i]) - mean;
        squares = fmaf(d, d, squares);
    }
    squares = dyno_block_fold<false>(squares, shared) / (float)p.columns;
    const float factor = 1.0f / sqrtf(squares + p.epsilon);
    for (int i = threadIdx.x; i < p.columns; i += blockDim.x) {
        float v[1] = {(dyno_to_f32(x[i]) - mean) * factor * ((const float *)p.scale)[i]};
        if (BIAS)
            v[0] += ((const float *)p.bias)[i];
        dyno_tail<1>(v, p.tail, row * p.columns + i, (int)row, i);
        dyno_store<1>(y + i, v);
    }
}
