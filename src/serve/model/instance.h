/* instance.h - what runs an engine, one run at a time.
 *
 * A context of this process, or one in the child that drives a GPU (gpu/remote.h).  Whoever was
 * lent it runs it; two never at once.
 */
#ifndef DYNO_SERVE_MODEL_INSTANCE_H
#define DYNO_SERVE_MODEL_INSTANCE_H

#include <stdbool.h>

#include "dyno/engine.h"
#include "serve/gpu/remote.h"

struct dyno_instance;

/* Of one run, CLOCK_MONOTONIC. */
struct dyno_instance_times {
    uint64_t start_ns, end_ns;
    uint64_t busy_ns; /* that it kept a GPU busy */
};

/* Called once, on the thread that ran it, or that hears of it; may submit again to another one. */
typedef void dyno_instance_done_fn(void *arg, enum dyno_status status,
                                   const struct dyno_instance_times *times,
                                   const struct dyno_err *err);

/* The engine and the pool outlive it; so does `remote`, where it is that one's (NULL: it is of this
 * process). */
enum dyno_status dyno_instance_create(struct dyno_engine *engine, struct dyno_pool *pool,
                                      struct dyno_remote_engine *remote,
                                      struct dyno_instance **instance_out, struct dyno_err *err);
void dyno_instance_destroy(struct dyno_instance *instance); /* accepts NULL */

/* Is it in a child?  Then it is not bound, inputs may have any address, and where outputs lie is
 * its own: until its next run, or dyno_instance_room. */
bool dyno_instance_is_remote(const struct dyno_instance *instance);
/* Of one in a child: room for inputs, which are copied otherwise; NULL: there is none. */
char *dyno_instance_room(struct dyno_instance *instance, uint64_t bytes);

/* As dyno_context_bind, _submit and _run.  times_out may be NULL. */
enum dyno_status dyno_instance_bind(struct dyno_instance *instance, const struct dyno_array *inputs,
                                    struct dyno_array *outputs, struct dyno_err *err);
enum dyno_status dyno_instance_submit(struct dyno_instance *instance,
                                      const struct dyno_array *inputs, struct dyno_array *outputs,
                                      dyno_instance_done_fn *done, void *done_arg,
                                      struct dyno_err *err);
enum dyno_status dyno_instance_run(struct dyno_instance *instance, const struct dyno_array *inputs,
                                   struct dyno_array *outputs,
                                   struct dyno_instance_times *times_out, struct dyno_err *err);

#endif /* DYNO_SERVE_MODEL_INSTANCE_H */
