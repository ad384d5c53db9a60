/* context.h - inside of a context.
 *
 * context.c runs it, context_ask.c answers questions about it; nobody else looks in here.
 */
#ifndef DYNO_ENGINE_CONTEXT_H
#define DYNO_ENGINE_CONTEXT_H

#include <pthread.h>

#include "base/executor.h"
#include "engine/binding.h"

enum run_state { RUN_IDLE, RUN_QUEUED, RUN_STARTED, RUN_DONE };

struct dyno_context {
    struct dyno_engine *engine;
    struct dyno_pool *pool;
    struct dyno_binding *bindings; /* most recently used first */
    struct dyno_binding *current;  /* the one placed in the arena */
    struct dyno_binding *bound;    /* the one bound last */
    void *arena;
    uint64_t arena_bytes;
    struct dyno_arena *scratch; /* of reference kernels, emptied after each step */
    bool has_texts;             /* ... until one makes texts: then with the next run */
    struct dyno_arena *open;    /* tensors whose shape only the run tells; until the next run */
    void **addresses;           /* of INPUT and OUTPUT tensors, by tensor id */
    void **own_outputs;         /* memory of outputs the caller gave none for */
    size_t *own_output_bytes;
    struct dyno_array *given;     /* outputs as the caller handed them in */
    float *step_us;               /* NULL: not profiled */
    struct dyno_context_gpu *gpu; /* NULL: everything runs on the CPU */
    dyno_tap_fn *tap;
    void *tap_arg;

    /* The run in flight. */
    struct dyno_job job;
    pthread_mutex_t lock;
    pthread_cond_t done_cond;
    enum run_state state;
    struct dyno_array *inputs; /* copies */
    struct dyno_array *outputs;
    dyno_run_done_fn *done;
    void *done_arg;
    struct dyno_run_times times;
    enum dyno_status status;
    struct dyno_err err;
};

#endif /* DYNO_ENGINE_CONTEXT_H */
