/* pool_rows.cu - MaxPool, AveragePool, in rows of f32: a thread makes one output.
 *
 * Choices: MAX (0, 1), COUNT_PADDING (0, 1: the padding counts in the divisor).
 */
extern "C" __global__ void __launch_bounds__(256) dyno_main(const __grid_constant__ dyno_gpu_pool p)
{
    const i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    const i64 planes = (i64)p.batch * p.channels;
    if (at >= planes * p.oh * p.ow)
        return;
    const i64 line = at / p.ow;
    const int ox = (int)(at - line * p.ow);
    const i64 plane = line / p.oh;
    const int oy = (int)(line - plane * p.oh);
    const float *x = (const float *)p.x + plane * p.h * p.w;
    const int y0 = oy * p.sh - p.ph, x0 = ox * p.sw - p.pw;
    float v[1] = {MAX ? -__int_as_float(0x7f800000) : 0.0f};
    int count = 0;
    for (int r = 0; r < p.kh; r++) {
        const int iy = y0 + r * p.dh;
        for (int s = 0; s < p.kw; s++) {
            const int ix = x0 + s * p.dw;
            if (iy < p.h + p.ph_end && ix < p.w + p.pw_end)
                count += COUNT_PADDING;
            if ((unsigned)iy >= (unsigned)p.h || (unsigned)ix >= (unsigned)p.w)
                continue;
            count += 1 - COUNT_PADDING;
            const float a = x[(i64)iy * p.w + ix];
            v[0] = MAX ? (a > v[0] || a != a ? a : v[0]) : v[0] + a;
        }
    }
    v[0] = MAX ? v[0] : v[0] / (float)count;
    dyno_tail<1>(v, p.tail, at, (int)line, ox);
    dyno_store<1>((float *)p.y + at, v);
}
