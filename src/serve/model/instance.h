/* instance.h - what runs an engine, one run at a time.
 *
 * A context of this process.  Whoever was lent it runs it; two never at once.
 */
#ifndef DYNO_SERVE_MODEL_INSTANCE_H
#define DYNO_SERVE_MODEL_INSTANCE_H

#include "dyno/engine.h"

struct dyno_instance;

/* Of one run, CLOCK_MONOTONIC. */
struct dyno_instance_times {
    uint64_t start_ns, end_ns;
};

/* Called once, on the thread that ran it; may submit again to another one. */
typedef void dyno_instance_done_fn(void *arg, enum dyno_status status,
                                   const struct dyno_instance_times *times,
                                   const struct dyno_err *err);

/* The engine and the pool outlive it. */
enum dyno_status dyno_instance_create(struct dyno_engine *engine, struct dyno_pool *pool,
                                      struct dyno_instance **instance_out, struct dyno_err *err);
void dyno_instance_destroy(struct dyno_instance *instance); /* accepts NULL */

/* As dyno_context_bind, _submit and _run. */
enum dyno_status dyno_instance_bind(struct dyno_instance *instance, const struct dyno_array *inputs,
                                    struct dyno_array *outputs, struct dyno_err *err);
enum dyno_status dyno_instance_submit(struct dyno_instance *instance,
                                      const struct dyno_array *inputs, struct dyno_array *outputs,
                                      dyno_instance_done_fn *done, void *done_arg,
                                      struct dyno_err *err);
enum dyno_status dyno_instance_run(struct dyno_instance *instance, const struct dyno_array *inputs,
                                   struct dyno_array *outputs, struct dyno_err *err);

#endif /* DYNO_SERVE_MODEL_INSTANCE_H */
