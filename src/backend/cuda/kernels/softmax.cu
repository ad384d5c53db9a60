/* softmax.cu - over the last axis: a block a row.
 *
 * Choices: T (of x), TO (of y).
 */
extern "C" __global__ void __launch_bounds__(1024)
    dyno_main(const __grid_constant__ dyno_gpu_rows p)
{
    __shared__ float shared[32];
    const i64 row = blockIdx.x;
    const T *x = (const T *)p.x + row * p.columns;
    TO *y = (TO *)p.y + row * p.columns;
    float most = -__int_as_float(0x7f800000);
    for (int i = threadIdx.x; i < p.columns; i += blockDim.x)
        most = fmaxf(most, dyno_to_f32(x[i]));
    most = dyno_block_fold<true>(most, shared);
    float sum = 0.0f;
    for (int i = threadIdx.x; i < p.columns; i += blockDim.x)
        sum += expf(dyno_to_f32(x[i]) - most);
    sum = dyno_block_fold<false>(sum, shared);
    const float factor = 1.0f / sum;
    for (int i = threadIdx.x; i < p.columns; i += blockDim.x) {
        float v[1] = {expf(dyno_to_f32(x[i]) - most) * factor};
        dyno_tail<1>(v, p.tail, row * p.columns + i, (int)row, i);
        dyno_store<1>(y + i, v);
    }
}
