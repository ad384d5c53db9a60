/* tally.h - what one I/O thread counted of one variant and service class.
 *
 * Only that thread adds, so adding is a load and a store; anybody reads, and sees each number as it
 * is at some moment of his reading.
 */
#ifndef DYNO_SERVE_WATCH_TALLY_H
#define DYNO_SERVE_WATCH_TALLY_H

#include "serve/watch/histogram.h"

/* Triton's reasons for failure. */
enum dyno_fail_reason {
    DYNO_FAIL_REJECTED,
    DYNO_FAIL_CANCELED,
    DYNO_FAIL_BACKEND,
    DYNO_FAIL_OTHER,
    DYNO_FAIL_REASONS
};

struct dyno_tally {
    atomic_uint_fast64_t begun_count; /* requests; those that are neither below are pending */
    atomic_uint_fast64_t success_count, success_ns;
    atomic_uint_fast64_t fail_count[DYNO_FAIL_REASONS], fail_ns;
    atomic_uint_fast64_t queue_ns, input_ns, infer_ns, output_ns; /* of successes */
    atomic_uint_fast64_t inference_count;                         /* rows */
    atomic_uint_fast64_t device_ns;                               /* shares of runs */
    atomic_uint_fast64_t last_ms;                                 /* since the epoch */
    /* Of requests that went well: from their first byte, waiting, running. */
    struct dyno_histogram request, queue, compute;
};

static inline void dyno_tally_add(atomic_uint_fast64_t *counter, uint64_t value)
{
    const uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, before + value, memory_order_relaxed);
}

/* Adds what `from` has to `sum`, which is the caller's alone; last_ms is the later one. */
void dyno_tally_sum(const struct dyno_tally *from, struct dyno_tally *sum);

/* "REJECTED", ... */
const char *dyno_fail_reason_text(enum dyno_fail_reason reason);

#endif /* DYNO_SERVE_WATCH_TALLY_H */
