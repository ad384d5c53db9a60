/* depthwise.cu - depthwise convolution, channels last: a thread makes VEC channels of RUN neighbours
 * in a row, so that a weight is read once for all of them and a column of x once for all that meet
 * there.
 *
 * Choices: T (of x, y and the weights), TO (of y), VEC, RUN, KH KW, SH SW, DH DW.
 */
#define COLUMNS ((RUN - 1) * SW + (KW - 1) * DW + 1)

extern "C" __global__ void __launch_bounds__(128)
    dyno_main(const __grid_constant__ dyno_gpu_conv p)
{
    const int groups = p.c / VEC, runs = (p.ow + RUN - 1) / RUN;
    const i64 unit = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    const int channel = (int)(unit % groups) * VEC;
    const i64 place = unit / groups;
    if (place >= (i64)p.batch * p.oh * runs)
        return;
    const int ox = (int)(place % runs) * RUN;
    const int oy = (int)(place / runs % p.oh);
    const int n = (int)(place / runs / p.oh);
    const T *x = (const T *)p.x + (i64)n * p.h * p.w * p.x_ld + channel;
    const T *weights = (const T *)p.weights + channel;
    const int x0 = ox * SW - p.pw;
    float sum[RUN][VEC];
    dyno_load<VEC>(sum[0], (const float *)p.bias + channel);
#pragma unroll
    for (int o = 1; o < RUN; o++)
#pragma unroll
        for (int e = 0; e < VEC; e++)
            sum[o][e] = sum[0][e];
#pragma unroll 1
    for (int r = 0; r < KH; r++) {
        const int iy = oy * SH - p.ph + r * DH;
        if ((unsigned)iy >= (unsigned)p.h)
            continue;
        const T *row = x + (i64)iy * p.w * p.x_ld;
        float weight[KW][VEC];
#pragma unroll
        for (int s = 0; s < KW; s++)
            dyno_load<VEC>(weight[s], weights + (i64)(r * KW + s) * p.c);
#pragma unroll
        for (int column = 0; column < COLUMNS; column++) {
            if ((unsigned)(x0 + column) >= (unsigned)p.w)
                continue;
            float a[VEC];
            dyno_load<VEC>(a, row + (i64)(x0 + column) * p.x_ld);
#pragma unroll
            for (int o = 0; o < RUN; o++) {
                const int reach = column - o * SW;
                if (reach < 0 || reach % DW != 0 || reach / DW >= KW)
                    continue;
#pragma unroll
                for (int e = 0; e < VEC; e++)
                    sum[o][e] = fmaf(a[e], weight[reach / DW][e], sum[o][e]);
            }
        }
    }
    const i64 pixel = ((i64)n * p.oh + oy) * p.ow + ox;
#pragma unroll
    for (int o = 0; o < RUN; o++) {
        if (ox + o >= p.ow)
            break;
        const i64 at = (pixel + o) * p.y_ld + channel;
        dyno_tail<VEC>(sum[o], p.tail, at, (int)(pixel + o), channel);
#pragma unroll
        for (int e = 0; e < VEC; e++)
            sum[o][e] = channel + e < p.channels ? sum[o][e] : 0.0f;
        dyno_store<VEC>((TO *)p.y + at, sum[o]);
    }
}
