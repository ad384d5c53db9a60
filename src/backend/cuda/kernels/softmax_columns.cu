/* softmax_columns.cu - over an axis that is not the last: a thread a column, neighbours together.
 *
 * Choices: T (of x), TO (of y).
 */
extern "C" __global__ void __launch_bounds__(128) dyno_main(const __grid_constant__ dyno_gpu_rows p)
{
    const i64 unit = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (unit >= p.rows * p.inner)
        return;
    const i64 outer = unit / p.inner;
    const i64 first = outer * p.columns * p.inner + (unit - outer * p.inner);
    const T *x = (const T *)p.x + first;
    float most = -__int_as_float(0x7f800000), sum = 0.0f;
    for (int i = 0; i < p.columns; i++)
        most = fmaxf(most, dyno_to_f32(x[(i64)i * p.inner]));
    for (int i = 0; i < p.columns; i++)
        sum += expf(dyno_to_f32(x[(i64)i * p.inner]) - most);
    const float factor = 1.0f / sum;
    for (int i = 0; i < p.columns; i++) {
        const i64 at = first + (i64)i * p.inner;
        float v[1] = {expf(dyno_to_f32(x[(i64)i * p.inner]) - most) * factor};
        dyno_tail<1>(v, p.tail, at, (int)(at / p.inner), (int)(at % p.inner));
        dyno_store<1>((TO *)p.y + at, v);
    }
}
