/* test_device.c - accounts of devices: what is charged when, and that all of it adds up. */
#include "serve/watch/device.h"

#include <time.h>

#include "base/clock.h"
#include "test.h"

static struct dyno_timeline_sums read_sums(struct dyno_device *device)
{
    struct dyno_timeline_sums sums;
    struct dyno_err err = {0};
    dyno_device_read(device, &sums);
    CHECK_MSG(dyno_timeline_check(&sums, &err) == DYNO_OK, "%s", err.text);
    return sums;
}

/* Let the clock move. */
static uint64_t later(uint64_t ns)
{
    while (dyno_clock_ns() <= ns) {
    }
    return dyno_clock_ns();
}

/* A GPU's run is charged what it kept it busy, whatever else passed. */
static void test_busy_time(void)
{
    struct dyno_device device;
    struct dyno_device_run tenant, platform;
    dyno_device_init(&device, 0);
    const uint64_t start_ns = device.timeline.start_ns;
    dyno_device_begin(&device, 1, false, &tenant);
    const uint64_t end_ns = later(start_ns + 1000000);
    CHECK(dyno_device_end(&device, &tenant, end_ns, 400000) == 400000);
    struct dyno_timeline_sums sums = read_sums(&device);
    CHECK(sums.tenants_ns == 400000 && sums.platform_ns == 0 && sums.running_ns == 0);
    dyno_device_begin(&device, 1, true, &platform);
    const uint64_t second_ns = later(end_ns + 1000000);
    CHECK(dyno_device_end(&device, &platform, second_ns, 70000) == 70000);
    sums = read_sums(&device);
    CHECK(sums.tenants_ns == 400000 && sums.platform_ns == 70000);
    CHECK(sums.idle_ns == sums.wall_ns - 470000);
    dyno_device_fini(&device);
}

/* Until it is over nothing is known of it: the account is told as of its begin. */
static void test_in_flight(void)
{
    struct dyno_device device;
    struct dyno_device_run first, second;
    dyno_device_init(&device, 0);
    const uint64_t start_ns = device.timeline.start_ns;
    (void)later(start_ns + 100000);
    dyno_device_begin(&device, 1, false, &first);
    const uint64_t begun_ns = first.begin_ns;
    (void)later(begun_ns + 100000);
    dyno_device_begin(&device, 1, false, &second);
    (void)later(second.begin_ns + 100000);
    struct dyno_timeline_sums sums = read_sums(&device);
    CHECK(sums.wall_ns == begun_ns - start_ns && sums.idle_ns == sums.wall_ns);
    const uint64_t first_end = dyno_clock_ns();
    CHECK(dyno_device_end(&device, &first, first_end, 50000) == 50000);
    sums = read_sums(&device);
    CHECK(sums.wall_ns == first_end - start_ns && sums.tenants_ns == 50000);
    /* The second one waited for the first: what it took lies behind that. */
    const uint64_t second_end = later(first_end + 80000);
    CHECK(dyno_device_end(&device, &second, second_end, 80000) == 80000);
    sums = read_sums(&device);
    CHECK(sums.tenants_ns == 130000 && sums.wall_ns >= second_end - start_ns);
    dyno_device_fini(&device);
}

/* Time that another run has is not charged twice, and a run that came to nothing costs nothing. */
static void test_no_time_twice(void)
{
    struct dyno_device device;
    struct dyno_device_run a, b, c;
    dyno_device_init(&device, 0);
    const uint64_t start_ns = device.timeline.start_ns;
    dyno_device_begin(&device, 1, false, &a);
    dyno_device_begin(&device, 1, false, &b);
    dyno_device_begin(&device, 1, false, &c);
    const uint64_t end_ns = later(start_ns + 200000);
    CHECK(dyno_device_end(&device, &a, end_ns, 100000) == 100000);
    /* What lies behind `a`, and has passed. */
    const uint64_t of_b = dyno_device_end(&device, &b, end_ns + 10, 1000000000);
    CHECK(of_b > 0 && of_b <= dyno_clock_ns() - end_ns);
    CHECK(dyno_device_end(&device, &c, 0, 0) == 0);
    const struct dyno_timeline_sums sums = read_sums(&device);
    CHECK(sums.tenants_ns == 100000 + of_b && sums.running_ns == 0);
    dyno_device_fini(&device);
}

/* Runs that follow each other are charged in full, whichever end was noticed late. */
static void test_noticed_late(void)
{
    struct dyno_device device;
    struct dyno_device_run a, b;
    dyno_device_init(&device, 0);
    const uint64_t start_ns = device.timeline.start_ns;
    dyno_device_begin(&device, 1, false, &a);
    dyno_device_begin(&device, 1, false, &b);
    /* a: 100 us until 200 us, noticed 30 us later; b: 100 us until 300 us, noticed at once. */
    (void)later(start_ns + 230000);
    CHECK(dyno_device_end(&device, &a, start_ns + 230000, 100000) == 100000);
    (void)later(start_ns + 330000);
    CHECK(dyno_device_end(&device, &b, start_ns + 300000, 100000) == 100000);
    const struct dyno_timeline_sums sums = read_sums(&device);
    CHECK(sums.tenants_ns == 200000 && sums.idle_ns == sums.wall_ns - 200000);
    dyno_device_fini(&device);
}

/* A CPU's are charged from begin to end, and shared. */
static void test_cores(void)
{
    struct dyno_device device;
    struct dyno_device_run a, b;
    dyno_device_init(&device, 2);
    dyno_device_begin(&device, 2, false, &a);
    dyno_device_begin(&device, 2, true, &b);
    (void)later(device.timeline.now_ns + 100000);
    const uint64_t of_a = dyno_device_end(&device, &a, 0, 0);
    const uint64_t of_b = dyno_device_end(&device, &b, 12345, 67890);
    CHECK(of_a > 0 && of_b > 0);
    const struct dyno_timeline_sums sums = read_sums(&device);
    CHECK(sums.tenants_ns == of_a && sums.platform_ns == of_b);
    CHECK(dyno_device_end(NULL, &a, 1, 1) == 0);
    dyno_device_fini(&device);
}

int main(void)
{
    test_busy_time();
    test_in_flight();
    test_no_time_twice();
    test_noticed_late();
    test_cores();
    return TEST_RESULT();
}
