/* resize.cu - Resize of the last two axes, channels last: nearest or linear.  A thread makes VEC
 * channels of one output.
 *
 * Choices: T (of x), TO (of y), VEC, LINEAR (0, 1), ROUND (nearest: 0 half down, 1 half up, 2
 * floor, 3 ceil).
 */
__device__ __forceinline__ int clamp(int at, int size)
{
    return at < 0 ? 0 : (at >= size ? size - 1 : at);
}

__device__ __forceinline__ int nearest(double at, int size)
{
    const double whole = ROUND == 0
                             ? ceil(at - 0.5)
                             : (ROUND == 1 ? floor(at + 0.5) : (ROUND == 2 ? floor(at) : ceil(at)));
    return clamp((int)whole, size);
}

extern "C" __global__ void __launch_bounds__(256)
    dyno_main(const __grid_constant__ dyno_gpu_resize p)
{
    const int groups = p.c / VEC;
    const i64 unit = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    const i64 pixel = unit / groups;
    const int channel = (int)(unit - pixel * groups) * VEC;
    const unsigned line = (unsigned)pixel / p.ow; /* there are fewer than 2^31 pixels */
    const int ox = (int)((unsigned)pixel - line * p.ow);
    const int n = (int)(line / p.oh);
    const int oy = (int)line - n * p.oh;
    if (n >= p.batch)
        return;
    const T *x = (const T *)p.x + (i64)n * p.h * p.w * p.x_ld + channel;
    const double fy = oy * p.y_step + p.y_first, fx = ox * p.x_step + p.x_first;
    float v[VEC];
#if LINEAR
    const double y0 = floor(fy), x0 = floor(fx);
    const float wy = (float)(fy - y0), wx = (float)(fx - x0);
    float corner[4][VEC];
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const int iy = clamp((int)y0 + k / 2, p.h), ix = clamp((int)x0 + k % 2, p.w);
        dyno_load<VEC>(corner[k], x + ((i64)iy * p.w + ix) * p.x_ld);
    }
#pragma unroll
    for (int e = 0; e < VEC; e++)
        v[e] = (1.0f - wy) * ((1.0f - wx) * corner[0][e] + wx * corner[1][e]) +
               wy * ((1.0f - wx) * corner[2][e] + wx * corner[3][e]);
#else
    dyno_load<VEC>(v, x + ((i64)nearest(fy, p.h) * p.w + nearest(fx, p.w)) * p.x_ld);
#endif
    const i64 at = pixel * p.y_ld + channel;
    dyno_finish(v, p, at, (int)pixel, channel);
    dyno_store<VEC>((TO *)p.y + at, v);
}
