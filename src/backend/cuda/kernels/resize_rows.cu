/* resize_rows.cu - Resize of the last two axes, in rows of f32: a thread makes one output.
 *
 * Choices: LINEAR (0, 1), ROUND (nearest: 0 half down, 1 half up, 2 floor, 3 ceil).
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
    const i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    const i64 line = at / p.ow;
    const i64 plane = line / p.oh;
    if (plane >= (i64)p.batch * p.channels)
        return;
    const int ox = (int)(at - line * p.ow), oy = (int)(line - plane * p.oh);
    const float *x = (const float *)p.x + plane * p.h * p.w;
    const double fy = oy * p.y_step + p.y_first, fx = ox * p.x_step + p.x_first;
#if LINEAR
    const double y0 = floor(fy), x0 = floor(fx);
    const float wy = (float)(fy - y0), wx = (float)(fx - x0);
    float corner[4];
#pragma unroll
    for (int k = 0; k < 4; k++)
        corner[k] =
            x[(i64)clamp((int)y0 + k / 2, p.h) * p.w + clamp((int)x0 + k % 2, p.w)];
    float v[1] = {(1.0f - wy) * ((1.0f - wx) * corner[0] + wx * corner[1]) +
                  wy * ((1.0f - wx) * corner[2] + wx * corner[3])};
#else
    float v[1] = {x[(i64)nearest(fy, p.h) * p.w + nearest(fx, p.w)]};
#endif
    dyno_tail<1>(v, p.tail, at, (int)line, ox);
    dyno_store<1>((float *)p.y + at, v);
}
