/* fp.h - this thread's floating-point environment: what happens to subnormal numbers.
 *
 * Subnormals cost a hundred times a normal operation on some processors and carry nothing a network
 * can use.  A run flushes them to zero and puts the caller's environment back afterwards.
 */
#ifndef DYNO_BASE_FP_H
#define DYNO_BASE_FP_H

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#define DYNO_FP_FLUSH 0x8040U /* MXCSR: flush to zero, denormals are zero */

/* The control word; 0 where there is none to change. */
static inline unsigned dyno_fp_control(void)
{
#if defined(__x86_64__)
    return _mm_getcsr();
#else
    return 0;
#endif
}

static inline void dyno_fp_set(unsigned control)
{
#if defined(__x86_64__)
    _mm_setcsr(control);
#else
    (void)control;
#endif
}

/* Flush subnormals from here on; returns the control word to put back. */
static inline unsigned dyno_fp_flush(void)
{
    const unsigned before = dyno_fp_control();
    dyno_fp_set(before | DYNO_FP_FLUSH);
    return before;
}

#endif /* DYNO_BASE_FP_H */
