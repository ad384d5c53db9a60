/* reorder.cu - a tensor in another layout and element type.
 *
 * Choices: T, TO (types of x and y), X_LAST, Y_LAST (0: rows, 1: channels last).
 * Tiles of 32 channels x 32 positions go through shared memory, so that both sides are read and
 * written along their fastest axis.
 */
extern "C" __global__ void __launch_bounds__(256)
    dyno_main(const __grid_constant__ dyno_gpu_reorder p)
{
    __shared__ float tile[32][33];
#if X_LAST != Y_LAST
    if (p.narrow) { /* one block of channels or two: a thread a position */
        const i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
        if (at >= p.positions)
            return;
        const i64 row = (i64)blockIdx.z * p.positions * p.channels + at;
        const i64 last = ((i64)blockIdx.z * p.positions + at) * (X_LAST ? p.x_ld : p.y_ld);
        float v[8];
#if X_LAST
        if (p.stored == 8)
            dyno_load<8>(v, (const T *)p.x + last);
        else
            dyno_load<4>(*(float (*)[4])v, (const T *)p.x + last);
#pragma unroll
        for (int c = 0; c < 8; c++)
            if (c < p.channels)
                ((TO *)p.y)[row + c * p.positions] = dyno_of_f32<TO>(v[c]);
#else
#pragma unroll
        for (int c = 0; c < 8; c++)
            v[c] = c < p.channels ? dyno_to_f32(((const T *)p.x)[row + c * p.positions]) : 0.0f;
        if (p.stored == 8)
            dyno_store<8>((TO *)p.y + last, v);
        else
            dyno_store<4>((TO *)p.y + last, *(const float (*)[4])v);
#endif
        return;
    }
#endif
    const int lane = threadIdx.x & 31, row = threadIdx.x >> 5;
    const int c0 = (int)blockIdx.y * 32;
    const i64 s0 = (i64)blockIdx.x * 32;
    const i64 n = blockIdx.z;
    const T *x = (const T *)p.x + n * p.positions * (X_LAST ? p.x_ld : p.channels);
    TO *y = (TO *)p.y + n * p.positions * (Y_LAST ? p.y_ld : p.channels);
#pragma unroll
    for (int i = row; i < 32; i += 8) {
        const int c = c0 + (X_LAST ? lane : i);
        const i64 s = s0 + (X_LAST ? i : lane);
        float v = 0.0f;
        if (c < p.channels && s < p.positions)
            v = dyno_to_f32(x[X_LAST ? s * p.x_ld + c : c * p.positions + s]);
        tile[X_LAST ? lane : i][X_LAST ? i : lane] = v;
    }
    __syncthreads();
#pragma unroll
    for (int i = row; i < 32; i += 8) {
        const int c = c0 + (Y_LAST ? lane : i);
        const i64 s = s0 + (Y_LAST ? i : lane);
        const float v = tile[Y_LAST ? lane : i][Y_LAST ? i : lane];
        if (s < p.positions && c < (Y_LAST ? p.stored : p.channels))
            y[Y_LAST ? s * p.y_ld + c : c * p.positions + s] = dyno_of_f32<TO>(v);
    }
}
