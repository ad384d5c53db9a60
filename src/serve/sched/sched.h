/* sched.h - tasks wait for a context of their variant, run, and are done.
 *
 * A task is embedded in its caller's request and belongs to the scheduler from submit to `done`.
 * Knows of a device only that runs are submitted and complete.
 */
#ifndef DYNO_SERVE_SCHED_SCHED_H
#define DYNO_SERVE_SCHED_SCHED_H

#include "serve/model/variant.h"

#define DYNO_TASK_SMALL_BYTES 512

struct dyno_batch;

struct dyno_task {
    struct dyno_task *next;
    struct dyno_variant *variant; /* referenced by the caller */
    struct dyno_array *inputs;    /* in the engine's order; data live until done */
    struct dyno_array *outputs;   /* output_count of the variant; set when done */
    /* On the thread that ran it, or on the submitting one; the task is the caller's again. */
    void (*done)(struct dyno_task *task);
    uint64_t deadline_ns; /* not started after it; 0: none */
    atomic_bool is_cancelled;

    enum dyno_status status;
    struct dyno_err err;
    uint64_t queue_ns, start_ns, end_ns; /* when it was queued, started, ended */
    struct dyno_context *context;        /* lent, while it runs alone */
    struct dyno_batch *batch;            /* it ran in; NULL: alone */
    bool is_lead;                        /* the first of its run: stands for it in counts */
    void *output_memory;                 /* dyno_free; NULL: small */
    void *input_memory;                  /* copies of inputs that were not aligned */
    _Alignas(64) unsigned char small[DYNO_TASK_SMALL_BYTES];
};

struct dyno_sched_options {
    uint32_t queue_max;     /* waiting tasks of a variant; more are refused with E_BUSY */
    uint64_t inline_ns_max; /* runs predicted shorter happen on the submitting thread */
};

/* Takes the task; `done` may be called before this returns. */
void dyno_sched_submit(const struct dyno_sched_options *options, struct dyno_task *task);

/* It need not run any more: `done` still comes, with E_CANCELLED when it had not started. */
void dyno_sched_cancel(struct dyno_task *task);

/* Free what the task holds of outputs, after done. */
void dyno_task_fini(struct dyno_task *task);

#endif /* DYNO_SERVE_SCHED_SCHED_H */
