/* test_allowance.c - rate, concurrency and quota in made-up time; what is to be written. */
#include "serve/gate/allowance.h"

#include "base/mem.h"
#include "test.h"

#define DAY 20089 /* 1 January 2025 */

static struct dyno_allowance *allowance;
static struct dyno_limits limits;
static struct dyno_moment now;
static struct dyno_err err;
static uint32_t retry_s;

static void fresh(void)
{
    if (allowance != NULL)
        dyno_allowance_unref(allowance);
    allowance = dyno_allowance_create();
    REQUIRE(allowance != NULL);
    limits = (struct dyno_limits){.burst = 1};
    now = (struct dyno_moment){.now_s = (int64_t)DAY * DYNO_DAY_S, .now_ns = 5000000000};
}

static bool begins(void)
{
    err = (struct dyno_err){0};
    const enum dyno_status status =
        dyno_allowance_begin(allowance, &limits, "acme", now, &retry_s, &err);
    CHECK(status == DYNO_OK ? retry_s == 0 : status == DYNO_E_QUOTA && retry_s > 0);
    return status == DYNO_OK;
}

static bool passes(uint64_t device_ns)
{
    const bool ok = begins();
    if (ok)
        dyno_allowance_end(allowance, device_ns, now.now_s);
    return ok;
}

static void after(double seconds)
{
    now.now_ns += (uint64_t)(seconds * 1e9);
}

static void test_no_limits(void)
{
    fresh();
    for (int i = 0; i < 1000; i++)
        CHECK(begins());
    for (int i = 0; i < 1000; i++)
        dyno_allowance_end(allowance, UINT64_MAX / 2000, now.now_s);
}

static void test_rate(void)
{
    fresh();
    limits.rate_per_s = 2;
    limits.burst = 3;
    CHECK(passes(0) && passes(0) && passes(0) && !passes(0));
    CHECK_STR(err.text, "tenant 'acme' has used up its 2 requests a second: again in 1 s");
    CHECK(retry_s == 1);
    after(0.49);
    CHECK(!passes(0));
    after(0.02);
    CHECK(passes(0) && !passes(0));
    after(1000);
    CHECK(passes(0) && passes(0) && passes(0) && !passes(0)); /* no more than a burst */
    now.now_ns -= 1000000000; /* another thread's clock was read before */
    CHECK(!passes(0));
    /* Slow ones wait long, and are told how long. */
    limits.rate_per_s = 0.01;
    after(1001);
    CHECK(passes(0) && passes(0) && passes(0) && !passes(0));
    CHECK_MSG(retry_s == 100, "%u", retry_s);
    limits.rate_per_s = 1e-300;
    CHECK(!passes(0) && retry_s == 31622400);
    /* A burst that becomes smaller takes what is above it. */
    fresh();
    limits.rate_per_s = 1;
    limits.burst = 100;
    CHECK(passes(0));
    limits.burst = 1;
    CHECK(passes(0) && !passes(0));
}

static void test_concurrency(void)
{
    fresh();
    limits.concurrent_max = 2;
    limits.rate_per_s = 1e-9;
    limits.burst = 3;
    CHECK(begins() && begins() && !begins());
    CHECK(strstr(err.text, "tenant 'acme' has 2 requests in flight, as many as it may") != NULL);
    CHECK(retry_s == 1 && !begins() && !begins());
    dyno_allowance_end(allowance, 1, now.now_s);
    CHECK(begins()); /* what was refused took no token */
    limits.rate_per_s = 0;
    limits.concurrent_max = 1;
    dyno_allowance_end(allowance, 1, now.now_s);
    CHECK(!begins());
    dyno_allowance_end(allowance, 1, now.now_s);
    CHECK(passes(0));
}

static void test_request_quota(void)
{
    fresh();
    limits.quota_requests = 2;
    now.now_s += DYNO_DAY_S - 10;
    CHECK(passes(0) && passes(0) && !passes(0));
    CHECK_STR(err.text, "tenant 'acme' has used its 2 requests of this day: again at "
                        "2025-01-02T00:00:00Z");
    CHECK(retry_s == 10);
    now.now_s += 10;
    CHECK(passes(0) && passes(0) && !passes(0) && retry_s == DYNO_DAY_S);
    now.now_s -= 10; /* a clock that goes back brings no day back */
    CHECK(!passes(0));
    limits.period = DYNO_PERIOD_MONTH;
    limits.quota_requests = 5;
    CHECK(passes(0) && !passes(0)); /* the month has four already */
    CHECK(strstr(err.text, "of this month: again at 2025-02-01T00:00:00Z") != NULL);
    now.now_s = (DAY + INT64_C(31)) * DYNO_DAY_S;
    CHECK(passes(0));
}

static void test_device_quota(void)
{
    fresh();
    limits.quota_device_ns = 1500000000;
    CHECK(passes(1000000000) && passes(1000000000)); /* the last may go past it */
    CHECK(!passes(0));
    CHECK(strstr(err.text, "has used its 1.5 device-seconds of this day: again at 2025-01-02T") !=
          NULL);
    limits.quota_device_ns = 3000000000;
    CHECK(passes(0));
    /* A run that ends after midnight is of the day that it ends on. */
    CHECK(begins());
    dyno_allowance_end(allowance, 3000000000, now.now_s + DYNO_DAY_S);
    now.now_s += DYNO_DAY_S;
    CHECK(!passes(0));
}

/* --- the database --- */

static void check_rows(size_t count, int64_t day, uint64_t requests, uint64_t device_ns)
{
    struct dyno_use_row rows[DYNO_ALLOWANCE_ROWS];
    const size_t got = dyno_allowance_unwritten(allowance, 9, rows);
    CHECK_MSG(got == count, "%zu rows", got);
    if (got == count && count > 0)
        CHECK(rows[count - 1].tenant == 9 && rows[count - 1].day == day &&
              rows[count - 1].use.requests == requests &&
              rows[count - 1].use.device_ns == device_ns);
}

static void write_all(void)
{
    struct dyno_use_row rows[DYNO_ALLOWANCE_ROWS];
    const size_t count = dyno_allowance_unwritten(allowance, 9, rows);
    CHECK(begins()); /* meanwhile */
    for (size_t i = 0; i < count; i++)
        dyno_allowance_written(allowance, &rows[i]);
    dyno_allowance_end(allowance, 7, now.now_s);
}

static void test_writing(void)
{
    fresh();
    check_rows(0, 0, 0, 0);
    CHECK(passes(10) && passes(20));
    check_rows(1, DAY, 2, 30);
    write_all();
    check_rows(1, DAY, 1, 7);
    now.now_s += DYNO_DAY_S;
    CHECK(passes(1));
    check_rows(2, DAY + 1, 1, 1);
    now.now_s += DYNO_DAY_S;
    CHECK(passes(2));
    struct dyno_use_row rows[DYNO_ALLOWANCE_ROWS];
    CHECK(dyno_allowance_unwritten(allowance, 9, rows) == 2);
    CHECK(rows[0].day == DAY + 1 && rows[0].use.requests == 2 && rows[0].use.device_ns == 8);
    /* A row that was read before its day was added to the next is taken from there. */
    now.now_s += DYNO_DAY_S;
    CHECK(passes(3));
    dyno_allowance_written(allowance, &rows[0]);
    CHECK(dyno_allowance_unwritten(allowance, 9, rows) == 2);
    CHECK(rows[0].day == DAY + 2 && rows[0].use.requests == 1 && rows[0].use.device_ns == 2);
    /* Nothing was used on some days: no row. */
    fresh();
    CHECK(passes(1));
    now.now_s += (int64_t)40 * DYNO_DAY_S;
    CHECK(passes(1));
    CHECK(dyno_allowance_unwritten(allowance, 9, rows) == 2 && rows[0].day == DAY);
}

static void test_loading(void)
{
    const struct dyno_use day = {.requests = 4, .device_ns = 400};
    const struct dyno_use month = {.requests = 9, .device_ns = 900};
    fresh();
    limits.quota_requests = 6;
    dyno_allowance_load(allowance, DAY, &day, &month);
    CHECK(passes(0) && passes(0) && !passes(0));
    dyno_allowance_load(allowance, DAY, &day, &month); /* two are not written */
    CHECK(!passes(0));
    check_rows(1, DAY, 2, 0);
    limits.period = DYNO_PERIOD_MONTH;
    limits.quota_requests = 12;
    CHECK(passes(0) && !passes(0));
    /* What was not written of yesterday belongs to the month, too. */
    now.now_s += DYNO_DAY_S;
    limits.quota_requests = 13;
    dyno_allowance_load(allowance, DAY + 1, &(struct dyno_use){0}, &month);
    CHECK(passes(0) && !passes(0));
    /* A day that is over already changes nothing. */
    dyno_allowance_load(allowance, DAY, &(struct dyno_use){0}, &(struct dyno_use){0});
    CHECK(!passes(0));
    /* Of last month nothing is left but what is to be written. */
    now.now_s = (DAY + INT64_C(31)) * DYNO_DAY_S;
    limits.quota_requests = 1;
    dyno_allowance_load(allowance, DAY + 31, &(struct dyno_use){0}, &(struct dyno_use){0});
    CHECK(passes(0) && !passes(0));
}

int main(void)
{
    test_no_limits();
    test_rate();
    test_concurrency();
    test_request_quota();
    test_device_quota();
    test_writing();
    test_loading();
    dyno_allowance_unref(allowance);
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
