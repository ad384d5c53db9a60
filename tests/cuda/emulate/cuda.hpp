/* cuda.hpp - the CUDA C++ that our templates are written in, for the host's compiler.  Behind
 * program.h and before the text of a program; nvrtc.c has rewritten what no macro can say.
 */
typedef unsigned long size_t;

#define __CUDA_ARCH__ (EMULATE_COMPUTE * 10)
#define __global__
#define __device__
#define __forceinline__ inline
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define __shared__   static __attribute__((section("emulate_shared")))

extern "C" {
const emulate_now *emulate_now;
float ceilf(float);
float cosf(float);
float erff(float);
float exp2f(float);
float expf(float);
float expm1f(float);
float fabsf(float);
float floorf(float);
float fmaf(float, float, float);
float fmaxf(float, float);
float fminf(float, float);
float log1pf(float);
float logf(float);
float nearbyintf(float);
float powf(float, float);
float sinf(float);
float sqrtf(float);
float tanhf(float);
double ceil(double);
double floor(double);
}

#define threadIdx (emulate_now->thread)
#define blockIdx  (emulate_now->block)
#define blockDim  (emulate_now->block_dim)
#define gridDim   (emulate_now->grid_dim)

struct float2 {
    float x, y;
} __attribute__((aligned(8)));
struct float4 {
    float x, y, z, w;
} __attribute__((aligned(16)));

inline float2 make_float2(float x, float y)
{
    return {x, y};
}
inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}
inline float __int_as_float(int x)
{
    float y;
    __builtin_memcpy(&y, &x, sizeof(y));
    return y;
}
inline int __float_as_int(float x)
{
    int y;
    __builtin_memcpy(&y, &x, sizeof(y));
    return y;
}
inline float __expf(float x)
{
    return expf(x);
}

inline void __syncthreads()
{
    emulate_now->block_meet();
}
inline float __shfl_xor_sync(unsigned, float x, int lane_mask)
{
    emulate_shuffle lane = {x, lane_mask};
    emulate_now->warp_meet(EMULATE_SHUFFLE, &lane);
    return lane.value;
}
inline void __syncwarp()
{
    (void)__shfl_xor_sync(0xffffffffu, 0.0f, 1); /* where all lanes meet */
}
inline size_t __cvta_generic_to_shared(const void *p)
{
    return EMULATE_SHARED_AT +
           (size_t)(static_cast<const unsigned char *>(p) - emulate_now->dynamic);
}

/* `extern __shared__ T name[]` became this. */
#define EMULATE_DYNAMIC(T, name) T *const name = reinterpret_cast<T *>(emulate_now->dynamic)
