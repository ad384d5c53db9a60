/* simd.h - one vector of floats, as wide as the instruction set the file is compiled for.
 *
 * A kernel body (cpu/body) is written once on these; cpu/<isa>/<name>.c includes the body and is
 * compiled with the flags of its folder.  vf holds LANES floats, vi as many int32, vm is what a
 * comparison gives.  LANES divides 16, the width of a channel block.
 *
 * NaN: vf_min(a, b) is a < b ? a : b and vf_max(a, b) is a > b ? a : b, so the second operand comes
 * out when either is NaN.  vf_fma may or may not round twice.
 */
#ifndef DYNO_BACKEND_CPU_SIMD_H
#define DYNO_BACKEND_CPU_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define DYNO_CPU_PASTE2(a, b) a##_##b
#define DYNO_CPU_PASTE(a, b)  DYNO_CPU_PASTE2(a, b)
#define DYNO_CPU_TEXT2(a)     #a
#define DYNO_CPU_TEXT(a)      DYNO_CPU_TEXT2(a)

/* The kernel object of this instruction set, and the tail of its name. */
#define DYNO_CPU_KERNEL(name)      DYNO_CPU_PASTE(DYNO_CPU_PASTE(dyno_kernel, DYNO_CPU_ISA), name)
#define DYNO_CPU_KERNEL_NAME(name) name "_" DYNO_CPU_TEXT(DYNO_CPU_ISA)
/* A function that exists once an instruction set. */
#define DYNO_CPU_FN(name)          DYNO_CPU_PASTE(name, DYNO_CPU_ISA)

#if defined(__AVX512F__)
#define DYNO_CPU_ISA      avx512
#define DYNO_CPU_ISA_MASK (DYNO_ISA_AVX2 | DYNO_ISA_AVX512)
#define DYNO_CPU_ISA_COST 1.0 /* how estimates of one kernel rank its instruction sets */
#include "backend/cpu/simd_avx512.h"
#elif defined(__AVX2__)
#define DYNO_CPU_ISA      avx2
#define DYNO_CPU_ISA_MASK DYNO_ISA_AVX2
#define DYNO_CPU_ISA_COST 1.1
#include "backend/cpu/simd_avx2.h"
#else
#define DYNO_CPU_ISA      portable
#define DYNO_CPU_ISA_MASK DYNO_ISA_PORTABLE
#define DYNO_CPU_ISA_COST 2.0
#include "backend/cpu/simd_portable.h"
#endif

static inline vf vf_neg(vf a)
{
    return vf_xor(a, vf_set1(-0.0F));
}

/* x < 0 ? 0 : x; NaN stays NaN. */
static inline vf vf_relu(vf x)
{
    return vf_max(vf_zero(), x);
}

/* x < lo ? lo : (x > hi ? hi : x) for lo <= hi; NaN stays NaN. */
static inline vf vf_clip(vf x, vf lo, vf hi)
{
    return vf_max(lo, vf_min(hi, x));
}

/* Magnitude of a, sign of b. */
static inline vf vf_copysign(vf a, vf b)
{
    return vf_or(vf_abs(a), vf_and(b, vf_set1(-0.0F)));
}

#endif /* DYNO_BACKEND_CPU_SIMD_H */
