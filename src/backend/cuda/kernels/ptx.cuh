/* ptx.cuh - the instructions that CUDA C++ has no name for, one function each; before everything
 * else.  Nothing outside of this file is assembly, so that whoever has no GPU can give these
 * functions another meaning (tests/cuda/emulate).
 *
 * `at`: an address in shared memory, as __cvta_generic_to_shared gives it.  f16, bf16: prelude.cuh.
 * Layouts of matrices in registers are those of the PTX manual, "Matrix multiply-accumulate".
 */
struct f16;
struct bf16;

/* --- 16-bit numbers, as bits --- */

__device__ __forceinline__ float ptx_of_f16(unsigned short x)
{
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
}

__device__ __forceinline__ unsigned short ptx_to_f16(float x)
{
    unsigned short y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ unsigned short ptx_to_bf16(float x)
{
    unsigned short y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}

/* 2 to the x and 1 / x by the units for functions: a last bit or two off, what is less than 2^-126
 * is 0. */
__device__ __forceinline__ float ptx_exp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float ptx_recip(float x)
{
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* Both as T, `low` in the low half. */
template <typename T> __device__ __forceinline__ unsigned ptx_pack(float low, float high);

/* --- copies into shared memory that run on --- */

/* 16 bytes to `at`, which begin with bytes[n] of `from`; the rest is zeros. */
__device__ __forceinline__ void ptx_copy16(unsigned at, const void *from, int n)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(n));
}

/* The copies of this thread since the last call are a group. */
__device__ __forceinline__ void ptx_copies_commit()
{
    asm volatile("cp.async.commit_group;");
}

/* All groups of this thread but the last LEFT are there. */
template <int LEFT> __device__ __forceinline__ void ptx_copies_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT));
}

/* --- matrices of 16-bit numbers, by a warp --- */

/* Four of 8 x 8: lane i gives the address of row i % 8 of matrix i / 8. */
__device__ __forceinline__ void ptx_load_matrices(unsigned (&r)[4], unsigned at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at));
}

/* The same, each transposed. */
__device__ __forceinline__ void ptx_load_turned(unsigned (&r)[4], unsigned at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at));
}

/* The bits of an f32 with the ten behind the point that tensor cores read, to the nearest. */
__device__ __forceinline__ unsigned ptx_to_tf32(unsigned x)
{
    unsigned y;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(__int_as_float((int)x)));
    return y;
}

/* c (16 x 8, f32) += a (16 x 16, rows) * b (16 x 8, columns), elements T; float: TF32, and half of
 * the depth. */
template <typename T>
__device__ __forceinline__ void ptx_multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0,
                                             unsigned b1);

/* --- groups of four warps that multiply out of shared memory (compute capability 9.0) --- */

/* d (64 x 32, 64 x 64 or 64 x 128, f32) += a (64 x 16) * b, given by descriptors of shared memory;
 * runs on. */
template <typename T>
__device__ __forceinline__ void ptx_multiply_32(float (*d)[4], unsigned long long a,
                                                unsigned long long b);
template <typename T>
__device__ __forceinline__ void ptx_multiply_64(float (*d)[4], unsigned long long a,
                                                unsigned long long b);
template <typename T>
__device__ __forceinline__ void ptx_multiply_128(float (*d)[4], unsigned long long a,
                                                 unsigned long long b);

/* Before the first: registers are in order. */
__device__ __forceinline__ void ptx_products_fence()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void ptx_products_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Those of all groups but the last LEFT are done. */
template <int LEFT> __device__ __forceinline__ void ptx_products_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
}

/* x is not read before what was waited for. */
__device__ __forceinline__ void ptx_settle(float &x)
{
    asm volatile("" : "+f"(x)::"memory");
}

/* What this thread copied is seen by the tensor cores. */
__device__ __forceinline__ void ptx_proxy_fence()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* --- copies that a barrier counts (compute capability 9.0) --- */

/* A barrier of 8 bytes, on which so many threads arrive a phase; seen by copies once the block has
 * met. */
__device__ __forceinline__ void ptx_barrier_init(unsigned at, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\nfence.mbarrier_init.release.cluster;" ::"r"(
                     at),
                 "r"(arrivals)
                 : "memory");
}

/* Arrives; the phase ends when so many more bytes have been copied, too. */
__device__ __forceinline__ void ptx_barrier_expect(unsigned at, int bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at), "r"(bytes)
                 : "memory");
}

/* The phase of that parity has ended; what it waited for is seen, also by the tensor cores. */
__device__ __forceinline__ void ptx_barrier_wait(unsigned at, int parity)
{
    asm volatile("{\n.reg .pred done;\nagain:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@!done bra again;\n}" ::"r"(at),
                 "r"(parity)
                 : "memory");
}

/* Bytes (a multiple of 16, as are the addresses), counted by a barrier of the block. */
__device__ __forceinline__ void ptx_bulk_copy(unsigned to, const void *from, int bytes,
                                              unsigned barrier)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1], %2, [%3];" ::"r"(to),
                 "l"(from), "r"(bytes), "r"(barrier)
                 : "memory");
}

/* --- clusters (compute capability 9.0) --- */

/* All threads of the cluster meet. */
__device__ __forceinline__ void ptx_cluster_meet()
{
    __syncwarp(); /* its lanes arrive together */
    asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
}

/* `at` in block `rank` of the cluster, and what lies there. */
__device__ __forceinline__ unsigned ptx_cluster_at(unsigned at, int rank)
{
    unsigned there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(at), "r"(rank));
    return there;
}

__device__ __forceinline__ float ptx_cluster_load(unsigned at)
{
    float x;
    asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(x) : "r"(at));
    return x;
}

/* Four neighbours; `at` is a multiple of 16. */
__device__ __forceinline__ void ptx_cluster_load4(float *x, unsigned at)
{
    asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(x[0]), "=f"(x[1]), "=f"(x[2]), "=f"(x[3])
                 : "r"(at));
}

/* --- those that name the element type --- */

#define PTX_D4(i)  "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define PTX_D16(i) PTX_D4(i), PTX_D4(i + 1), PTX_D4(i + 2), PTX_D4(i + 3)
#define PTX_TYPE(T)                                                                                \
    template <> __device__ __forceinline__ unsigned ptx_pack<T>(float low, float high)             \
    {                                                                                              \
        unsigned both;                                                                             \
        asm("cvt.rn." #T "x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));                 \
        return both;                                                                               \
    }                                                                                              \
    template <>                                                                                    \
    __device__ __forceinline__ void ptx_multiply<T>(float(&c)[4], const unsigned(&a)[4],           \
                                                    unsigned b0, unsigned b1)                      \
    {                                                                                              \
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." #T "." #T                            \
                     ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"        \
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                              \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));              \
    }                                                                                              \
    template <>                                                                                    \
    __device__ __forceinline__ void ptx_multiply_32<T>(float(*d)[4], unsigned long long a,         \
                                                       unsigned long long b)                       \
    {                                                                                              \
        asm volatile("wgmma.mma_async.sync.aligned.m64n32k16.f32." #T "." #T                       \
                     " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, "   \
                     "%16, %17, 1, 1, 1, 0, 0;"                                                    \
                     : PTX_D16(0)                                                                  \
                     : "l"(a), "l"(b));                                                            \
    }                                                                                              \
    template <>                                                                                    \
    __device__ __forceinline__ void ptx_multiply_64<T>(float(*d)[4], unsigned long long a,         \
                                                       unsigned long long b)                       \
    {                                                                                              \
        asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32." #T "." #T                       \
                     " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "    \
                     "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, " \
                     "%31}, %32, %33, 1, 1, 1, 0, 0;"                                              \
                     : PTX_D16(0), PTX_D16(4)                                                      \
                     : "l"(a), "l"(b));                                                            \
    }                                                                                              \
    template <>                                                                                    \
    __device__ __forceinline__ void ptx_multiply_128<T>(float(*d)[4], unsigned long long a,        \
                                                        unsigned long long b)                      \
    {                                                                                              \
        asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32." #T "." #T                      \
                     " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "    \
                     "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, " \
                     "%31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, " \
                     "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, " \
                     "%61, %62, %63}, %64, %65, 1, 1, 1, 0, 0;"                                    \
                     : PTX_D16(0), PTX_D16(4), PTX_D16(8), PTX_D16(12)                             \
                     : "l"(a), "l"(b));                                                            \
    }
PTX_TYPE(f16)
PTX_TYPE(bf16)

template <>
__device__ __forceinline__ void ptx_multiply<float>(float (&c)[4], const unsigned (&a)[4],
                                                    unsigned b0, unsigned b1)
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, "
                 "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
