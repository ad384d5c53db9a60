/* cpus.c - affinity mask and cgroup quotas. */
#include "base/cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int ceil_div(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return INT_MAX;
    const long long cpus = quota / period + (quota % period != 0);
    return cpus < INT_MAX ? (int)cpus : INT_MAX;
}

/* Quota of one cgroup v2 directory, in CPUs; INT_MAX when it has none. */
static int quota_v2(const char *folder)
{
    char path[PATH_MAX];
    char text[64] = "";
    if (snprintf(path, sizeof(path), "%s/cpu.max", folder) >= (int)sizeof(path))
        return INT_MAX;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return INT_MAX;
    const char *line = fgets(text, sizeof(text), file);
    (void)fclose(file);
    if (line == NULL || strncmp(line, "max", 3) == 0)
        return INT_MAX;
    char *rest = NULL;
    const long long quota = strtoll(line, &rest, 10);
    return ceil_div(quota, strtoll(rest, NULL, 10));
}

static long long number_in(const char *path)
{
    char text[64] = "";
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    const char *line = fgets(text, sizeof(text), file);
    (void)fclose(file);
    return line != NULL ? strtoll(line, NULL, 10) : 0;
}

int dyno_cpus_quota_count(const char *cgroup_root, const char *membership)
{
    char path[PATH_MAX];
    char line[PATH_MAX] = "";
    char folder[2 * PATH_MAX];
    long long v1[2] = {0, 0};
    static const char *const v1_names[2] = {"cpu.cfs_quota_us", "cpu.cfs_period_us"};
    for (int i = 0; i < 2; i++)
        if (snprintf(path, sizeof(path), "%s/cpu/%s", cgroup_root, v1_names[i]) < (int)sizeof(path))
            v1[i] = number_in(path);
    int least = ceil_div(v1[0], v1[1]);
    if (snprintf(folder, sizeof(folder), "%s", cgroup_root) >= PATH_MAX)
        return least;
    FILE *file = fopen(membership, "re");
    if (file != NULL) {
        while (fgets(line, sizeof(line), file) != NULL) {
            line[strcspn(line, "\n")] = 0;
            if (strncmp(line, "0::/", 4) == 0)
                (void)snprintf(folder, sizeof(folder), "%s%s", cgroup_root, line + 3);
        }
        (void)fclose(file);
    }
    while (strlen(folder) >= strlen(cgroup_root)) {
        const int quota = quota_v2(folder);
        least = quota < least ? quota : least;
        char *last = strrchr(folder, '/');
        if (last == NULL)
            break;
        *last = 0;
    }
    return least;
}

int dyno_cpus_allowed_count(void)
{
    cpu_set_t mask;
    CPU_ZERO(&mask);
    int count = 1;
    if (sched_getaffinity(0, sizeof(mask), &mask) == 0 && CPU_COUNT(&mask) > 0)
        count = CPU_COUNT(&mask);
    const int quota = dyno_cpus_quota_count("/sys/fs/cgroup", "/proc/self/cgroup");
    return quota < count ? quota : count;
}

int dyno_cpus_allowed(int idx)
{
    cpu_set_t mask;
    CPU_ZERO(&mask);
    if (sched_getaffinity(0, sizeof(mask), &mask) != 0 || CPU_COUNT(&mask) == 0)
        return -1;
    int left = idx % CPU_COUNT(&mask);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((size_t)cpu, &mask) && left-- == 0)
            return cpu;
    return -1;
}
