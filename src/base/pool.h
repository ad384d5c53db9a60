/* pool.h - the thread pool: one parallel loop at a time over a fixed set of threads.
 *
 * Injected, never global: a process makes one pool and its contexts share it.  The caller of
 * dyno_pool_run takes part as thread 0.  Workers spin for a bounded time after a loop, then park.
 * Tasks run in the caller's floating-point environment on every thread.
 * Threads may call dyno_pool_run concurrently: the loops run one after the other (a second caller
 * runs its loop alone on its own thread when the pool is busy).
 */
#ifndef DYNO_BASE_POOL_H
#define DYNO_BASE_POOL_H

#include <stdbool.h>

#include "base/err.h"

#define DYNO_POOL_THREADS_MAX 64

struct dyno_pool;
struct dyno_executor;

struct dyno_pool_options {
    int thread_count; /* 1..DYNO_POOL_THREADS_MAX with the caller; 0: one a CPU allowed to us */
    bool bind;        /* bind thread i to the i-th allowed CPU (worker threads only) */
    int spin_us;      /* how long a worker spins before it parks; 0: default (50) */
};

enum dyno_status dyno_pool_create(const struct dyno_pool_options *options,
                                  struct dyno_pool **pool_out, struct dyno_err *err);
void dyno_pool_destroy(struct dyno_pool *pool); /* accepts NULL */

/* Runs jobs one after the other on a thread of its own, which is a caller of the pool; it starts
 * with the first job.  Lives as long as the pool. */
struct dyno_executor *dyno_pool_executor(struct dyno_pool *pool);

int dyno_pool_thread_count(const struct dyno_pool *pool);

/* task: 0..task_count-1.  thread: 0..thread_count-1, distinct among tasks that run at one time. */
typedef void dyno_pool_fn(void *arg, int task, int thread);

/* Run fn for every task; returns when all are done.  Tasks are split statically: thread t gets a
 * contiguous range, the first ranges are the larger ones; idle threads then steal whole tasks.
 * pool NULL: everything on the caller. */
void dyno_pool_run(struct dyno_pool *pool, dyno_pool_fn *fn, void *arg, int task_count);

#endif /* DYNO_BASE_POOL_H */
