/* gather_elements.cu - GatherElements: a thread an element.
 *
 * Choices: T (a word as wide as an element), INDEX (type of the indices).  An index outside the axis
 * gives the element at its nearer end: there is nobody to tell.
 */
extern "C" __global__ void __launch_bounds__(256)
    dyno_main(const __grid_constant__ dyno_gpu_gather_elements p)
{
    const unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= p.count)
        return;
    i64 index = (i64)((const INDEX *)p.index)[at];
    index += index < 0 ? p.size : 0;
    index = index < 0 ? 0 : (index >= p.size ? p.size - 1 : index);
    i64 from = index * p.strides[p.axis];
    unsigned left = at;
    for (int i = p.rank - 1; i >= 0; i--) {
        const unsigned rest = left / p.dims[i];
        if (i != p.axis)
            from += (left - rest * p.dims[i]) * p.strides[i];
        left = rest;
    }
    ((T *)p.y)[at] = ((const T *)p.x)[from];
}
