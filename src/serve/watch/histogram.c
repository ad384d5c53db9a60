/* histogram.c - Prometheus text of a histogram. */
#include "serve/watch/histogram.h"

void dyno_histogram_write(const struct dyno_histogram *histogram, const char *name,
                          const char *labels, struct dyno_strbuf *out)
{
    const char *comma = labels[0] != 0 ? "," : "";
    uint64_t total = 0;
    for (int i = 0; i <= DYNO_HISTOGRAM_BUCKETS; i++) {
        total += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        dyno_strbuf_printf(out, "%s_bucket{%s%sle=\"", name, labels, comma);
        if (i < DYNO_HISTOGRAM_BUCKETS)
            dyno_strbuf_printf(out, "%g",
                               (double)(UINT64_C(1) << (i + DYNO_HISTOGRAM_FIRST)) * 1e-6);
        else
            dyno_strbuf_puts(out, "+Inf");
        dyno_strbuf_printf(out, "\"} %llu\n", (unsigned long long)total);
    }
    const uint64_t sum_ns = atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed);
    dyno_strbuf_printf(out, "%s_sum{%s} %.9f\n%s_count{%s} %llu\n", name, labels,
                       (double)sum_ns * 1e-9, name, labels, (unsigned long long)total);
}
