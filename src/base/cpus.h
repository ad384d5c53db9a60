/* cpus.h - the processors this process may use. */
#ifndef DYNO_BASE_CPUS_H
#define DYNO_BASE_CPUS_H

/* CPUs in the affinity mask, less when a cgroup's quota (v1 or v2) gives fewer; at least 1. */
int dyno_cpus_allowed_count(void);

/* CPUs that cgroups' quotas leave, rounded up: the least one from the group that `membership` (a
 * file as /proc/self/cgroup) names up to `cgroup_root`.  INT_MAX: no quota, or nothing that can be
 * read. */
int dyno_cpus_quota_count(const char *cgroup_root, const char *membership);

/* The number of the idx-th CPU in the affinity mask (wrapping round); -1 when the mask cannot be
 * read. */
int dyno_cpus_allowed(int idx);

#endif /* DYNO_BASE_CPUS_H */
