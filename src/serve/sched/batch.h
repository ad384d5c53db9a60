/* batch.h - tasks that run as one: their inputs put one after the other, the outputs cut apart.
 *
 * A batch is made by whoever starts it, and goes with the last of its tasks (dyno_task_fini).
 */
#ifndef DYNO_SERVE_SCHED_BATCH_H
#define DYNO_SERVE_SCHED_BATCH_H

#include "meter/account/share.h"
#include "serve/sched/sched.h"

struct dyno_batch {
    atomic_uint_fast32_t ref_count; /* tasks */
    struct dyno_variant *variant;
    struct dyno_instance *instance;
    struct dyno_task *tasks; /* linked by next, in order */
    uint32_t task_count;
    int64_t rows;
    struct dyno_array *inputs, *outputs;
    void *input_memory, *output_memory;
    struct dyno_budget *budget; /* of the two */
    struct dyno_device_run mark;
    /* What became of its run. */
    struct dyno_hand_work finish;
    enum dyno_status status;
    struct dyno_instance_times times;
    uint64_t core_ns;
    struct dyno_err err;
    struct dyno_share *shares; /* one a task */
};

/* May these two run together: same types, same shapes but for the first dimension? */
bool dyno_batch_fits(const struct dyno_task *a, const struct dyno_task *b);

/* A batch of the `count` tasks linked at `tasks`, inputs gathered, outputs placed; the instance is
 * bound.  NULL when out of memory or when the instance refuses (err). */
struct dyno_batch *dyno_batch_create(struct dyno_task *tasks, uint32_t count,
                                     struct dyno_instance *instance, struct dyno_err *err);

/* Share out the run's time, and the time of cores, both exactly: the first by rows, as it is used
 * up; the second by what a run of its own costs before its rows, and what a row does, as the
 * variant has learnt it (meter/account/share.h). */
void dyno_batch_share(struct dyno_batch *batch, uint64_t ns, uint64_t core_ns);
/* The run went well: outputs that lie in the instance are copied before that runs again.  E_BUSY,
 * E_MISMATCH. */
enum dyno_status dyno_batch_keep(struct dyno_batch *batch, struct dyno_err *err);
/* After that: each task gets its part of the outputs. */
void dyno_batch_scatter(struct dyno_batch *batch);
void dyno_batch_unref(struct dyno_batch *batch);

#endif /* DYNO_SERVE_SCHED_BATCH_H */
