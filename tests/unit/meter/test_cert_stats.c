/* The statistics of certificates against known values. */
#include <math.h>

#include "base/mem.h"
#include "meter/cert/random.h"
#include "meter/cert/stats.h"
#include "test.h"

static void test_generator(void)
{
    struct dyno_rng rng;
    dyno_rng_seed(&rng, 0); /* splitmix64 of 0 */
    CHECK(rng.state[0] == 0xE220A8397B1DCDAFU && rng.state[1] == 0x6E789E6AA1B965F4U);
    CHECK(rng.state[2] == 0x06C45D188009454FU && rng.state[3] == 0xF88BB8A8724C81ECU);
    rng = (struct dyno_rng){{1, 2, 3, 4}};
    CHECK(dyno_rng_u64(&rng) == 11520);
    CHECK(dyno_rng_u64(&rng) == 0);
    CHECK(dyno_rng_u64(&rng) == 1509978240);
    CHECK(dyno_rng_u64(&rng) == 1215971899390074240);
    uint32_t counts[7] = {0};
    for (int i = 0; i < 70000; i++)
        counts[dyno_rng_below(&rng, 7)]++;
    for (int i = 0; i < 7; i++)
        CHECK_MSG(counts[i] > 9600 && counts[i] < 10400, "%d: %u", i, counts[i]);
    CHECK(dyno_rng_below(&rng, 1) == 0);
    for (int i = 0; i < 1000; i++) {
        const double unit = dyno_rng_unit(&rng);
        CHECK(unit > 0.0 && unit <= 1.0);
    }
}

/* Mean, variance and the share over some bounds of exponential times. */
static void test_poisson(void)
{
    enum { COUNT = 100000 };
    struct dyno_rng rng;
    dyno_rng_seed(&rng, 42);
    double sum = 0.0;
    double squares = 0.0;
    uint32_t over[3] = {0};
    for (int i = 0; i < COUNT; i++) {
        const double x = dyno_rng_exponential(&rng, 5.0);
        CHECK(x >= 0.0);
        sum += x;
        squares += x * x;
        for (uint32_t k = 0; k < 3; k++)
            over[k] += x > 5.0 * (double)(k + 1) ? 1 : 0;
    }
    const double mean = sum / COUNT;
    CHECK_MSG(fabs(mean - 5.0) < 0.06, "mean %g", mean);
    CHECK_MSG(fabs(squares / COUNT - mean * mean - 25.0) < 1.0, "variance");
    for (uint32_t k = 0; k < 3; k++)
        CHECK(fabs((double)over[k] / COUNT - exp(-(double)(k + 1))) < 0.006);
}

/* --- the bootstrap --- */

static void test_bootstrap_exact(void)
{
    const double same[] = {0.25, 0.25, 0.25};
    const double other[] = {0.75, 0.75};
    struct dyno_cert_interval got;
    struct dyno_err err = {0};
    struct dyno_cert_group groups[5] = {
        {same, 3}, {same, 3}, {same, 1}, {same, 2}, {same, 3},
    };
    CHECK(dyno_cert_bootstrap(groups, 5, 1, &got, &err) == DYNO_OK);
    CHECK(got.lower == 0.25 && got.value == 0.25 && got.upper == 0.25);
    /* Processes differ: their means are averaged, whatever their number of blocks, and the ends lie
     * inside the range of the means. */
    groups[4] = (struct dyno_cert_group){other, 2};
    CHECK(dyno_cert_bootstrap(groups, 5, 1, &got, &err) == DYNO_OK);
    CHECK(fabs(got.value - 0.35) < 1e-15);
    CHECK_MSG(got.lower == 0.25 && got.upper > 0.6 && got.upper <= 0.75, "%g", got.upper);
    struct dyno_cert_interval again;
    CHECK(dyno_cert_bootstrap(groups, 5, 1, &again, &err) == DYNO_OK);
    CHECK(test_same(&again, &got, sizeof(got)));
}

static void test_bootstrap_refuses(void)
{
    const double one[] = {1.0};
    struct dyno_cert_interval got;
    struct dyno_cert_group groups[DYNO_CERT_PROCESSES_MAX + 1];
    for (uint32_t i = 0; i <= DYNO_CERT_PROCESSES_MAX; i++)
        groups[i] = (struct dyno_cert_group){one, 1};
    struct dyno_err err = {0};
    CHECK(dyno_cert_bootstrap(groups, 1, 1, &got, &err) == DYNO_E_ARG);
    CHECK_STR(err.text, "an interval of 1 processes: wants 2 to 16");
    CHECK(dyno_cert_bootstrap(groups, 17, 1, &got, NULL) == DYNO_E_ARG);
    groups[1].count = 0;
    err = (struct dyno_err){0};
    CHECK(dyno_cert_bootstrap(groups, 3, 1, &got, &err) == DYNO_E_ARG);
    CHECK_STR(err.text, "process 2 of 3 has no blocks");
    groups[1].count = 1;
    dyno_mem_fail_at(1);
    CHECK(dyno_cert_bootstrap(groups, 3, 1, &got, NULL) == DYNO_E_NOMEM);
    dyno_mem_fail_at(0);
    CHECK(dyno_mem_live_count() == 0);
}

static double normal(struct dyno_rng *rng)
{
    return sqrt(dyno_rng_exponential(rng, 2.0)) * cos(2.0 * 3.14159265358979 * dyno_rng_unit(rng));
}

/* How often the interval of 5 processes x 4 blocks holds the truth. */
static double coverage(double process_spread, double block_spread, uint64_t seed)
{
    enum { TRIALS = 400 };
    struct dyno_rng rng;
    uint32_t held = 0;
    dyno_rng_seed(&rng, seed);
    for (uint32_t t = 0; t < TRIALS; t++) {
        double values[5][4];
        struct dyno_cert_group groups[5];
        for (int p = 0; p < 5; p++) {
            const double level = process_spread * normal(&rng);
            for (int b = 0; b < 4; b++)
                values[p][b] = 1.5 + level + block_spread * normal(&rng);
            groups[p] = (struct dyno_cert_group){values[p], 4};
        }
        struct dyno_cert_interval got;
        CHECK(dyno_cert_bootstrap(groups, 5, t, &got, NULL) == DYNO_OK);
        held += got.lower <= 1.5 && got.upper >= 1.5;
    }
    return (double)held / TRIALS;
}

static void test_bootstrap_coverage(void)
{
    const double mixed = coverage(0.01, 0.01, 3);
    const double processes = coverage(0.01, 0.002, 4);
    CHECK_MSG(mixed >= 0.94, "%g", mixed);
    CHECK_MSG(processes >= 0.88, "%g", processes);
    CHECK(dyno_cert_tail(5) < dyno_cert_tail(6) && dyno_cert_tail(16) < 0.025);
}

/* --- rules --- */

static void test_control(void)
{
    const struct {
        double lower, upper;
        bool holds;
    } rows[] = {
        {-0.01, 0.01, true}, {-0.0299, 0.0299, true}, {-0.03, 0.0301, false}, {0.001, 0.01, false},
        {-0.01, 0.0, true},  {-0.02, -0.001, false},  {-0.055, 0.001, true},  {-0.061, 0.0, false},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        const struct dyno_cert_interval interval = {.lower = rows[i].lower, .upper = rows[i].upper};
        CHECK_MSG(dyno_cert_control_holds(&interval) == rows[i].holds, "row %zu", i);
    }
}

static void test_steady(void)
{
    double values[20];
    struct dyno_rng rng;
    struct dyno_cert_change change;
    dyno_rng_seed(&rng, 9);
    uint32_t alarms = 0;
    for (int trial = 0; trial < 500; trial++) {
        for (int i = 0; i < 20; i++)
            values[i] = 0.02 * normal(&rng);
        alarms += !dyno_cert_is_steady(values, 20, &change);
    }
    CHECK_MSG(alarms <= 3, "%u alarms in 500 steady series", alarms);
    for (int i = 0; i < 20; i++)
        values[i] = 0.005 * normal(&rng) + (i >= 13 ? 0.05 : 0.0);
    CHECK(!dyno_cert_is_steady(values, 20, &change));
    CHECK(change.at == 13 && fabs(change.shift - 0.05) < 0.01 && change.errors > 5.0);
    for (int i = 0; i < 20; i++)
        values[i] = 0.0005 * normal(&rng) + (i >= 13 ? 0.02 : 0.0);
    CHECK(dyno_cert_is_steady(values, 20, &change)); /* certain, and too small to matter */
    CHECK(change.errors > 5.0);
    const double step[] = {1.0, 1.0, 2.0, 2.0};
    CHECK(!dyno_cert_is_steady(step, 4, &change) && change.at == 2 && change.shift == 1.0);
    CHECK(dyno_cert_is_steady(step, 3, &change) && dyno_cert_is_steady(NULL, 0, &change));
    const double flat[] = {1.0, 1.0, 1.0, 1.0, 1.0};
    CHECK(dyno_cert_is_steady(flat, 5, &change) && change.errors == 0.0);
}

static void test_clock(void)
{
    CHECK(dyno_cert_clock_held((const uint64_t[]){1000, 1020, 1010, 1000}, 4));
    CHECK(!dyno_cert_clock_held((const uint64_t[]){1000, 1021, 1010, 1000}, 4));
    CHECK(!dyno_cert_clock_held((const uint64_t[]){0, 0}, 2));
}

static void test_reference_batch(void)
{
    CHECK(dyno_cert_reference_batch((const double[]){100, 120, 124, 126, 125}, 5) == 1);
    CHECK(dyno_cert_reference_batch((const double[]){100, 119, 124, 126, 125}, 5) == 2);
    CHECK(dyno_cert_reference_batch((const double[]){100, 80, 60}, 3) == 0);
    CHECK(dyno_cert_reference_batch((const double[]){95, 100}, 2) == 0);
    CHECK(dyno_cert_reference_batch((const double[]){94.9, 100}, 2) == 1);
    CHECK(dyno_cert_reference_batch((const double[]){7}, 1) == 0);
}

static void test_equivalence(void)
{
    const double at = log(4.0);
    const struct {
        double lower, upper;
        enum dyno_cert_verdict verdict;
    } rows[] = {
        {3.9, 4.1, DYNO_CERT_STANDS},    {3.82, 4.19, DYNO_CERT_STANDS},
        {3.7, 4.1, DYNO_CERT_UNDECIDED}, {3.9, 4.21, DYNO_CERT_UNDECIDED},
        {3.0, 5.0, DYNO_CERT_UNDECIDED}, {3.0, 3.8, DYNO_CERT_FALLS},
        {4.21, 4.5, DYNO_CERT_FALLS},    {3.0, 3.82, DYNO_CERT_UNDECIDED},
    };
    for (size_t i = 0; i < DYNO_COUNT(rows); i++) {
        const struct dyno_cert_interval again = {.lower = log(rows[i].lower),
                                                 .upper = log(rows[i].upper)};
        CHECK_MSG(dyno_cert_equivalence(&again, at) == rows[i].verdict, "row %zu", i);
    }
}

/* --- early stopping: the numbers of MLPerf's LoadGen --- */

static void test_early_stopping(void)
{
    static const uint64_t over[] = {0, 1, 2, 5, 10};
    static const struct {
        uint32_t p_1e4;
        uint64_t needed[5];
    } rows[] = {
        {9000, {44, 64, 81, 127, 197}},
        {9500, {90, 130, 165, 259, 398}},
        {9900, {459, 662, 838, 1307, 2010}},
        {9990, {4603, 6636, 0, 0, 0}},
    };
    for (size_t r = 0; r < DYNO_COUNT(rows); r++) {
        for (size_t i = 0; i < DYNO_COUNT(over) && rows[r].needed[i] != 0; i++) {
            const uint64_t got = dyno_cert_queries_needed(rows[r].p_1e4, over[i]);
            CHECK_MSG(got == rows[r].needed[i], "p%u, %llu over: %llu", rows[r].p_1e4,
                      (unsigned long long)over[i], (unsigned long long)got);
            CHECK(dyno_cert_over_allowed(rows[r].p_1e4, got) == (int64_t)over[i]);
            CHECK(dyno_cert_over_allowed(rows[r].p_1e4, got - 1) == (int64_t)over[i] - 1);
        }
    }
    CHECK(dyno_cert_over_allowed(9900, 0) == -1);
    uint64_t sorted[662];
    uint64_t bound = 1;
    for (uint64_t i = 0; i < 662; i++)
        sorted[i] = i;
    CHECK(dyno_cert_percentile(sorted, 662, 9900, &bound) && bound == 660); /* one is over */
    CHECK(dyno_cert_percentile(sorted, 661, 9900, &bound) && bound == 660); /* none may be */
    CHECK(!dyno_cert_percentile(sorted, 458, 9900, &bound) && bound == 0);
}

/* --- the Server scenario --- */

static void test_server(void)
{
    const uint64_t ms[] = {1000000};
    const uint64_t two_ms[] = {2000000};
    const uint64_t erratic[] = {900000, 1100000};
    const struct dyno_cert_service one[] = {{1, 1, ms}};
    const struct dyno_cert_service batched[] = {{1, 1, ms}, {4, 1, two_ms}};
    uint32_t batch = 9;
    CHECK(dyno_cert_server_rate(one, 1, 9900, 999999, 1, &batch) == 0 && batch == 0);
    /* M/D/1 at utilisation r: P(wait > t runs) is about r exp(-x t) with r (exp(x) - 1) = x.  What
     * 4000 queries allow, 0.65 %, is over 2.2 runs at r = 0.36. */
    const uint64_t tight = dyno_cert_server_rate(one, 1, 9900, 3200000, 1, &batch);
    CHECK_MSG(tight > 330000000 && tight < 390000000 && batch == 1, "%llu",
              (unsigned long long)tight);
    const uint64_t loose = dyno_cert_server_rate(one, 1, 9900, 20000000, 1, &batch);
    CHECK(loose > tight && loose <= 1000000000);
    /* With all the time of the world no more than the device can do. */
    const uint64_t all = dyno_cert_server_rate(one, 1, 9900, UINT64_C(1) << 60, 1, &batch);
    CHECK_MSG(all > 990000000 && all < 1010000000, "%llu", (unsigned long long)all);
    const uint64_t more = dyno_cert_server_rate(batched, 2, 9900, 20000000, 1, &batch);
    CHECK(more > loose * 3 / 2 && more < 2020000000 && batch == 4);
    CHECK(dyno_cert_server_rate(batched, 2, 9900, 20000000, 1, &batch) == more);
    const struct dyno_cert_service uneven[] = {{1, 2, erratic}};
    const uint64_t near = dyno_cert_server_rate(uneven, 1, 9900, 3200000, 1, &batch);
    CHECK(near > tight * 9 / 10 && near < tight * 11 / 10);
}

/* --- the watch --- */

static void test_watch(void)
{
    const double at = log(3.0);
    struct dyno_rng rng;
    uint32_t alarms = 0;
    uint32_t missed = 0;
    uint64_t seen = 0;
    dyno_rng_seed(&rng, 5);
    for (int trial = 0; trial < 2000; trial++) {
        struct dyno_cert_watch calm = {0};
        struct dyno_cert_watch off = {0};
        enum dyno_cert_verdict verdict = DYNO_CERT_UNDECIDED;
        while (verdict == DYNO_CERT_UNDECIDED)
            verdict = dyno_cert_watch_add(&calm, at + 0.05 * normal(&rng), at, 0.05);
        CHECK(calm.seen == 0);
        alarms += verdict == DYNO_CERT_FALLS;
        verdict = DYNO_CERT_UNDECIDED;
        const double drift = trial % 2 == 0 ? -log1p(0.05) : log1p(0.05);
        for (; verdict == DYNO_CERT_UNDECIDED; seen++)
            verdict = dyno_cert_watch_add(&off, at + drift + 0.05 * normal(&rng), at, 0.05);
        missed += verdict == DYNO_CERT_STANDS;
    }
    CHECK_MSG(alarms <= 8, "%u false alarms of 2000", alarms);
    CHECK_MSG(missed <= 140, "%u of 2000 missed", missed);
    CHECK_MSG(seen / 2000 < 40, "%llu ratios a decision", (unsigned long long)seen / 2000);
}

int main(void)
{
    test_generator();
    test_poisson();
    test_bootstrap_exact();
    test_bootstrap_refuses();
    test_bootstrap_coverage();
    test_control();
    test_steady();
    test_clock();
    test_reference_batch();
    test_equivalence();
    test_early_stopping();
    test_server();
    test_watch();
    return TEST_RESULT();
}
