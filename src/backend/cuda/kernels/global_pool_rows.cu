/* global_pool_rows.cu - mean of all positions, in rows of f32: a warp makes a channel of one item. */
extern "C" __global__ void __launch_bounds__(256) dyno_main(const __grid_constant__ dyno_gpu_pool p)
{
    const i64 plane = (i64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    const int lane = (int)threadIdx.x % 32, positions = p.h * p.w;
    if (plane >= (i64)p.batch * p.channels)
        return;
    const float *x = (const float *)p.x + plane * positions;
    float sum = 0.0f;
    for (int i = lane; i < positions; i += 32)
        sum += x[i];
    float v[1] = {dyno_warp_sum(sum) / (float)positions};
    if (lane != 0)
        return;
    dyno_tail<1>(v, p.tail, plane, (int)plane, 0);
    dyno_store<1>((float *)p.y + plane, v);
}
