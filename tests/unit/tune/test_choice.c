/* test_choice.c - which of two candidates of the same layouts a plan takes. */
#include "base/mem.h"
#include "test.h"
#include "tune/tune.h"

#define MB 1000000U

/* Exactly one of the two is better, whichever comes first. */
static void check_wins(float us, uint64_t bytes, float than_us, uint64_t than_bytes)
{
    CHECK_MSG(dyno_tune_better(us, bytes, than_us, than_bytes) &&
                  !dyno_tune_better(than_us, than_bytes, us, bytes),
              "%g us with %llu bytes against %g us with %llu", (double)us,
              (unsigned long long)bytes, (double)than_us, (unsigned long long)than_bytes);
}

int main(void)
{
    /* clearly faster */
    check_wins(80, 4 * MB, 100, 1 * MB);
    check_wins(1200, 16 * MB, 1700, 37 * MB);
    /* within the noise: the smaller form */
    check_wins(101, 1 * MB, 100, 4 * MB);
    check_wins(2010, 0, 2000, 1);
    /* a little faster, but not by what its load costs a run */
    check_wins(1030, 9 * MB, 1000, 37 * MB + MB / 2);
    check_wins(60, 2 * MB, 57, 9 * MB);
    /* a little faster, and worth its load */
    check_wins(1000, 12 * MB, 1060, 3 * MB);
    /* equal: the first stays */
    CHECK(!dyno_tune_better(10, MB, 10, MB));
    CHECK(dyno_tune_cost_us(10, 0) == 10);
    CHECK(dyno_tune_cost_us(10, 5 * MB) > 14.9F && dyno_tune_cost_us(10, 5 * MB) < 15.1F);
    return TEST_RESULT();
}
