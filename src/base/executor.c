/* executor.c - first in, first out, one thread. */
#include "base/executor.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"

struct dyno_executor {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct dyno_job *first, *last;
    pthread_t thread;
    bool has_thread;
    bool ending;
};

struct dyno_executor *dyno_executor_create(void)
{
    struct dyno_executor *executor = dyno_alloc(1, sizeof(*executor));
    if (executor == NULL)
        return NULL;
    (void)pthread_mutex_init(&executor->lock, NULL);
    (void)pthread_cond_init(&executor->work, NULL);
    return executor;
}

static struct dyno_job *pop(struct dyno_executor *executor)
{
    struct dyno_job *job = executor->first;
    if (job != NULL) {
        executor->first = job->next;
        if (executor->first == NULL)
            executor->last = NULL;
        job->queued = false;
    }
    return job;
}

static void *serve(void *arg)
{
    struct dyno_executor *executor = arg;
    (void)pthread_mutex_lock(&executor->lock);
    for (;;) {
        struct dyno_job *job = pop(executor);
        if (job == NULL) {
            if (executor->ending)
                break;
            (void)pthread_cond_wait(&executor->work, &executor->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&executor->lock);
        job->run(job);
        (void)pthread_mutex_lock(&executor->lock);
    }
    (void)pthread_mutex_unlock(&executor->lock);
    return NULL;
}

enum dyno_status dyno_executor_queue(struct dyno_executor *executor, struct dyno_job *job,
                                     struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    (void)pthread_mutex_lock(&executor->lock);
    if (!executor->has_thread) {
        const int code = pthread_create(&executor->thread, NULL, serve, executor);
        if (code != 0)
            status = DYNO_FAIL(err, DYNO_E_LIMIT, "cannot start a thread for submitted runs: %s",
                               strerror(code));
        executor->has_thread = code == 0;
    }
    if (status == DYNO_OK) {
        job->next = NULL;
        job->queued = true;
        if (executor->last != NULL)
            executor->last->next = job;
        else
            executor->first = job;
        executor->last = job;
        (void)pthread_cond_signal(&executor->work);
    }
    (void)pthread_mutex_unlock(&executor->lock);
    return status;
}

bool dyno_executor_take_back(struct dyno_executor *executor, struct dyno_job *job)
{
    bool taken = false;
    (void)pthread_mutex_lock(&executor->lock);
    if (job->queued) {
        struct dyno_job *prev = NULL;
        struct dyno_job *at = executor->first;
        while (at != job) {
            prev = at;
            at = at->next;
        }
        if (prev != NULL)
            prev->next = job->next;
        else
            executor->first = job->next;
        if (executor->last == job)
            executor->last = prev;
        job->queued = false;
        taken = true;
    }
    (void)pthread_mutex_unlock(&executor->lock);
    return taken;
}

void dyno_executor_destroy(struct dyno_executor *executor)
{
    if (executor == NULL)
        return;
    (void)pthread_mutex_lock(&executor->lock);
    executor->ending = true;
    (void)pthread_cond_signal(&executor->work);
    (void)pthread_mutex_unlock(&executor->lock);
    if (executor->has_thread)
        (void)pthread_join(executor->thread, NULL);
    (void)pthread_cond_destroy(&executor->work);
    (void)pthread_mutex_destroy(&executor->lock);
    dyno_free(executor);
}
