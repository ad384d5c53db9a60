/* pointwise.cu - an element-wise program over a tensor: VEC elements a thread.
 *
 * Choices: T (of x), TO (of y), VEC, LOAD (1: the program starts with x, 0: with 0), OPEN (defined: rows
 * of any length, which are multiples of VEC otherwise; where such a row is none, a thread makes one
 * element, unless it is all of the tensor: then its end alone is made by elements).
 */
template <int W>
__device__ __forceinline__ void apply(const dyno_gpu_pointwise &p, i64 at)
{
    if (at >= p.count)
        return;
    const i64 row = at / p.stored;
    const int column = (int)(at - row * p.stored);
    const i64 to = row * p.y_ld + column;
    float v[W] = {};
    if (LOAD)
        dyno_load<W>(v, (const T *)p.x + row * p.x_ld + column);
    dyno_tail<W>(v, p.tail, to, (int)row, column);
#pragma unroll
    for (int e = 0; e < W; e++)
        v[e] = column + e < p.columns ? v[e] : 0.0f;
    dyno_store<W>((TO *)p.y + to, v);
}

extern "C" __global__ void __launch_bounds__(256)
    dyno_main(const __grid_constant__ dyno_gpu_pointwise p)
{
    const i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x;
#ifdef OPEN
    if (p.stored % VEC != 0) {
        const bool is_one_row = p.stored == p.count;
        if (!is_one_row || (thread + 1) * VEC > p.count) {
            const i64 first = is_one_row ? thread * VEC : thread;
            for (int e = 0; e < (is_one_row ? VEC : 1); e++)
                apply<1>(p, first + e);
            return;
        }
    }
#endif
    apply<VEC>(p, thread * VEC);
}
