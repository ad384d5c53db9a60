/* tally.c - sums. */
#include "serve/watch/tally.h"

static uint64_t get(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void sum_histogram(const struct dyno_histogram *from, struct dyno_histogram *sum)
{
    for (int i = 0; i <= DYNO_HISTOGRAM_BUCKETS; i++)
        dyno_tally_add(&sum->counts[i], get(&from->counts[i]));
    dyno_tally_add(&sum->sum_ns, get(&from->sum_ns));
}

void dyno_tally_sum(const struct dyno_tally *from, struct dyno_tally *sum)
{
    dyno_tally_add(&sum->begun_count, get(&from->begun_count));
    dyno_tally_add(&sum->success_count, get(&from->success_count));
    dyno_tally_add(&sum->success_ns, get(&from->success_ns));
    for (int i = 0; i < DYNO_FAIL_REASONS; i++)
        dyno_tally_add(&sum->fail_count[i], get(&from->fail_count[i]));
    dyno_tally_add(&sum->fail_ns, get(&from->fail_ns));
    dyno_tally_add(&sum->queue_ns, get(&from->queue_ns));
    dyno_tally_add(&sum->input_ns, get(&from->input_ns));
    dyno_tally_add(&sum->infer_ns, get(&from->infer_ns));
    dyno_tally_add(&sum->output_ns, get(&from->output_ns));
    dyno_tally_add(&sum->inference_count, get(&from->inference_count));
    dyno_tally_add(&sum->device_ns, get(&from->device_ns));
    if (get(&from->last_ms) > get(&sum->last_ms))
        atomic_store_explicit(&sum->last_ms, get(&from->last_ms), memory_order_relaxed);
    sum_histogram(&from->request, &sum->request);
    sum_histogram(&from->queue, &sum->queue);
    sum_histogram(&from->compute, &sum->compute);
}

const char *dyno_fail_reason_text(enum dyno_fail_reason reason)
{
    switch (reason) {
    case DYNO_FAIL_REJECTED:
        return "REJECTED";
    case DYNO_FAIL_CANCELED:
        return "CANCELED";
    case DYNO_FAIL_BACKEND:
        return "BACKEND";
    case DYNO_FAIL_OTHER:
    case DYNO_FAIL_REASONS:
        break;
    }
    return "OTHER";
}
