/* move.cu - copies between two strided arrays: transposes, slices, concatenations, expansions.  A
 * thread a word of 1, 2, 4, 8 or 16 bytes.  No choices.
 */
template <typename W> __device__ __forceinline__ void copy(const dyno_gpu_move &p, i64 from, i64 to)
{
    ((W *)p.y)[to] = ((const W *)p.x)[from];
}

extern "C" __global__ void __launch_bounds__(256) dyno_main(const __grid_constant__ dyno_gpu_move p)
{
    unsigned left = blockIdx.x * 256u + threadIdx.x;
    if (left >= p.count)
        return;
    i64 from = 0, to = 0;
#pragma unroll
    for (int axis = DYNO_GPU_MOVE_AXES - 1; axis >= 0; axis--) {
        if (axis >= p.rank)
            continue;
        const unsigned rest = axis > 0 ? left / p.dims[axis] : 0;
        const unsigned idx = left - rest * p.dims[axis];
        left = rest;
        from += (i64)idx * p.x_strides[axis];
        to += (i64)idx * p.y_strides[axis];
    }
    if (p.word_bytes == 16)
        copy<dyno_words<16>>(p, from, to);
    else if (p.word_bytes == 8)
        copy<dyno_words<8>>(p, from, to);
    else if (p.word_bytes == 4)
        copy<unsigned>(p, from, to);
    else if (p.word_bytes == 2)
        copy<unsigned short>(p, from, to);
    else
        copy<unsigned char>(p, from, to);
}
