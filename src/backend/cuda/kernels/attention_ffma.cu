/* attention_ffma.cu - softmax(scale * q . k^T + mask) . v in plain f32: a block a query and head,
 * its scores in shared memory.
 *
 * Choices: T, TO, MASK (0, 1), TM (type of the mask).
 */
extern "C" __global__ void __launch_bounds__(128)
    dyno_main(const __grid_constant__ dyno_gpu_attention p)
{
    extern __shared__ float scores[]; /* [tk], then q [dim] */
    __shared__ float folds[32];
    float *mine = scores + p.tk;
    const int row = blockIdx.x, head = blockIdx.y, batch = blockIdx.z;
    const T *q = (const T *)p.q + ((i64)batch * p.tq + row) * p.q_ld + p.q_offset + head * p.dim;
    const T *k = (const T *)p.k + (i64)batch * p.tk * p.k_ld + p.k_offset + head * p.dim;
    const T *v = (const T *)p.v + (i64)batch * p.tk * p.v_ld + p.v_offset + head * p.v_dim;
    for (int d = threadIdx.x; d < p.dim; d += blockDim.x)
        mine[d] = dyno_to_f32(q[d]);
    __syncthreads();
    float most = -__int_as_float(0x7f800000);
    for (int key = threadIdx.x; key < p.tk; key += blockDim.x) {
        const T *at = k + (i64)key * p.k_ld;
        float x = 0.0f;
        for (int d = 0; d < p.dim; d++)
            x = fmaf(mine[d], dyno_to_f32(at[d]), x);
        x *= p.scale;
#if MASK
        x += dyno_to_f32(
            ((const TM *)p.mask)[(i64)batch * p.mask_strides[0] + head * p.mask_strides[1] +
                                 row * p.mask_strides[2] + key * p.mask_strides[3]]);
#endif
        scores[key] = x;
        most = fmaxf(most, x);
    }
    most = dyno_block_fold<true>(most, folds);
    float sum = 0.0f;
    for (int key = threadIdx.x; key < p.tk; key += blockDim.x) {
        scores[key] = expf(scores[key] - most);
        sum += scores[key];
    }
    sum = dyno_block_fold<false>(sum, folds);
    __syncthreads();
    TO *out = (TO *)p.out + ((i64)batch * p.tq + row) * p.out_ld + head * p.v_dim;
    for (int d = threadIdx.x; d < p.v_dim; d += blockDim.x) {
        float x = 0.0f;
        for (int key = 0; key < p.tk; key++)
            x = fmaf(scores[key], dyno_to_f32(v[(i64)key * p.v_ld + d]), x);
        out[d] = dyno_of_f32<TO>(x / sum);
    }
}
