/* test_histogram.c - buckets by their bounds, and the text. */
#include "serve/watch/histogram.h"

#include "test.h"

int main(void)
{
    static struct dyno_histogram histogram;
    CHECK(dyno_histogram_idx(0) == 0 && dyno_histogram_idx(16000) == 0);
    CHECK(dyno_histogram_idx(16001) == 1 && dyno_histogram_idx(32000) == 1);
    CHECK(dyno_histogram_idx(32001) == 2);
    for (int i = 0; i < DYNO_HISTOGRAM_BUCKETS; i++) {
        const uint64_t bound_ns = (UINT64_C(1) << (i + DYNO_HISTOGRAM_FIRST)) * 1000;
        CHECK(dyno_histogram_idx(bound_ns) == i && dyno_histogram_idx(bound_ns + 1) == i + 1);
    }
    CHECK(dyno_histogram_idx(UINT64_MAX - 1000) == DYNO_HISTOGRAM_BUCKETS);
    dyno_histogram_add(&histogram, 10000);
    dyno_histogram_add(&histogram, 20000);
    dyno_histogram_add(&histogram, UINT64_C(100000000000));
    struct dyno_strbuf text = {0};
    dyno_histogram_write(&histogram, "t", "m=\"a\"", &text);
    CHECK(strstr(text.text, "t_bucket{m=\"a\",le=\"1.6e-05\"} 1\n") == text.text);
    CHECK(strstr(text.text, "t_bucket{m=\"a\",le=\"3.2e-05\"} 2\n") != NULL);
    CHECK(strstr(text.text, "t_bucket{m=\"a\",le=\"16.7772\"} 2\n") != NULL);
    CHECK(strstr(text.text, "t_bucket{m=\"a\",le=\"+Inf\"} 3\n") != NULL);
    CHECK(strstr(text.text, "t_sum{m=\"a\"} 100.000030000\nt_count{m=\"a\"} 3\n") != NULL);
    dyno_strbuf_fini(&text);
    return TEST_RESULT();
}
