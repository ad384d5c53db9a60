/* threads.c - the public door to the thread pool. */
#include "base/pool.h"
#include "dyno/engine.h"

enum dyno_status dyno_threads_create(int thread_count, int bind, struct dyno_pool **pool_out,
                                     struct dyno_err *err)
{
    const struct dyno_pool_options options = {.thread_count = thread_count, .bind = bind != 0};
    return dyno_pool_create(&options, pool_out, err);
}

void dyno_threads_destroy(struct dyno_pool *pool)
{
    dyno_pool_destroy(pool);
}
