/* pool.cu - MaxPool, AveragePool, channels last: a thread makes VEC channels of one output.
 *
 * Choices: T (of x), TO (of y), VEC, MAX (0, 1), COUNT_PADDING (0, 1: the padding counts in the
 * divisor), KH KW (the window: numbers where it is small, so that all of it is loaded at once).
 */
extern "C" __global__ void __launch_bounds__(256) dyno_main(const __grid_constant__ dyno_gpu_pool p)
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
    const int y0 = oy * p.sh - p.ph, x0 = ox * p.sw - p.pw;
    float v[VEC];
    int count = 0;
#pragma unroll
    for (int e = 0; e < VEC; e++)
        v[e] = MAX ? -__int_as_float(0x7f800000) : 0.0f;
#pragma unroll
    for (int r = 0; r < KH; r++) {
        const int iy = y0 + r * p.dh;
#pragma unroll
        for (int s = 0; s < KW; s++) {
            const int ix = x0 + s * p.dw;
            const bool there = (unsigned)iy < (unsigned)p.h && (unsigned)ix < (unsigned)p.w;
            if (COUNT_PADDING)
                count += iy < p.h + p.ph_end && ix < p.w + p.pw_end;
            else
                count += there;
            float a[VEC];
            dyno_load<VEC>(a, x + (there ? ((i64)iy * p.w + ix) * p.x_ld : 0));
#pragma unroll
            for (int e = 0; e < VEC; e++) {
                const float with = MAX ? (a[e] > v[e] || a[e] != a[e] ? a[e] : v[e]) : v[e] + a[e];
                v[e] = there ? with : v[e];
            }
        }
    }
    const i64 at = pixel * p.y_ld + channel;
#pragma unroll
    for (int e = 0; e < VEC; e++)
        v[e] = MAX ? v[e] : v[e] / (float)count;
    dyno_finish(v, p, at, (int)pixel, channel);
    dyno_store<VEC>((TO *)p.y + at, v);
}
