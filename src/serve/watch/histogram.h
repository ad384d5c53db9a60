/* histogram.h - durations in buckets that double, as Prometheus has histograms.
 *
 * One thread adds, so adding is a load and a store; a reader sees each bucket as it is at some
 * moment of his reading.
 */
#ifndef DYNO_SERVE_WATCH_HISTOGRAM_H
#define DYNO_SERVE_WATCH_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/strbuf.h"

#define DYNO_HISTOGRAM_BUCKETS 21 /* up to 16 us, 32 us, ... 16.8 s */
#define DYNO_HISTOGRAM_FIRST   4  /* the first bound is 2^4 us */

struct dyno_histogram {
    atomic_uint_fast64_t counts[DYNO_HISTOGRAM_BUCKETS + 1]; /* the last: longer than all bounds */
    atomic_uint_fast64_t sum_ns;
};

/* The bucket of a duration: the first whose bound is not less. */
static inline int dyno_histogram_idx(uint64_t ns)
{
    const uint64_t us = (ns + 999) / 1000;
    if (us <= UINT64_C(1) << DYNO_HISTOGRAM_FIRST)
        return 0;
    const int log = 64 - __builtin_clzll(us - 1);
    const int idx = log - DYNO_HISTOGRAM_FIRST;
    return idx < DYNO_HISTOGRAM_BUCKETS ? idx : DYNO_HISTOGRAM_BUCKETS;
}

static inline void dyno_histogram_add(struct dyno_histogram *histogram, uint64_t ns)
{
    atomic_uint_fast64_t *count = &histogram->counts[dyno_histogram_idx(ns)];
    const uint64_t before = atomic_load_explicit(count, memory_order_relaxed);
    const uint64_t sum_ns = atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed);
    atomic_store_explicit(count, before + 1, memory_order_relaxed);
    atomic_store_explicit(&histogram->sum_ns, sum_ns + ns, memory_order_relaxed);
}

/* Lines NAME_bucket, NAME_sum and NAME_count in seconds; `labels` is "a=\"b\",..." or "". */
void dyno_histogram_write(const struct dyno_histogram *histogram, const char *name,
                          const char *labels, struct dyno_strbuf *out);

#endif /* DYNO_SERVE_WATCH_HISTOGRAM_H */
