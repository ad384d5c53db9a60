/* test_timeline.c - charges add up to the time of the device, whatever overlaps. */
#include "meter/account/timeline.h"

#include "meter/account/residency.h"
#include "random.h"
#include "test.h"

static void check_identity(struct dyno_timeline *line, uint64_t now_ns)
{
    struct dyno_timeline_sums sums;
    struct dyno_err err = {0};
    dyno_timeline_read(line, now_ns, &sums);
    CHECK_MSG(dyno_timeline_check(&sums, &err) == DYNO_OK, "%s", err.text);
}

static void test_overlap(void)
{
    struct dyno_timeline line;
    struct dyno_timeline_run a;
    struct dyno_timeline_run b;
    dyno_timeline_init(&line, 1, 1000);
    dyno_timeline_begin(&line, 1100, 1, false, &a);   /* 100 idle */
    dyno_timeline_begin(&line, 1150, 1, true, &b);    /* 50 alone */
    CHECK(dyno_timeline_end(&line, 1250, &a) == 100); /* 100 with b: 50 each */
    CHECK(dyno_timeline_end(&line, 1300, &b) == 100);
    CHECK(line.tenants_ns == 100 && line.platform_ns == 100 && line.idle_ns == 100);
    check_identity(&line, 1400);
    CHECK(line.idle_ns == 200);
    dyno_timeline_begin(&line, 1350, 1, false, &a); /* a clock that goes back */
    CHECK(line.late_ns == 50);
    CHECK(dyno_timeline_end(&line, 1500, &a) == 100);
    check_identity(&line, 1500);
}

static void test_cores(void)
{
    struct dyno_timeline line;
    struct dyno_timeline_run a;
    struct dyno_timeline_run b;
    dyno_timeline_init(&line, 4, 0);
    dyno_timeline_begin(&line, 0, 2, false, &a);
    dyno_timeline_begin(&line, 100, 4, false, &b); /* six threads on four cores */
    CHECK(dyno_timeline_end(&line, 400, &a) == 200 + 400);
    CHECK(dyno_timeline_end(&line, 500, &b) == 800 + 400);
    CHECK(line.idle_ns == 200);
    check_identity(&line, 500);
}

/* The difference must be seen. */
static void test_mismatch(void)
{
    struct dyno_err err = {0};
    const struct dyno_timeline_sums sums = {
        .wall_ns = 10, .tenants_ns = 4, .platform_ns = 3, .idle_ns = 2};
    CHECK(dyno_timeline_check(&sums, &err) == DYNO_E_MISMATCH);
    CHECK_STR(err.text, "tenants, platform, running and idle have 9 ns, the device had 10");
}

#define RUNS 12

struct workload {
    struct dyno_timeline line;
    struct dyno_timeline_run runs[RUNS];
    bool is_running[RUNS], is_platform[RUNS];
    long double want[RUNS];
    dyno_u128 tenants_ns, platform_ns;
};

static void step_want(struct workload *w, uint64_t past_ns)
{
    uint64_t demand = 0;
    for (int i = 0; i < RUNS; i++)
        demand += w->is_running[i] ? w->runs[i].demand : 0;
    for (int i = 0; i < RUNS; i++) {
        const long double part =
            demand <= w->line.capacity ? 1 : (long double)w->line.capacity / demand;
        if (w->is_running[i])
            w->want[i] += (long double)past_ns * w->runs[i].demand * part;
    }
}

static void end_run(struct workload *w, int i, uint64_t now_ns)
{
    const uint64_t ns = dyno_timeline_end(&w->line, now_ns, &w->runs[i]);
    const long double off = (long double)ns - w->want[i];
    CHECK_MSG(off > -1.01L && off < 1.01L, "charged %llu, wants %Lf", (unsigned long long)ns,
              w->want[i]);
    w->is_running[i] = false;
    if (w->is_platform[i])
        w->platform_ns += ns;
    else
        w->tenants_ns += ns;
}

static void check_random(void)
{
    struct workload w = {0};
    uint64_t now_ns = random_bits(60);
    const uint32_t capacity = random_below(2) == 0 ? 1 : 1 + (uint32_t)random_below(64);
    dyno_timeline_init(&w.line, capacity, now_ns);
    for (int step = 0; step < 300; step++) {
        const uint64_t past_ns = random_bits(30);
        const int i = (int)random_below(RUNS);
        now_ns += past_ns;
        step_want(&w, past_ns);
        if (w.is_running[i]) {
            end_run(&w, i, now_ns);
        } else {
            w.is_platform[i] = random_below(4) == 0;
            w.want[i] = 0;
            dyno_timeline_begin(&w.line, now_ns, 1 + (uint32_t)random_below(capacity),
                                w.is_platform[i], &w.runs[i]);
            w.is_running[i] = true;
        }
        check_identity(&w.line, now_ns);
    }
    for (int i = 0; i < RUNS; i++)
        if (w.is_running[i])
            end_run(&w, i, now_ns);
    check_identity(&w.line, now_ns + 17);
    CHECK(w.tenants_ns == w.line.tenants_ns && w.platform_ns == w.line.platform_ns);
    CHECK(w.line.run_count == 0 && w.line.running == 0 && w.line.carry == 0);
}

/* A run that is cut in two pays the same: nobody gains by smaller batches or longer ones. */
static void check_cut(void)
{
    struct dyno_timeline whole;
    struct dyno_timeline cut;
    struct dyno_timeline_run other[2];
    struct dyno_timeline_run run[2];
    const uint64_t middle = random_bits(40);
    const uint64_t end = middle + random_bits(40);
    dyno_timeline_init(&whole, 1, 0);
    dyno_timeline_init(&cut, 1, 0);
    dyno_timeline_begin(&whole, 0, 1, false, &other[0]);
    dyno_timeline_begin(&cut, 0, 1, false, &other[1]);
    dyno_timeline_begin(&whole, 0, 1, false, &run[0]);
    dyno_timeline_begin(&cut, 0, 1, false, &run[1]);
    uint64_t parts = dyno_timeline_end(&cut, middle, &run[1]);
    dyno_timeline_begin(&cut, middle, 1, false, &run[1]);
    parts += dyno_timeline_end(&cut, end, &run[1]);
    const uint64_t one = dyno_timeline_end(&whole, end, &run[0]);
    CHECK(parts <= one + 1 && one <= parts + 1);
    CHECK(dyno_timeline_end(&whole, end, &other[0]) + one == end);
    CHECK(dyno_timeline_end(&cut, end, &other[1]) + parts == end);
}

static void test_residency(void)
{
    struct dyno_residency held;
    dyno_residency_init(&held, (uint64_t)80 << 30, 1000);
    dyno_residency_set(&held, (uint64_t)20 << 30, 1000 + 3600000000000);
    /* 80 GiB for an hour is more than 64 bits. */
    CHECK(dyno_residency_take(&held, 1000 + 3600000000000) ==
          (dyno_u128)((uint64_t)80 << 30) * 3600000000000);
    CHECK(dyno_residency_take(&held, 500) == 0); /* a clock that goes back */
    CHECK(dyno_residency_take(&held, 1001 + 3600000000000) == (uint64_t)20 << 30);
    struct dyno_share users[] = {{.key = 2, .size = 1}, {.key = 1, .size = 2}};
    dyno_split((dyno_u128)10 << 64, users, 2);
    CHECK(users[0].part + users[1].part == (dyno_u128)10 << 64 && users[1].part > users[0].part);
}

int main(void)
{
    test_overlap();
    test_cores();
    test_mismatch();
    for (int i = 0; i < 500; i++) {
        check_random();
        check_cut();
    }
    test_residency();
    return TEST_RESULT();
}
