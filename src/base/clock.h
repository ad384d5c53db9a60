/* clock.h - time.  Any thread. */
#ifndef DYNO_BASE_CLOCK_H
#define DYNO_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC, nanoseconds. */
uint64_t dyno_clock_ns(void);

/* CPU time of this process, nanoseconds. */
uint64_t dyno_clock_cpu_ns(void);

#endif /* DYNO_BASE_CLOCK_H */
