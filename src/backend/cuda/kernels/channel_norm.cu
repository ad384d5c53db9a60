/* channel_norm.cu - Instance-, Group- and BatchNormalization, channels last: a block makes a stretch
 * of positions of 8 * VEC channels.
 *
 * Moments in two launches: of each stretch, about its first element; then those of all stretches
 * together (T. Chan, G. Golub, R. LeVeque, Updating Formulae and a Pairwise Algorithm for Computing
 * Sample Variances, 1979), by every block that needs them, before it makes its own.
 *
 * Choices: T (of x), TO (of y), VEC, MOMENTS (1: of x, 0: they are given).
 */
#define LANES    32
#define CHANNELS (8 * VEC)

struct moments {
    float count, mean, squares;
};

__device__ __forceinline__ void add(moments &a, float count, float mean, float squares)
{
    const float total = a.count + count, delta = mean - a.mean;
    a.mean += delta * (count / total);
    a.squares += squares + delta * delta * (a.count * (count / total));
    a.count = total;
}

/* Phase 0. */
__device__ __forceinline__ void measure(const dyno_gpu_channel_norm &p, const T *x, i64 first,
                                        i64 last, float (&sums)[LANES][CHANNELS],
                                        float (&squares)[LANES][CHANNELS])
{
    const int at = (int)threadIdx.x % 8 * VEC, lane = (int)threadIdx.x / 8;
    const int channel = (int)blockIdx.x * CHANNELS + at;
    float shift[VEC] = {}, sum[VEC] = {}, square[VEC] = {};
    if (channel < p.c) {
        dyno_load<VEC>(shift, x + first * p.x_ld + channel);
        for (i64 i = first + lane; i < last; i += LANES) {
            float a[VEC];
            dyno_load<VEC>(a, x + i * p.x_ld + channel);
#pragma unroll
            for (int e = 0; e < VEC; e++) {
                const float d = a[e] - shift[e];
                sum[e] += d;
                square[e] = fmaf(d, d, square[e]);
            }
        }
    }
#pragma unroll
    for (int e = 0; e < VEC; e++) {
        sums[lane][at + e] = sum[e];
        squares[lane][at + e] = square[e];
    }
    __syncthreads();
    const int mine = (int)blockIdx.x * CHANNELS + (int)threadIdx.x;
    if ((int)threadIdx.x >= CHANNELS || mine >= p.c)
        return;
    float all = 0.0f, all_squares = 0.0f;
    for (int i = 0; i < LANES; i++) {
        all += sums[i][threadIdx.x];
        all_squares += squares[i][threadIdx.x];
    }
    const float count = (float)(last - first);
    float *part = (float *)p.parts + (((i64)blockIdx.z * p.chunks + blockIdx.y) * p.c + mine) * 2;
    part[0] = dyno_to_f32(x[first * p.x_ld + mine]) + all / count;
    part[1] = fmaxf(all_squares - all * (all / count), 0.0f);
}

/* Scale and shift of channel c. */
__device__ __forceinline__ void find_affine(const dyno_gpu_channel_norm &p, int c, float &scale,
                                            float &shift)
{
    float mean = 0.0f, var = 0.0f;
    if (MOMENTS) {
        moments all = {};
        const int first = c / p.group * p.group;
        const float *parts = (const float *)p.parts + (i64)blockIdx.z * p.chunks * p.c * 2;
        for (int chunk = 0; chunk < p.chunks; chunk++) {
            const i64 left = p.positions - chunk * p.chunk;
            const float count = (float)(left < p.chunk ? left : p.chunk);
            for (int i = first; i < first + p.group; i++) {
                const float *part = parts + ((i64)chunk * p.c + i) * 2;
                add(all, count, part[0], part[1]);
            }
        }
        mean = all.mean;
        var = all.squares / all.count;
    } else {
        mean = ((const float *)p.mean)[c];
        var = ((const float *)p.var)[c];
    }
    scale = ((const float *)p.scale)[c] / sqrtf(var + p.epsilon);
    shift = ((const float *)p.bias)[c] - mean * scale;
}

extern "C" __global__ void __launch_bounds__(256)
    dyno_main(const __grid_constant__ dyno_gpu_channel_norm p)
{
    __shared__ float one[LANES][CHANNELS], other[LANES][CHANNELS];
    const i64 item = (i64)blockIdx.z * p.positions;
    const i64 first = (i64)blockIdx.y * p.chunk;
    const i64 last = first + p.chunk < p.positions ? first + p.chunk : p.positions;
    const T *x = (const T *)p.x + item * p.x_ld;
    if (MOMENTS && p.phase == 0) {
        measure(p, x, first, last, one, other);
        return;
    }
    const int mine = (int)blockIdx.x * CHANNELS + (int)threadIdx.x;
    if ((int)threadIdx.x < CHANNELS) {
        one[0][threadIdx.x] = other[0][threadIdx.x] = 0.0f;
        if (mine < p.channels)
            find_affine(p, mine, one[0][threadIdx.x], other[0][threadIdx.x]);
    }
    __syncthreads();
    const int at = (int)threadIdx.x % 8 * VEC, channel = (int)blockIdx.x * CHANNELS + at;
    if (channel >= p.c)
        return;
    for (i64 i = first + (int)threadIdx.x / 8; i < last; i += LANES) {
        const i64 place = (item + i) * p.y_ld + channel;
        float v[VEC];
        dyno_load<VEC>(v, x + i * p.x_ld + channel);
#pragma unroll
        for (int e = 0; e < VEC; e++)
            v[e] = fmaf(v[e], one[0][at + e], other[0][at + e]);
        dyno_finish(v, p, place, (int)(item + i), channel);
        dyno_store<VEC>((TO *)p.y + place, v);
    }
}
