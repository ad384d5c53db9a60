/* test_certify_chain.c - which timings of the chain belong to a segment. */
#include "cli/certify_chain.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "test.h"

/* --- a chain that takes what the test says, and as long as it says --- */

static pthread_t user;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static const uint64_t by_thread_ns[] = {100, 300, 1000000, 500, 2000000};
static uint32_t begun_count, allowed_count; /* of the thread's */
static uint64_t by_user_ns;                 /* what the one at the end of a segment takes */
static cpu_set_t cpus;                      /* that the thread may use */

static uint64_t told(void)
{
    if (pthread_equal(pthread_self(), user))
        return by_user_ns;
    (void)pthread_mutex_lock(&lock);
    (void)sched_getaffinity(0, sizeof(cpus), &cpus);
    const uint32_t mine = begun_count++;
    (void)pthread_cond_broadcast(&changed);
    while (mine >= allowed_count)
        (void)pthread_cond_wait(&changed, &lock);
    (void)pthread_mutex_unlock(&lock);
    return mine < sizeof(by_thread_ns) / sizeof(by_thread_ns[0]) ? by_thread_ns[mine] : 1;
}

/* So many of the thread's may end. */
static void allow(uint32_t count)
{
    (void)pthread_mutex_lock(&lock);
    allowed_count = count;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
}

/* Until it began its count-th, with what the ones before it told taken down. */
static void await(uint32_t count)
{
    (void)pthread_mutex_lock(&lock);
    while (begun_count < count)
        (void)pthread_cond_wait(&changed, &lock);
    (void)pthread_mutex_unlock(&lock);
}

static uint64_t end_with(struct dyno_certify_chain *chain, uint64_t ns)
{
    by_user_ns = ns;
    return dyno_certify_chain_end(chain);
}

static void test_means(void)
{
    struct dyno_certify_chain *chain = NULL;
    struct dyno_err err = {0};
    cpu_set_t ours;
    REQUIRE(dyno_certify_chain_open(told, &chain, &err) == DYNO_OK);

    allow(2);
    dyno_certify_chain_begin(chain);
    await(3);
    CHECK(end_with(chain, 401) == 267); /* 100, 300, 401, rounded; the third came too late */

    dyno_certify_chain_begin(chain);
    CHECK(end_with(chain, 400) == 400); /* it has that alone: the thread is still in its third */

    dyno_certify_chain_begin(chain);
    allow(4); /* the third, of a segment before, does not count */
    await(5);
    CHECK(end_with(chain, 600) == 550);
    REQUIRE(sched_getaffinity(0, sizeof(ours), &ours) == 0);
    CHECK(CPU_EQUAL(&ours, &cpus)); /* read under no lock: the thread waits in its fifth */

    allow(UINT32_MAX);
    dyno_certify_chain_close(chain);
}

/* --- the chain itself --- */

static void test_chain(void)
{
    struct dyno_certify_chain *chain = NULL;
    struct dyno_err err = {0};
    CHECK(dyno_certify_chain_ns() > 0);
    REQUIRE(dyno_certify_chain_open(dyno_certify_chain_ns, &chain, &err) == DYNO_OK);
    dyno_certify_chain_begin(chain);
    CHECK(dyno_certify_chain_end(chain) > 0);
    dyno_certify_chain_close(chain);
}

static void test_closes_at_any_time(void)
{
    struct dyno_certify_chain *chain = NULL;
    struct dyno_err err = {0};
    char folder[64];
    REQUIRE(dyno_certify_chain_open(dyno_certify_chain_ns, &chain, &err) == DYNO_OK);
    const pid_t tid = dyno_certify_chain_tid(chain);
    (void)snprintf(folder, sizeof(folder), "/proc/self/task/%d", (int)tid);
    CHECK(tid != getpid() && access(folder, F_OK) == 0); /* one of this process, not this one */
    dyno_certify_chain_close(chain);

    REQUIRE(dyno_certify_chain_open(dyno_certify_chain_ns, &chain, &err) == DYNO_OK);
    dyno_certify_chain_begin(chain);
    dyno_certify_chain_close(chain); /* a run failed in the segment */

    dyno_certify_chain_begin(NULL); /* on a GPU there is none */
    CHECK(dyno_certify_chain_tid(NULL) == 0);
    dyno_certify_chain_close(NULL);
}

int main(void)
{
    user = pthread_self();
    test_means();
    test_chain();
    test_closes_at_any_time();
    return TEST_RESULT();
}
