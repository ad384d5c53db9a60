/* move.cu - copies between two strided arrays: transposes, slices, concatenations, expansions.
 *
 * Choices: WORD (type of an element as bits).
 */
extern "C" __global__ void __launch_bounds__(256) dyno_main(const __grid_constant__ dyno_gpu_move p)
{
    const i64 unit = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (unit >= p.count)
        return;
    i64 left = unit, from = 0, to = 0;
#pragma unroll
    for (int axis = DYNO_GPU_MOVE_AXES - 1; axis >= 0; axis--) {
        if (axis >= p.rank)
            continue;
        const i64 rest = left / p.dims[axis];
        const i64 idx = left - rest * p.dims[axis];
        left = rest;
        from += idx * p.x_strides[axis];
        to += idx * p.y_strides[axis];
    }
    ((WORD *)p.y)[to] = ((const WORD *)p.x)[from];
}
