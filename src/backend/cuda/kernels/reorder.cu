/* reorder.cu - a tensor in another layout and element type.
 *
 * Choices: T, TO (types of x and y), X_LAST, Y_LAST (0: rows, 1: channels last).
 * Tiles go through shared memory, so that both sides are read and written along their fastest axis:
 * rows by neighbouring threads, channels by 16 bytes a thread.  What a warp writes there or reads,
 * eight positions of 16-bit channels or four of f32, lies in 32 different banks.
 */
#define TILE_C 32
#define TILE_S 64

extern "C" __global__ void __launch_bounds__(256)
    dyno_main(const __grid_constant__ dyno_gpu_reorder p)
{
    __shared__ float tile[TILE_C][TILE_S + 1];
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
    const i64 s0 = (i64)blockIdx.x * TILE_S;
    const int c0 = (int)blockIdx.y * TILE_C;
    const i64 n = blockIdx.z;
    const T *x = (const T *)p.x + n * p.positions * (X_LAST ? p.x_ld : p.channels);
    TO *y = (TO *)p.y + n * p.positions * (Y_LAST ? p.y_ld : p.channels);
#if X_LAST
    constexpr int VX = 16 / sizeof(T);
#pragma unroll
    for (int i = threadIdx.x; i < TILE_S * TILE_C / VX; i += 256) {
        const int c = i % (TILE_C / VX) * VX, s = i / (TILE_C / VX);
        float v[VX] = {0.0f};
        if (c0 + c < p.channels && s0 + s < p.positions)
            dyno_load<VX>(v, x + (s0 + s) * p.x_ld + c0 + c);
#pragma unroll
        for (int k = 0; k < VX; k++)
            tile[c + k][s] = v[k];
    }
#else
#pragma unroll
    for (int i = threadIdx.x; i < TILE_S * TILE_C; i += 256) {
        const int c = i / TILE_S, s = i % TILE_S;
        const bool is_there = c0 + c < p.channels && s0 + s < p.positions;
        tile[c][s] = is_there ? dyno_to_f32(x[(c0 + c) * p.positions + s0 + s]) : 0.0f;
    }
#endif
    __syncthreads();
#if Y_LAST
    constexpr int VY = 16 / sizeof(TO);
#pragma unroll
    for (int i = threadIdx.x; i < TILE_S * TILE_C / VY; i += 256) {
        const int c = i % (TILE_C / VY) * VY, s = i / (TILE_C / VY);
        float v[VY];
#pragma unroll
        for (int k = 0; k < VY; k++)
            v[k] = tile[c + k][s];
        if (c0 + c < p.stored && s0 + s < p.positions)
            dyno_store<VY>(y + (s0 + s) * p.y_ld + c0 + c, v);
    }
#else
#pragma unroll
    for (int i = threadIdx.x; i < TILE_S * TILE_C; i += 256) {
        const int c = i / TILE_S, s = i % TILE_S;
        if (c0 + c < p.channels && s0 + s < p.positions)
            y[(c0 + c) * p.positions + s0 + s] = dyno_of_f32<TO>(tile[c][s]);
    }
#endif
}
