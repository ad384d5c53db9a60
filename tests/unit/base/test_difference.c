/* test_difference.c - what is far apart, and what is not. */
#include "base/difference.h"

#include <math.h>

#include "base/mem.h"
#include "test.h"

#define COUNT(list) ((int64_t)(sizeof(list) / sizeof((list)[0])))

static void test_shares(void)
{
    const double want[] = {-1.0, 3.0, 0.5};
    const double got[] = {-1.0, 2.0, 0.75};
    const struct dyno_difference diff = dyno_difference_of(want, COUNT(want), got, COUNT(got));
    CHECK(!diff.counts_differ && diff.max_abs == 1.0 && diff.range == 4.0 && diff.relative == 0.25);
    /* One value has no range but itself; all zero have none. */
    const double one[] = {5.0, 5.0}, near[] = {5.0, 4.0}, zero[] = {0.0}, some[] = {0.5};
    CHECK(dyno_difference_of(one, 2, near, 2).relative == 0.2);
    CHECK(dyno_difference_of(zero, 1, some, 1).relative == 0.5);
    CHECK(dyno_difference_of(zero, 0, some, 0).relative == 0.0);
}

static void test_no_numbers(void)
{
    const double want[] = {1.0, NAN, INFINITY, 2.0};
    const double same[] = {1.0, NAN, INFINITY, 2.0};
    const double lost[] = {1.0, NAN, INFINITY, NAN};
    const double made[] = {1.0, 0.0, INFINITY, 2.0};
    const double low[] = {1.0, NAN, 65504.0, 2.0};
    CHECK(dyno_difference_of(want, 4, same, 4).max_abs == 0.0);
    CHECK(isinf(dyno_difference_of(want, 4, lost, 4).max_abs));
    CHECK(isinf(dyno_difference_of(want, 4, made, 4).max_abs));
    CHECK(isinf(dyno_difference_of(want, 4, low, 4).max_abs));
    const struct dyno_difference diff = dyno_difference_of(want, 4, same, 3);
    CHECK(diff.counts_differ && isinf(diff.relative) && diff.counts[1] == 3);
}

int main(void)
{
    test_shares();
    test_no_numbers();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
