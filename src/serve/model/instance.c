/* instance.c - a context and whoever waits for its run. */
#include "serve/model/instance.h"

#include "base/err.h"
#include "base/mem.h"

struct dyno_instance {
    struct dyno_context *context;
    dyno_instance_done_fn *done; /* of the run in flight */
    void *done_arg;
};

enum dyno_status dyno_instance_create(struct dyno_engine *engine, struct dyno_pool *pool,
                                      struct dyno_instance **instance_out, struct dyno_err *err)
{
    *instance_out = NULL;
    struct dyno_instance *instance = dyno_alloc(1, sizeof(*instance));
    if (instance == NULL)
        return DYNO_NOMEM(err);
    const enum dyno_status status = dyno_context_create(engine, pool, &instance->context, err);
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
    dyno_free(instance);
}

enum dyno_status dyno_instance_bind(struct dyno_instance *instance, const struct dyno_array *inputs,
                                    struct dyno_array *outputs, struct dyno_err *err)
{
    return dyno_context_bind(instance->context, inputs, outputs, err);
}

/* The instance may be lent to somebody else before this returns. */
static void on_done(void *arg, enum dyno_status status, const struct dyno_run_times *times,
                    const struct dyno_err *err)
{
    const struct dyno_instance *instance = arg;
    const struct dyno_instance_times told = {.start_ns = times->start_ns, .end_ns = times->end_ns};
    instance->done(instance->done_arg, status, &told, err);
}

enum dyno_status dyno_instance_submit(struct dyno_instance *instance,
                                      const struct dyno_array *inputs, struct dyno_array *outputs,
                                      dyno_instance_done_fn *done, void *done_arg,
                                      struct dyno_err *err)
{
    instance->done = done;
    instance->done_arg = done_arg;
    return dyno_context_submit(instance->context, inputs, outputs, on_done, instance, err);
}

enum dyno_status dyno_instance_run(struct dyno_instance *instance, const struct dyno_array *inputs,
                                   struct dyno_array *outputs, struct dyno_err *err)
{
    return dyno_context_run(instance->context, inputs, outputs, err);
}
