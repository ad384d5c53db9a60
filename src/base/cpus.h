/* cpus.h - the processors this process may use. */
#ifndef DYNO_BASE_CPUS_H
#define DYNO_BASE_CPUS_H

/* CPUs in the affinity mask, less when a cgroup's quota (v1 or v2) gives fewer; at least 1. */
int dyno_cpus_allowed_count(void);

/* The number of the idx-th CPU in the affinity mask (wrapping round); -1 when the mask cannot be
 * read. */
int dyno_cpus_allowed(int idx);

#endif /* DYNO_BASE_CPUS_H */
