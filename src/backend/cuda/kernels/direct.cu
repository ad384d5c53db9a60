/* direct.cu - Conv in groups and ConvTranspose, channels last, in plain f32 arithmetic: a thread
 * makes VEC channels of RUN outputs that meet the same taps, so that a weight is read once for all.
 *
 * Choices: T (of x and the weights), TO (of y), VEC, RUN, TRANSPOSED (0, 1), KH KW, SH SW, DH DW,
 * CG (input channels a group), MG (outputs a group, as stored), VX (channels of x that are read at
 * once: VEC or 1; divides CG).
 */
#define STEP (TRANSPOSED ? SW : 1) /* between outputs that meet the same taps */

/* Of a transposed one without dilation: every so many-th tap of an output meets an input. */
#define STEP_Y (TRANSPOSED && DH == 1 ? SH : 1)
#define STEP_X (TRANSPOSED && DW == 1 ? SW : 1)
#define TAPS_Y ((KH + STEP_Y - 1) / STEP_Y)
#define TAPS_X ((KW + STEP_X - 1) / STEP_X)

__device__ __forceinline__ int first_tap(int o, int pad, int stride, int dilation)
{
    const int first = (o + pad) % stride;
    return !TRANSPOSED || dilation != 1 ? 0 : first < 0 ? first + stride : first;
}

/* Where tap `tap` of output `o` reads, or -1: between two inputs, or outside. */
__device__ __forceinline__ int source(int o, int tap, int pad, int stride, int dilation, int size)
{
    int at = TRANSPOSED ? o + pad - tap * dilation : o * stride - pad + tap * dilation;
    if (TRANSPOSED) {
        if (at % stride != 0)
            return -1;
        at /= stride;
    }
    return (unsigned)at < (unsigned)size ? at : -1;
}

/* VX elements of x as they lie in memory. */
typedef dyno_words<VX * (int)sizeof(T)> packed;

extern "C" __global__ void __launch_bounds__(128)
    dyno_main(const __grid_constant__ dyno_gpu_conv p)
{
    const unsigned vectors = p.m / VEC;
    const unsigned runs = (p.ow + RUN * STEP - 1) / (RUN * STEP) * STEP; /* a row */
    const unsigned unit = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned place = unit / vectors, line = place / runs;
    const int channel = (int)(unit - place * vectors) * VEC;
    const int at = (int)(place - line * runs);
    const int ox = at / STEP * (RUN * STEP) + at % STEP;
    const int n = (int)(line / p.oh);
    const int oy = (int)line - n * p.oh;
    if (n >= p.batch)
        return;
    const int group = channel / MG;
    const T *x = (const T *)p.x + (i64)n * p.h * p.w * p.x_ld + group * CG;
    const T *weights = (const T *)p.weights + (i64)group * (KH * KW) * CG * MG + (channel - group * MG);
    float sum[RUN][VEC];
    dyno_load<VEC>(sum[0], (const float *)p.bias + channel);
#pragma unroll
    for (int o = 1; o < RUN; o++)
#pragma unroll
        for (int e = 0; e < VEC; e++)
            sum[o][e] = sum[0][e];
    /* Taps between two inputs are left out at once: neighbouring outputs of a transposed one have
     * others, and threads would wait for each other's. */
    const int first_y = first_tap(oy, p.ph, SH, DH), first_x = first_tap(ox, p.pw, SW, DW);
#pragma unroll 1
    for (int i = 0; i < TAPS_Y * TAPS_X; i++) {
        const int ky = first_y + i / TAPS_X * STEP_Y, kx = first_x + i % TAPS_X * STEP_X;
        const int iy = source(oy, ky, p.ph, SH, DH, p.h);
        if (ky >= KH || kx >= KW || iy < 0)
            continue;
        const T *from[RUN];
        bool there[RUN], any = false;
#pragma unroll
        for (int o = 0; o < RUN; o++) {
            const int ix = source(ox + o * STEP, kx, p.pw, SW, DW, p.w);
            there[o] = ix >= 0;
            any = any || there[o];
            from[o] = x + ((i64)iy * p.w + (there[o] ? ix : 0)) * p.x_ld;
        }
        if (!any)
            continue;
        const T *weight = weights + (i64)(ky * KW + kx) * CG * MG;
#pragma unroll 1
        for (int c = 0; c < CG; c += VX) {
            /* None waits for another, as those in branches of their own would. */
            packed x_at[RUN];
            float a[RUN][VX];
#pragma unroll
            for (int o = 0; o < RUN; o++)
                x_at[o] = there[o] ? *reinterpret_cast<const packed *>(from[o] + c) : packed{};
#pragma unroll
            for (int o = 0; o < RUN; o++)
                dyno_load<VX>(a[o], reinterpret_cast<const T *>(&x_at[o]));
#pragma unroll
            for (int i = 0; i < VX; i++) {
                float w[VEC];
                dyno_load<VEC>(w, weight + (i64)(c + i) * MG);
#pragma unroll
                for (int o = 0; o < RUN; o++)
#pragma unroll
                    for (int e = 0; e < VEC; e++)
                        sum[o][e] = fmaf(a[o][i], w[e], sum[o][e]);
            }
        }
    }
    const i64 row = ((i64)n * p.oh + oy) * p.ow;
#pragma unroll
    for (int o = 0; o < RUN; o++) {
        const int column = ox + o * STEP;
        if (column >= p.ow)
            break;
        const i64 to = (row + column) * p.y_ld + channel;
        dyno_finish(sum[o], p, to, (int)(row + column), channel);
        dyno_store<VEC>((TO *)p.y + to, sum[o]);
    }
}
