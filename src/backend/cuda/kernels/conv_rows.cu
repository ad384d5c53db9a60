/* conv_rows.cu - Conv, in groups or not, and ConvTranspose, in rows of f32: a thread makes one output.
 *
 * Choices: TRANSPOSED (0, 1), KH KW, SH SW, DH DW, CG (input channels a group).
 */
extern "C" __global__ void __launch_bounds__(256)
    dyno_main(const __grid_constant__ dyno_gpu_conv_rows p)
{
    const unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= p.count)
        return;
    const int ox = (int)(at % (unsigned)p.ow);
    const unsigned line = at / (unsigned)p.ow;
    const int oy = (int)(line % (unsigned)p.oh);
    const unsigned plane = line / (unsigned)p.oh;
    const int m = (int)(plane % (unsigned)p.m), n = (int)(plane / (unsigned)p.m);
    const int group = m / p.mg;
    const i64 pixels = (i64)p.h * p.w;
    const float *x = (const float *)p.x + ((i64)n * p.c + group * CG) * pixels;
    const i64 step = (TRANSPOSED ? (i64)p.mg : 1) * (KH * KW); /* between weights of two channels */
    const float *weights = (const float *)p.weights +
                           (TRANSPOSED ? ((i64)group * CG * p.mg + (m - group * p.mg)) * (KH * KW)
                                       : (i64)m * CG * (KH * KW));
    float sum = p.bias != 0 ? ((const float *)p.bias)[m] : 0.0f;
#pragma unroll 1
    for (int c = 0; c < CG; c++) {
#pragma unroll
        for (int r = 0; r < KH; r++) {
            int iy = TRANSPOSED ? oy + p.ph - r * DH : oy * SH - p.ph + r * DH;
            if (TRANSPOSED) {
                if (iy % SH != 0)
                    continue;
                iy /= SH;
            }
            if ((unsigned)iy >= (unsigned)p.h)
                continue;
#pragma unroll
            for (int s = 0; s < KW; s++) {
                int ix = TRANSPOSED ? ox + p.pw - s * DW : ox * SW - p.pw + s * DW;
                if (TRANSPOSED) {
                    if (ix % SW != 0)
                        continue;
                    ix /= SW;
                }
                if ((unsigned)ix < (unsigned)p.w)
                    sum = fmaf(x[(i64)iy * p.w + ix], weights[r * KW + s], sum);
            }
        }
        x += pixels;
        weights += step;
    }
    float v[1] = {sum};
    dyno_tail<1>(v, p.tail, at, (int)line, ox);
    dyno_store<1>((float *)p.y + at, v);
}
