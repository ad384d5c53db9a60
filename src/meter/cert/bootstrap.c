/* bootstrap.c - intervals by resampling at two levels. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "meter/cert/random.h"
#include "meter/cert/stats.h"

double dyno_cert_tail(uint32_t group_count)
{
    /* Phi(-sqrt(n / (n - 1)) * t), t: the 97.5 % quantile of Student's distribution with n - 1
     * degrees of freedom; n = 2, 3, ... */
    static const double tails[] = {3.5e-72,      6.8e-8,       0.00011903074, 0.00095410055,
                                   0.0024318032, 0.0041091538, 0.0057375175,  0.0072248192,
                                   0.0085506390, 0.0097224069, 0.010756615,   0.011671301,
                                   0.012483255,  0.013207173,  0.013855570};
    const uint32_t idx = group_count - DYNO_CERT_PROCESSES_MIN;
    DYNO_ASSERT(group_count >= DYNO_CERT_PROCESSES_MIN && idx < DYNO_COUNT(tails));
    return tails[idx];
}

static double mean_of(const double *values, uint32_t count)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < count; i++)
        sum += values[i];
    return sum / (double)count;
}

static double resample(const struct dyno_cert_group *groups, uint32_t group_count,
                       struct dyno_rng *rng)
{
    double sum = 0.0;
    for (uint32_t g = 0; g < group_count; g++) {
        const struct dyno_cert_group *group = &groups[dyno_rng_below(rng, group_count)];
        double inner = 0.0;
        for (uint32_t i = 0; i < group->count; i++)
            inner += group->values[dyno_rng_below(rng, group->count)];
        sum += inner / (double)group->count;
    }
    return sum / (double)group_count;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

enum dyno_status dyno_cert_bootstrap(const struct dyno_cert_group *groups, uint32_t group_count,
                                     uint64_t seed, struct dyno_cert_interval *interval_out,
                                     struct dyno_err *err)
{
    *interval_out = (struct dyno_cert_interval){0};
    if (group_count < DYNO_CERT_PROCESSES_MIN || group_count > DYNO_CERT_PROCESSES_MAX)
        return DYNO_FAIL(err, DYNO_E_ARG, "an interval of %u processes: wants %u to %u",
                         group_count, DYNO_CERT_PROCESSES_MIN, DYNO_CERT_PROCESSES_MAX);
    double sum = 0.0;
    for (uint32_t g = 0; g < group_count; g++) {
        if (groups[g].count == 0)
            return DYNO_FAIL(err, DYNO_E_ARG, "process %u of %u has no blocks", g + 1, group_count);
        sum += mean_of(groups[g].values, groups[g].count);
    }
    double *means = dyno_alloc_raw(DYNO_CERT_RESAMPLES, sizeof(*means));
    if (means == NULL)
        return DYNO_NOMEM(err);
    struct dyno_rng rng;
    dyno_rng_seed(&rng, seed);
    for (uint32_t r = 0; r < DYNO_CERT_RESAMPLES; r++)
        means[r] = resample(groups, group_count, &rng);
    qsort(means, DYNO_CERT_RESAMPLES, sizeof(*means), by_value);
    const uint32_t below = (uint32_t)(dyno_cert_tail(group_count) * DYNO_CERT_RESAMPLES);
    const uint32_t rank = below > 0 ? below - 1 : 0;
    *interval_out = (struct dyno_cert_interval){.lower = means[rank],
                                                .value = sum / (double)group_count,
                                                .upper = means[DYNO_CERT_RESAMPLES - 1 - rank]};
    dyno_free(means);
    return DYNO_OK;
}
