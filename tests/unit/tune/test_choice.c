/* test_choice.c - which of two candidates of the same layouts a plan takes. */
#include "base/mem.h"
#include "test.h"
#include "tune/tune.h"

#define MB 1000000U

static const struct dyno_target one = {.thread_count = 1, .mem_gbps = 12.0F};
static const struct dyno_target sixteen = {.thread_count = 16, .mem_gbps = 12.0F};

/* Exactly one of the two is better, whichever comes first. */
static void check_wins(const struct dyno_target *target, float us, uint64_t bytes, float than_us,
                       uint64_t than_bytes)
{
    const float cost = dyno_tune_cost_us(target, us, bytes);
    const float than_cost = dyno_tune_cost_us(target, than_us, than_bytes);
    CHECK_MSG(dyno_tune_better(cost, bytes, than_cost, than_bytes) &&
                  !dyno_tune_better(than_cost, than_bytes, cost, bytes),
              "%d threads: %g us with %llu bytes against %g us with %llu", target->thread_count,
              (double)us, (unsigned long long)bytes, (double)than_us,
              (unsigned long long)than_bytes);
}

int main(void)
{
    /* clearly faster */
    check_wins(&one, 80, 2 * MB, 130, 1 * MB);
    check_wins(&one, 762, 9 * MB, 2000, 2 * MB);
    check_wins(&sixteen, 60, 9 * MB, 150, 2 * MB);
    /* within the noise: the smaller form */
    check_wins(&one, 101, 1 * MB, 100, 4 * MB);
    check_wins(&one, 2010, 0, 2000, 1);
    /* faster, but not by what the weights cost: F(4x4) timed with half of its weights in a cache */
    check_wins(&one, 1203, 16 * MB, 1066, 37 * MB);
    check_wins(&sixteen, 60, 2 * MB, 57, 9 * MB);
    /* a little faster, and worth it */
    check_wins(&one, 1000, 12 * MB, 1200, 3 * MB);
    check_wins(&sixteen, 100, 12 * MB, 120, 3 * MB);
    /* equal: the first stays */
    CHECK(!dyno_tune_better(10, MB, 10, MB));
    CHECK(dyno_tune_cost_us(&one, 10, 0) == 10);
    CHECK(dyno_tune_cost_us(&one, 10, MB) > 21 && dyno_tune_cost_us(&one, 10, MB) < 22);
    CHECK(dyno_tune_cost_us(&sixteen, 10, MB) > 11.5F && dyno_tune_cost_us(&sixteen, 10, MB) < 12);
    return TEST_RESULT();
}
