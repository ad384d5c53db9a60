/* fma.h - sum += a * b for loops whose sums live in registers (after simd.h). */
#ifndef DYNO_BACKEND_CPU_BODY_FMA_H
#define DYNO_BACKEND_CPU_BODY_FMA_H

/* Said in assembly because gcc 12 otherwise moves sums between registers, and through memory,
 * inside the loop. */
#if defined(__AVX512F__)
#define FMA(sum, a, b)     __asm__("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b))
/* The lower eight lanes alone; the others become 0. */
#define FMA_LOW(sum, a, b) __asm__("vfmadd231ps %t2, %t1, %t0" : "+v"(sum) : "v"(a), "v"(b))
#elif defined(__AVX2__)
#define FMA(sum, a, b) __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b))
#else
#define FMA(sum, a, b) ((sum) = vf_fma(a, b, sum))
#endif

#if !defined(FMA_LOW)
#define FMA_LOW FMA
#endif

#endif /* DYNO_BACKEND_CPU_BODY_FMA_H */
