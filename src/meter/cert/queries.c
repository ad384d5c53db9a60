/* queries.c - percentiles of latency with early stopping, and the Server scenario's queue. */
#include <math.h>

#include "meter/cert/random.h"
#include "meter/cert/stats.h"

#define CONFIDENCE 0.99

/* --- early stopping --- */

/* The chance that at most `over` of `queries` are over the bound when a share `q` of all is. */
static double chance_at_most(uint64_t queries, double q, uint64_t over)
{
    int sign = 0;
    const double n = (double)queries;
    const double all = lgamma_r(n + 1.0, &sign);
    double sum = 0.0;
    for (uint64_t k = 0; k <= over && k <= queries; k++) {
        const double i = (double)k;
        const double ways = all - lgamma_r(i + 1.0, &sign) - lgamma_r(n - i + 1.0, &sign);
        sum += exp(ways + i * log(q) + (n - i) * log1p(-q));
    }
    return sum;
}

static double share_over(uint32_t p_1e4)
{
    DYNO_ASSERT(p_1e4 >= 5000 && p_1e4 <= 9999);
    return (double)(10000 - p_1e4) / 10000.0;
}

uint64_t dyno_cert_queries_needed(uint32_t p_1e4, uint64_t over)
{
    const double q = share_over(p_1e4);
    DYNO_ASSERT(over < 1U << 20);
    uint64_t few = over; /* too few */
    uint64_t enough = over + 1;
    while (chance_at_most(enough, q, over) > 1.0 - CONFIDENCE) {
        few = enough;
        enough *= 2;
    }
    while (enough - few > 1) {
        const uint64_t middle = few + (enough - few) / 2;
        if (chance_at_most(middle, q, over) > 1.0 - CONFIDENCE)
            few = middle;
        else
            enough = middle;
    }
    return enough;
}

int64_t dyno_cert_over_allowed(uint32_t p_1e4, uint64_t queries)
{
    const double q = share_over(p_1e4);
    int sign = 0;
    const double n = (double)queries;
    const double all = lgamma_r(n + 1.0, &sign);
    double sum = 0.0;
    int64_t over = -1;
    while (over + 1 < (int64_t)queries) {
        const double i = (double)(over + 1);
        const double ways = all - lgamma_r(i + 1.0, &sign) - lgamma_r(n - i + 1.0, &sign);
        sum += exp(ways + i * log(q) + (n - i) * log1p(-q));
        if (sum > 1.0 - CONFIDENCE)
            break;
        over++;
    }
    return over;
}

bool dyno_cert_percentile(const uint64_t *sorted_ns, uint64_t count, uint32_t p_1e4,
                          uint64_t *bound_ns_out)
{
    const int64_t over = dyno_cert_over_allowed(p_1e4, count);
    *bound_ns_out = over >= 0 ? sorted_ns[count - 1 - (uint64_t)over] : 0;
    return over >= 0;
}

/* --- the Server scenario --- */

/* A queue of arrivals that are known beforehand: times[q] for a mean of 1 between them. */
struct queue {
    double times[DYNO_CERT_SERVER_QUERIES];
};

/* Queries that come back later than bound_ns when they arrive mean_ns apart. */
static uint64_t count_late(const struct queue *queue, const struct dyno_cert_service *rows,
                           uint32_t row_count, double mean_ns, double bound_ns)
{
    uint32_t used[64] = {0};
    double free_ns = 0.0;
    double busy_ns = 0.0;
    uint64_t late = 0;
    uint32_t first = 0;
    while (first < DYNO_CERT_SERVER_QUERIES) {
        const double arrival_ns = queue->times[first] * mean_ns;
        const double start_ns = fmax(free_ns, arrival_ns);
        uint32_t waiting = 1;
        while (first + waiting < DYNO_CERT_SERVER_QUERIES && waiting < rows[row_count - 1].batch &&
               queue->times[first + waiting] * mean_ns <= start_ns)
            waiting++;
        uint32_t row = 0;
        while (row + 1 < row_count && rows[row + 1].batch <= waiting)
            row++;
        const double run_ns = (double)rows[row].run_ns[used[row]++ % rows[row].count];
        free_ns = start_ns + run_ns;
        busy_ns += run_ns;
        for (uint32_t i = 0; i < rows[row].batch; i++, first++)
            late += free_ns - queue->times[first] * mean_ns > bound_ns ? 1 : 0;
    }
    /* More work than time: the queue only has not grown long enough yet. */
    if (busy_ns > queue->times[DYNO_CERT_SERVER_QUERIES - 1] * mean_ns)
        return DYNO_CERT_SERVER_QUERIES;
    return late;
}

uint64_t dyno_cert_server_rate(const struct dyno_cert_service *rows, uint32_t row_count,
                               uint32_t p_1e4, uint64_t bound_ns, uint64_t seed,
                               uint32_t *batch_out)
{
    struct queue queue;
    const int64_t allowed = dyno_cert_over_allowed(p_1e4, DYNO_CERT_SERVER_QUERIES);
    struct dyno_rng rng;
    double at = 0.0;
    uint64_t best = 0;
    *batch_out = 0;
    DYNO_ASSERT(row_count > 0 && row_count <= 64 && rows[0].batch == 1);
    dyno_rng_seed(&rng, seed);
    for (uint32_t q = 0; q < DYNO_CERT_SERVER_QUERIES; q++)
        queue.times[q] = at += dyno_rng_exponential(&rng, 1.0);
    for (uint32_t limit = 1; limit <= row_count; limit++) {
        uint64_t low = 0; /* queries in 1e6 s that are kept, or nothing */
        uint64_t high = (uint64_t)1 << 50;
        while (high - low > 1 + low / 100000) {
            const uint64_t middle = low + (high - low) / 2;
            const double mean_ns = 1e15 / (double)middle;
            if ((int64_t)count_late(&queue, rows, limit, mean_ns, (double)bound_ns) <= allowed)
                low = middle;
            else
                high = middle;
        }
        if (low > best) {
            best = low;
            *batch_out = rows[limit - 1].batch;
        }
    }
    return best;
}
