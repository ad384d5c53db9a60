/* test_pool.c - every task once, whatever the number of threads, callers and tasks. */
#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/cpus.h"
#include "base/mem.h"
#include "test.h"

#define TASKS_MAX 1000

struct tally {
    atomic_int runs[TASKS_MAX];
    atomic_int inside[DYNO_POOL_THREADS_MAX]; /* two tasks at one time on one thread index */
    atomic_int clashes;
    int plain[TASKS_MAX]; /* not atomic: the end of a run must make it visible */
    bool is_slow;
};

static void count_task(void *arg, int task, int thread)
{
    struct tally *tally = arg;
    if (atomic_fetch_add(&tally->inside[thread], 1) != 0)
        atomic_fetch_add(&tally->clashes, 1);
    atomic_fetch_add(&tally->runs[task], 1);
    tally->plain[task] = task + 1;
    if (tally->is_slow && task % 7 == 0)
        usleep(300);
    atomic_fetch_sub(&tally->inside[thread], 1);
}

static bool run_counted(struct dyno_pool *pool, int task_count, bool is_slow)
{
    struct tally *tally = calloc(1, sizeof(*tally));
    tally->is_slow = is_slow;
    dyno_pool_run(pool, count_task, tally, task_count);
    bool ok = tally->clashes == 0;
    for (int i = 0; i < TASKS_MAX; i++)
        ok = ok && tally->runs[i] == (i < task_count) &&
             tally->plain[i] == (i < task_count ? i + 1 : 0);
    free(tally);
    return ok;
}

static struct dyno_pool *make_pool(int thread_count, bool bind)
{
    const struct dyno_pool_options options = {.thread_count = thread_count, .bind = bind};
    struct dyno_pool *pool = NULL;
    struct dyno_err err = {0};
    CHECK_MSG(dyno_pool_create(&options, &pool, &err) == DYNO_OK, "%s", err.text);
    return pool;
}

static void test_every_task_once(void)
{
    static const int counts[] = {0, 1, 2, 3, 7, 8, 9, 64, 1000};
    for (int threads = 1; threads <= 8; threads++) {
        struct dyno_pool *pool = make_pool(threads, threads % 2 == 0);
        REQUIRE(pool != NULL && dyno_pool_thread_count(pool) == threads);
        for (int round = 0; round < 20; round++)
            for (size_t i = 0; i < DYNO_COUNT(counts); i++)
                CHECK_MSG(run_counted(pool, counts[i], round == 0), "%d threads, %d tasks", threads,
                          counts[i]);
        dyno_pool_destroy(pool);
    }
    CHECK(run_counted(NULL, 10, false));
}

/* Workers that have parked come back. */
static void test_wakes_parked(void)
{
    struct dyno_pool *pool = make_pool(3, false);
    for (int round = 0; round < 20; round++) {
        usleep(1000);
        CHECK(run_counted(pool, 12, true));
    }
    dyno_pool_destroy(pool);
}

struct caller {
    struct dyno_pool *pool;
    bool ok;
};

static void *call_often(void *arg)
{
    struct caller *caller = arg;
    caller->ok = true;
    for (int i = 0; i < 200; i++)
        caller->ok = caller->ok && run_counted(caller->pool, i % 50, i % 20 == 0);
    return NULL;
}

static void test_concurrent_callers(void)
{
    struct caller callers[4];
    pthread_t threads[4];
    struct dyno_pool *pool = make_pool(4, false);
    for (int i = 0; i < 4; i++) {
        callers[i].pool = pool;
        REQUIRE(pthread_create(&threads[i], NULL, call_often, &callers[i]) == 0);
    }
    for (int i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
        CHECK(callers[i].ok);
    }
    dyno_pool_destroy(pool);
}

struct nested {
    struct dyno_pool *pool;
    atomic_int good;
};

static void run_nested(void *arg, int task, int thread)
{
    struct nested *nested = arg;
    (void)task;
    (void)thread;
    nested->good += run_counted(nested->pool, 20, false);
}

static void test_nested(void)
{
    struct nested nested = {.pool = make_pool(3, false)};
    dyno_pool_run(nested.pool, run_nested, &nested, 9);
    CHECK(nested.good == 9);
    dyno_pool_destroy(nested.pool);
}

struct stealing {
    atomic_int done;
    bool was_stolen;
};

/* Task 0 blocks its thread until all others are done: they include those of its own share. */
static void wait_for_others(void *arg, int task, int thread)
{
    struct stealing *stealing = arg;
    (void)thread;
    if (task != 0) {
        atomic_fetch_add(&stealing->done, 1);
        return;
    }
    const time_t limit = time(NULL) + 20;
    while (atomic_load(&stealing->done) < 99 && time(NULL) < limit)
        usleep(100);
    stealing->was_stolen = atomic_load(&stealing->done) == 99;
}

static void test_stealing(void)
{
    struct stealing stealing = {0};
    struct dyno_pool *pool = make_pool(2, false);
    dyno_pool_run(pool, wait_for_others, &stealing, 100);
    CHECK(stealing.was_stolen);
    dyno_pool_destroy(pool);
}

static void test_limits(void)
{
    struct dyno_pool *pool = NULL;
    struct dyno_err err = {0};
    CHECK(dyno_pool_create(&(struct dyno_pool_options){.thread_count = 65}, &pool, &err) ==
          DYNO_E_ARG);
    CHECK(pool == NULL && strstr(err.text, "65") != NULL);
    CHECK(dyno_pool_create(&(struct dyno_pool_options){.thread_count = -1}, &pool, NULL) ==
          DYNO_E_ARG);
    CHECK(dyno_cpus_allowed_count() >= 1 && dyno_cpus_allowed(0) >= 0);
    pool = make_pool(0, false);
    CHECK(dyno_pool_thread_count(pool) >= 1);
    dyno_pool_destroy(pool);
    dyno_mem_fail_at(1);
    CHECK(dyno_pool_create(&(struct dyno_pool_options){.thread_count = 2}, &pool, NULL) ==
          DYNO_E_NOMEM);
    dyno_mem_fail_at(0);
    dyno_pool_destroy(NULL);
}

int main(void)
{
    test_every_task_once();
    test_wakes_parked();
    test_concurrent_callers();
    test_nested();
    test_stealing();
    test_limits();
    CHECK(dyno_mem_live_count() == 0);
    return TEST_RESULT();
}
