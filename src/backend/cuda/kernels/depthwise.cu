/* depthwise.cu - depthwise convolution, channels last: a thread makes VEC channels of RUN neighbours
 * in a row, so that a weight is read once for all of them and a column of x once for all that meet
 * there.
 *
 * Choices: T (of x, y and the weights), TO (of y), VEC, RUN, KH KW, SH SW, DH DW.
 */
#define COLUMNS ((RUN - 1) * SW + (KW - 1) * DW + 1)
#define AHEAD   16 /* columns that are read before the first is used */

/* VEC elements as they lie in memory: what is read ahead takes the fewest registers so. */
typedef dyno_words<VEC * (int)sizeof(T)> packed;

/* Add what a column of x gives to each output of the run that it meets. */
__device__ __forceinline__ void meet(float (&sum)[RUN][VEC], const float (&weight)[KW][VEC],
                                     const packed &x, int column)
{
    float a[VEC];
    dyno_load<VEC>(a, reinterpret_cast<const T *>(&x));
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

/* One row of the filter.  Columns are read in stretches, none of which waits for another: one that
 * is read in a branch of its own would wait for all before it. */
__device__ __forceinline__ void add_row(float (&sum)[RUN][VEC], const T *row, const T *weights,
                                        int x0, const dyno_gpu_conv &p)
{
    float weight[KW][VEC];
#pragma unroll
    for (int s = 0; s < KW; s++)
        dyno_load<VEC>(weight[s], weights + (i64)s * p.c);
#pragma unroll
    for (int first = 0; first < COLUMNS; first += AHEAD) {
        packed x[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD && first + i < COLUMNS; i++)
            x[i] = (unsigned)(x0 + first + i) < (unsigned)p.w
                       ? *reinterpret_cast<const packed *>(row + (i64)(first + i) * p.x_ld)
                       : packed{};
#pragma unroll
        for (int i = 0; i < AHEAD && first + i < COLUMNS; i++)
            meet(sum, weight, x[i], first + i);
    }
}

extern "C" __global__ void __launch_bounds__(128)
    dyno_main(const __grid_constant__ dyno_gpu_conv p)
{
    const unsigned groups = p.c / VEC, runs = (p.ow + RUN - 1) / RUN;
    const unsigned unit = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned place = unit / groups, line = place / runs;
    const int channel = (int)(unit - place * groups) * VEC;
    const int ox = (int)(place - line * runs) * RUN;
    const int n = (int)(line / p.oh);
    const int oy = (int)line - n * p.oh;
    if (n >= p.batch)
        return;
    const int x0 = ox * SW - p.pw;
    const T *x = (const T *)p.x + ((i64)n * p.h * p.w + x0) * p.x_ld + channel;
    const T *weights = (const T *)p.weights + channel;
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
        if ((unsigned)iy < (unsigned)p.h)
            add_row(sum, x + (i64)iy * p.w * p.x_ld, weights + (i64)r * KW * p.c, x0, p);
    }
    const i64 pixel = ((i64)n * p.oh + oy) * p.ow + ox;
#pragma unroll
    for (int o = 0; o < RUN; o++) {
        if (ox + o >= p.ow)
            break;
        const i64 at = (pixel + o) * p.y_ld + channel;
        dyno_finish(sum[o], p, at, (int)(pixel + o), channel);
        dyno_store<VEC>((TO *)p.y + at, sum[o]);
    }
}
