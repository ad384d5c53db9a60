/* instance.c - a context, here or in a child, and whoever waits for its run. */
#include "serve/model/instance.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

struct dyno_instance {
    struct dyno_context *context; /* either this, */
    struct dyno_remote *remote;   /* or this */
    dyno_instance_done_fn *done;  /* of the run in flight */
    void *done_arg;
};

enum dyno_status dyno_instance_create(struct dyno_engine *engine, struct dyno_pool *pool,
                                      struct dyno_remote_engine *remote,
                                      struct dyno_instance **instance_out, struct dyno_err *err)
{
    *instance_out = NULL;
    struct dyno_instance *instance = dyno_alloc(1, sizeof(*instance));
    if (instance == NULL)
        return DYNO_NOMEM(err);
    const enum dyno_status status =
        remote != NULL ? dyno_remote_create(remote, &instance->remote, err)
                       : dyno_context_create(engine, pool, &instance->context, err);
    if (status == DYNO_OK)
        *instance_out = instance;
    else
        dyno_instance_destroy(instance);
    return status;
}

void dyno_instance_destroy(struct dyno_instance *instance)
{
    if (instance == NULL)
        return;
    dyno_context_destroy(instance->context);
    dyno_remote_destroy(instance->remote);
    dyno_free(instance);
}

bool dyno_instance_is_remote(const struct dyno_instance *instance)
{
    return instance->remote != NULL;
}

char *dyno_instance_room(struct dyno_instance *instance, uint64_t bytes)
{
    return dyno_remote_room(instance->remote, bytes);
}

enum dyno_status dyno_instance_bind(struct dyno_instance *instance, const struct dyno_array *inputs,
                                    struct dyno_array *outputs, struct dyno_err *err)
{
    return dyno_context_bind(instance->context, inputs, outputs, err);
}

/* The instance may be lent to somebody else before these return. */
static void context_done(void *arg, enum dyno_status status, const struct dyno_run_times *times,
                         const struct dyno_err *err)
{
    const struct dyno_instance *instance = arg;
    const struct dyno_instance_times told = {.start_ns = times->start_ns, .end_ns = times->end_ns};
    instance->done(instance->done_arg, status, &told, err);
}

static void remote_done(void *arg, enum dyno_status status, const struct dyno_remote_times *times,
                        const struct dyno_err *err)
{
    const struct dyno_instance *instance = arg;
    const struct dyno_instance_times told = {
        .start_ns = times->start_ns, .end_ns = times->end_ns, .busy_ns = times->device_ns};
    instance->done(instance->done_arg, status, &told, err);
}

enum dyno_status dyno_instance_submit(struct dyno_instance *instance,
                                      const struct dyno_array *inputs, struct dyno_array *outputs,
                                      dyno_instance_done_fn *done, void *done_arg,
                                      struct dyno_err *err)
{
    instance->done = done;
    instance->done_arg = done_arg;
    if (instance->remote != NULL)
        return dyno_remote_submit(instance->remote, inputs, outputs, remote_done, instance, err);
    return dyno_context_submit(instance->context, inputs, outputs, context_done, instance, err);
}

/* --- a run that is waited for --- */

struct wait {
    pthread_mutex_t lock;
    pthread_cond_t is_over_cond;
    bool is_over;
    enum dyno_status status;
    struct dyno_instance_times times;
    struct dyno_err err;
};

static void wait_done(void *arg, enum dyno_status status, const struct dyno_instance_times *times,
                      const struct dyno_err *err)
{
    struct wait *wait = arg;
    (void)pthread_mutex_lock(&wait->lock);
    wait->status = status;
    wait->times = *times;
    wait->err = *err;
    wait->is_over = true;
    (void)pthread_cond_signal(&wait->is_over_cond);
    (void)pthread_mutex_unlock(&wait->lock);
}

static enum dyno_status run_remote(struct dyno_instance *instance, const struct dyno_array *inputs,
                                   struct dyno_array *outputs,
                                   struct dyno_instance_times *times_out, struct dyno_err *err)
{
    struct wait wait = {.is_over = false};
    (void)pthread_mutex_init(&wait.lock, NULL);
    (void)pthread_cond_init(&wait.is_over_cond, NULL);
    enum dyno_status status =
        dyno_instance_submit(instance, inputs, outputs, wait_done, &wait, err);
    if (status == DYNO_OK) {
        (void)pthread_mutex_lock(&wait.lock);
        while (!wait.is_over)
            (void)pthread_cond_wait(&wait.is_over_cond, &wait.lock);
        (void)pthread_mutex_unlock(&wait.lock);
        *times_out = wait.times;
        status = wait.status;
        if (status != DYNO_OK)
            (void)DYNO_FAIL(err, status, "%s", wait.err.text);
    }
    (void)pthread_cond_destroy(&wait.is_over_cond);
    (void)pthread_mutex_destroy(&wait.lock);
    return status;
}

enum dyno_status dyno_instance_run(struct dyno_instance *instance, const struct dyno_array *inputs,
                                   struct dyno_array *outputs,
                                   struct dyno_instance_times *times_out, struct dyno_err *err)
{
    const bool is_asked = times_out != NULL; /* a small run notices what a clock takes */
    struct dyno_instance_times times = {.start_ns = is_asked ? dyno_clock_ns() : 0};
    enum dyno_status status = DYNO_OK;
    if (instance->remote != NULL) {
        status = run_remote(instance, inputs, outputs, &times, err);
    } else {
        status = dyno_context_run(instance->context, inputs, outputs, err);
        times.end_ns = is_asked ? dyno_clock_ns() : 0;
    }
    if (is_asked)
        *times_out = times;
    return status;
}
