/* gather.cu - Gather along one axis: a thread an element.
 *
 * Choices: T, TO (types of x and y), INDEX (type of the indices).  An index outside the axis gives
 * the element at its nearer end: there is nobody to tell.
 */
extern "C" __global__ void __launch_bounds__(256)
    dyno_main(const __grid_constant__ dyno_gpu_gather p)
{
    const i64 unit = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    const i64 slice = unit / p.inner;
    if (slice >= p.outer * p.indices)
        return;
    const i64 outer = slice / p.indices;
    i64 index = (i64)((const INDEX *)p.index)[slice - outer * p.indices];
    index += index < 0 ? p.axis : 0;
    index = index < 0 ? 0 : (index >= p.axis ? p.axis - 1 : index);
    const T *x = (const T *)p.x + (outer * p.axis + index) * p.inner;
    ((TO *)p.y)[unit] = dyno_of_f32<TO>(dyno_to_f32(x[unit - slice * p.inner]));
}
