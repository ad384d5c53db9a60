/* pool.c - one open loop at a time, entered and left through one word.
 *
 * `state` is OPEN while a loop may be entered, plus the number of workers inside.  A worker reads
 * the loop only between entering (acquire) and leaving (release), and the caller changes it only
 * after closing and seeing nobody inside; so a worker that wakes late finds the door closed and
 * never holds up the caller.  `epoch` only tells sleepers that there is something new.
 */
#include "base/pool.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpus.h"
#include "base/executor.h"
#include "base/fp.h"
#include "base/mem.h"

#define SPIN_US_DEFAULT    50
#define PAUSES_A_CLOCK     32
#define STATE_OPEN         0x80000000U
#define STATE_CALLER_WAITS 0x40000000U
#define STATE_INSIDE       0x0000ffffU

/* The tasks of one thread that nobody has taken yet: next..end-1. */
struct share {
    _Alignas(64) atomic_uint next;
    unsigned end;
};

struct worker {
    struct dyno_pool *pool;
    pthread_t thread;
    int idx;
};

struct dyno_pool {
    _Alignas(64) atomic_uint epoch;
    atomic_bool stopping;
    _Alignas(64) atomic_uint state;
    _Alignas(64) atomic_uint parked_count;
    _Alignas(64) atomic_bool is_busy;
    dyno_pool_fn *fn;
    void *arg;
    unsigned fp_control; /* the caller's: tasks round and flush alike on every thread */
    int share_count;
    int thread_count;
    int started_count; /* workers whose thread runs */
    uint64_t spin_ns;
    bool bind;
    struct dyno_executor *executor;
    struct share shares[DYNO_POOL_THREADS_MAX];
    struct worker workers[DYNO_POOL_THREADS_MAX];
};

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

static void futex_wait(atomic_uint *word, unsigned expected)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, int count)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static void drain_share(struct dyno_pool *pool, struct share *share, int thread)
{
    while (atomic_load_explicit(&share->next, memory_order_relaxed) < share->end) {
        const unsigned task = atomic_fetch_add_explicit(&share->next, 1, memory_order_relaxed);
        if (task < share->end)
            pool->fn(pool->arg, (int)task, thread);
    }
}

/* Own tasks first, then those of the threads after us. */
static void take_part(struct dyno_pool *pool, int thread)
{
    const int first = thread < pool->share_count ? thread : 0;
    for (int i = 0; i < pool->share_count; i++)
        drain_share(pool, &pool->shares[(first + i) % pool->share_count], thread);
}

static bool enter(struct dyno_pool *pool)
{
    unsigned state = atomic_load_explicit(&pool->state, memory_order_relaxed);
    while ((state & STATE_OPEN) != 0)
        if (atomic_compare_exchange_weak_explicit(&pool->state, &state, state + 1,
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

static void leave(struct dyno_pool *pool)
{
    const unsigned before = atomic_fetch_sub_explicit(&pool->state, 1, memory_order_acq_rel);
    if ((before & STATE_CALLER_WAITS) != 0 && (before & STATE_INSIDE) == 1)
        futex_wake(&pool->state, 1);
}

/* Spin, then sleep, until the epoch is no longer `seen`. */
static void await_epoch(struct dyno_pool *pool, unsigned seen)
{
    const uint64_t start_ns = dyno_clock_ns();
    do
        for (int i = 0; i < PAUSES_A_CLOCK; i++) {
            if (atomic_load_explicit(&pool->epoch, memory_order_acquire) != seen)
                return;
            pause_cpu();
        }
    while (dyno_clock_ns() - start_ns < pool->spin_ns);
    atomic_fetch_add(&pool->parked_count, 1);
    while (atomic_load(&pool->epoch) == seen)
        futex_wait(&pool->epoch, seen);
    atomic_fetch_sub(&pool->parked_count, 1);
}

static void *worker_main(void *arg)
{
    const struct worker *worker = arg;
    struct dyno_pool *pool = worker->pool;
    char name[16];
    (void)snprintf(name, sizeof(name), "dyno-%d", worker->idx % 1000);
    (void)pthread_setname_np(pthread_self(), name);
    const int cpu = pool->bind ? dyno_cpus_allowed(worker->idx) : -1;
    if (cpu >= 0) {
        cpu_set_t mask;
        CPU_ZERO(&mask);
        CPU_SET((size_t)cpu, &mask);
        (void)pthread_setaffinity_np(pthread_self(), sizeof(mask), &mask);
    }
    unsigned seen = 0;
    for (;;) {
        await_epoch(pool, seen);
        seen = atomic_load_explicit(&pool->epoch, memory_order_acquire);
        if (atomic_load_explicit(&pool->stopping, memory_order_relaxed))
            return NULL;
        if (enter(pool)) {
            dyno_fp_set(pool->fp_control);
            take_part(pool, worker->idx);
            leave(pool);
        }
    }
}

/* Tell everybody that the epoch is a new one. */
static void raise_epoch(struct dyno_pool *pool, int wanted_count)
{
    atomic_fetch_add(&pool->epoch, 1);
    if (atomic_load(&pool->parked_count) != 0)
        futex_wake(&pool->epoch, wanted_count);
}

enum dyno_status dyno_pool_create(const struct dyno_pool_options *options,
                                  struct dyno_pool **pool_out, struct dyno_err *err)
{
    *pool_out = NULL;
    int thread_count = options->thread_count;
    if (thread_count < 0 || thread_count > DYNO_POOL_THREADS_MAX)
        return DYNO_FAIL(err, DYNO_E_ARG, "thread count %d is outside 0..%d", thread_count,
                         DYNO_POOL_THREADS_MAX);
    if (thread_count == 0)
        thread_count = dyno_cpus_allowed_count();
    if (thread_count > DYNO_POOL_THREADS_MAX)
        thread_count = DYNO_POOL_THREADS_MAX;
    struct dyno_pool *pool = dyno_alloc(1, sizeof(*pool));
    if (pool == NULL)
        return DYNO_NOMEM(err);
    pool->thread_count = thread_count;
    pool->spin_ns = (uint64_t)(options->spin_us > 0 ? options->spin_us : SPIN_US_DEFAULT) * 1000;
    pool->bind = options->bind;
    pool->executor = dyno_executor_create();
    if (pool->executor == NULL) {
        dyno_free(pool);
        return DYNO_NOMEM(err);
    }
    /* Signals belong to the threads of the host. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = 0;
    for (int i = 1; i < thread_count && failed == 0; i++) {
        struct worker *worker = &pool->workers[i];
        *worker = (struct worker){.pool = pool, .idx = i};
        failed = pthread_create(&worker->thread, NULL, worker_main, worker);
        pool->started_count += failed == 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        const int running = pool->started_count;
        dyno_pool_destroy(pool);
        return DYNO_FAIL(err, DYNO_E_LIMIT, "thread %d of %d did not start: %s", running + 2,
                         thread_count, strerror(failed));
    }
    *pool_out = pool;
    return DYNO_OK;
}

void dyno_pool_destroy(struct dyno_pool *pool)
{
    if (pool == NULL)
        return;
    dyno_executor_destroy(pool->executor);
    atomic_store(&pool->stopping, true);
    raise_epoch(pool, INT_MAX);
    for (int i = 1; i <= pool->started_count; i++)
        (void)pthread_join(pool->workers[i].thread, NULL);
    dyno_free(pool);
}

struct dyno_executor *dyno_pool_executor(struct dyno_pool *pool)
{
    return pool->executor;
}

int dyno_pool_thread_count(const struct dyno_pool *pool)
{
    return pool->thread_count;
}

static void run_alone(dyno_pool_fn *fn, void *arg, int task_count)
{
    for (int task = 0; task < task_count; task++)
        fn(arg, task, 0);
}

/* Close the loop and wait for those inside. */
static void close_loop(struct dyno_pool *pool)
{
    unsigned state = atomic_fetch_and_explicit(&pool->state, ~STATE_OPEN, memory_order_acq_rel);
    const uint64_t start_ns = (state & STATE_INSIDE) != 0 ? dyno_clock_ns() : 0;
    for (;;) {
        for (int i = 0; i < PAUSES_A_CLOCK; i++) {
            state = atomic_load_explicit(&pool->state, memory_order_acquire);
            if ((state & STATE_INSIDE) == 0)
                return;
            pause_cpu();
        }
        if (dyno_clock_ns() - start_ns < pool->spin_ns)
            continue;
        state = atomic_fetch_or_explicit(&pool->state, STATE_CALLER_WAITS, memory_order_acq_rel);
        if ((state & STATE_INSIDE) != 0)
            futex_wait(&pool->state, state | STATE_CALLER_WAITS);
    }
}

void dyno_pool_run(struct dyno_pool *pool, dyno_pool_fn *fn, void *arg, int task_count)
{
    if (pool == NULL || pool->thread_count == 1 || task_count <= 1 ||
        atomic_exchange_explicit(&pool->is_busy, true, memory_order_acquire)) {
        run_alone(fn, arg, task_count);
        return;
    }
    pool->fp_control = dyno_fp_control();
    const int share_count = task_count < pool->thread_count ? task_count : pool->thread_count;
    const int each = task_count / share_count;
    const int larger_count = task_count % share_count;
    int first = 0;
    for (int i = 0; i < share_count; i++) {
        const int end = first + each + (i < larger_count);
        atomic_store_explicit(&pool->shares[i].next, (unsigned)first, memory_order_relaxed);
        pool->shares[i].end = (unsigned)end;
        first = end;
    }
    pool->fn = fn;
    pool->arg = arg;
    pool->share_count = share_count;
    atomic_store_explicit(&pool->state, STATE_OPEN, memory_order_release);
    raise_epoch(pool, share_count - 1);
    take_part(pool, 0);
    close_loop(pool);
    atomic_store_explicit(&pool->is_busy, false, memory_order_release);
}
