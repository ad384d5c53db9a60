/* stats.h - the statistics of certificates: pure functions of numbers, without a clock and without
 * a device.  Any thread.
 *
 * Ratios are kept as natural logarithms: 0 is "the same", and A against B is minus B against A.
 */
#ifndef DYNO_METER_CERT_STATS_H
#define DYNO_METER_CERT_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define DYNO_CERT_RESAMPLES     10000U
#define DYNO_CERT_PROCESSES_MIN 2U /* that an interval can be made of; a certificate wants 5 */
#define DYNO_CERT_PROCESSES_MAX 16U
#define DYNO_CERT_HALF_WIDTH    0.03 /* an A/A control's interval is narrower (log) */
#define DYNO_CERT_CLOCK_DRIFT   0.02 /* largest change of the clock inside a block */
#define DYNO_CERT_STEAL         0.02 /* largest share of a block that others may take */
#define DYNO_CERT_SHIFT         0.03 /* a smaller change of level (log) is not a change ... */
#define DYNO_CERT_SHIFT_ERRORS  5.0  /* ... and neither is one under so many standard errors */
#define DYNO_CERT_MARGIN        0.05 /* certificates within it are equal */
#define DYNO_CERT_BATCH_SLACK   0.05 /* the reference batch is so near to the best throughput */

/* --- intervals --- */

struct dyno_cert_interval {
    double lower, value, upper;
};

/* The values that one process gave. */
struct dyno_cert_group {
    const double *values;
    uint32_t count;
};

/* The mean of the groups' means, and its 95 % interval by the two-level bootstrap: processes are
 * drawn with replacement, then values inside each, DYNO_CERT_RESAMPLES times.  Two-sided, so each
 * end is a bound that is passed with 2.5 % probability.
 *
 * The quantiles taken are not 2.5 % and 97.5 %, which are too narrow for few processes (five: they
 * hold the truth in 84 to 88 cases of 100), but those further out that make up for it (92 to 97 of
 * 100): the expanded percentile interval (Hesterberg, "What Teachers Should Know About the
 * Bootstrap", 2015, section 4.4).  The same seed gives the same interval.
 *
 * E_ARG: fewer than DYNO_CERT_PROCESSES_MIN or more than DYNO_CERT_PROCESSES_MAX groups, or an
 * empty one.  E_NOMEM. */
DYNO_NODISCARD enum dyno_status dyno_cert_bootstrap(const struct dyno_cert_group *groups,
                                                    uint32_t group_count, uint64_t seed,
                                                    struct dyno_cert_interval *interval_out,
                                                    struct dyno_err *err);

/* The share of resamples below the lower end, for so many processes. */
double dyno_cert_tail(uint32_t group_count);

/* --- rules --- */

/* An A/A control: 0 lies inside, and half the width is under DYNO_CERT_HALF_WIDTH. */
bool dyno_cert_control_holds(const struct dyno_cert_interval *log_ratio);

/* The split of values[count] that changes the level most, in standard errors. */
struct dyno_cert_change {
    uint32_t at;   /* the first value of the new level */
    double shift;  /* new level minus old one */
    double errors; /* |shift| in standard errors; infinite where there is no spread */
};
/* False when the level changes inside the series: by over DYNO_CERT_SHIFT and by over
 * DYNO_CERT_SHIFT_ERRORS standard errors.  Fewer than 4 values are steady. */
bool dyno_cert_is_steady(const double *values, uint32_t count, struct dyno_cert_change *change_out);

/* Did the clock stand still?  chain_ns: times of the same chain of instructions, > 0. */
bool dyno_cert_clock_held(const uint64_t *chain_ns, uint32_t count);

/* The place of the reference batch in items_s[count], throughputs of growing batches: the first
 * within DYNO_CERT_BATCH_SLACK of the best.  count > 0. */
uint32_t dyno_cert_reference_batch(const double *items_s, uint32_t count);

enum dyno_cert_verdict {
    DYNO_CERT_STANDS,    /* the whole interval lies within the margin */
    DYNO_CERT_FALLS,     /* the whole interval lies outside */
    DYNO_CERT_UNDECIDED, /* it crosses the margin: measure more, or more quietly */
};
/* Is what was measured again (log) the same as what was certified, within DYNO_CERT_MARGIN? */
enum dyno_cert_verdict dyno_cert_equivalence(const struct dyno_cert_interval *again,
                                             double certified);

/* --- percentiles with early stopping (MLPerf Inference, rules, "Early Stopping") --- */

/* The least number of queries of which `over` may be over the latency bound so that the p-th
 * percentile is under the bound with 99 % confidence.  p_1e4: 9900 is the 99th percentile, in
 * [5000, 9999]; over < 2^20. */
uint64_t dyno_cert_queries_needed(uint32_t p_1e4, uint64_t over);

/* How many of `queries` may be over the bound; -1 when there are too few queries to tell. */
int64_t dyno_cert_over_allowed(uint32_t p_1e4, uint64_t queries);

/* An upper bound of the p-th percentile with 99 % confidence; false with too few queries. */
bool dyno_cert_percentile(const uint64_t *sorted_ns, uint64_t count, uint32_t p_1e4,
                          uint64_t *bound_ns_out);

/* --- the Server scenario --- */

/* How long runs of `batch` queries took, in the order measured. */
struct dyno_cert_service {
    uint32_t batch;
    uint32_t count;
    const uint64_t *run_ns;
};

#define DYNO_CERT_SERVER_QUERIES 4000U

/* The highest rate, in queries a million seconds, at which a device that runs one batch at a time
 * keeps the p-th percentile of latency under bound_ns: Poisson arrivals, first come first served, a
 * free device takes the largest batch of rows[row_count] that is waiting.  The queue is played in
 * virtual time over the measured run times; rows are sorted by batch and the first one has batch 1.
 * 0: no rate keeps it.  batch_out: the largest batch that was allowed, the best one. */
uint64_t dyno_cert_server_rate(const struct dyno_cert_service *rows, uint32_t row_count,
                               uint32_t p_1e4, uint64_t bound_ns, uint64_t seed,
                               uint32_t *batch_out);

/* --- the watch over a certificate in force --- */

/* Wald's sequential test, both ways: the ratio is as certified, or it is off by the margin.
 * Zeroed is "nothing seen". */
struct dyno_cert_watch {
    double below, above; /* log-likelihood ratios of "off by -margin", "off by +margin" */
    uint32_t seen;
};

/* Chances of a false alarm and of a miss. */
#define DYNO_CERT_WATCH_ALARM 0.001
#define DYNO_CERT_WATCH_MISS  0.05

/* One more log-ratio of live inputs, run back to back.  spread: the standard deviation of such a
 * ratio, > 0 (a certificate's own blocks tell it).  STANDS or FALLS ends the test, and it begins
 * again with the next one; UNDECIDED: more are wanted. */
enum dyno_cert_verdict dyno_cert_watch_add(struct dyno_cert_watch *watch, double log_ratio,
                                           double certified, double spread);

#endif /* DYNO_METER_CERT_STATS_H */
