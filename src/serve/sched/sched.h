/* sched.h - tasks wait for a lane of their variant's device, run, and are done.
 *
 * Each device has lanes and a queue of its own; nothing of one waits for another.
 *
 * A lane runs one thing at a time. When it is free the fairest task leads (fair.h) and others of
 * its variant and shape join it, as far as rows are independent and every deadline allows (form.h).
 * Tasks that are cheaper than a change of thread run where they came.
 *
 * A task is embedded in its caller's request and belongs to the scheduler from submit to `done`.
 * Any thread submits. Of a device it is known only that runs are submitted to the instances of a
 * lane and complete, one after the other.  What follows a run of a GPU is done by threads of the
 * scheduler's own (hands.h).
 */
#ifndef DYNO_SERVE_SCHED_SCHED_H
#define DYNO_SERVE_SCHED_SCHED_H

#include "base/budget.h"
#include "serve/model/variant.h"
#include "serve/sched/class.h"
#include "serve/sched/hands.h"
#include "serve/watch/device.h"

#define DYNO_TASK_SMALL_BYTES 512

struct dyno_batch;
struct dyno_line;
struct dyno_sched;

struct dyno_task {
    _Alignas(64) unsigned char small[DYNO_TASK_SMALL_BYTES]; /* outputs, where they fit */
    struct dyno_variant *variant;                            /* referenced by the caller */
    struct dyno_array *inputs;  /* in the engine's order; data live until done */
    struct dyno_array *outputs; /* output_count of the variant; set when done */
    /* On the thread that ran it, on the submitting one, or on the scheduler's; the task is the
     * caller's again. */
    void (*done)(struct dyno_task *task);
    uint64_t tenant;
    uint64_t deadline_ns; /* answered after it is worth nothing; 0: none */
    int class_idx;
    int lane; /* the scheduler's: where it runs; -1: where it came */
    atomic_bool is_cancelled;

    enum dyno_status status;
    struct dyno_err err;
    uint64_t retry_ns;                   /* E_BUSY: when there may be room, from now; 0: unknown */
    uint64_t queue_ns, start_ns, end_ns; /* when it was queued, started, ended */
    uint64_t device_ns;                  /* its share of the run */
    uint64_t core_ns;  /* the same as it is metered: of all cores that the run took, or of a GPU */
    uint64_t batch_id; /* of the run, from 1 on; 0: it did not run */
    uint32_t batch_count; /* requests of the run */
    int64_t batch_rows;   /* of the run */

    /* The scheduler's. */
    struct dyno_sched *sched;
    struct dyno_budget *budget; /* of output_memory and input_memory */
    struct dyno_task *next, *prev;
    struct dyno_line *line;   /* while it waits */
    struct dyno_cost_key key; /* the shape of its rows */
    int64_t rows;
    uint64_t order_ns;              /* its place in its line */
    uint64_t cost_ns, alone_ns;     /* predicted: its share of a run, and of a run of its own */
    struct dyno_instance *instance; /* lent, while it runs alone */
    struct dyno_batch *batch;       /* it ran in; NULL: alone */
    void *output_memory;            /* NULL: small */
    struct dyno_device_run mark;    /* of a run of its own */
    struct dyno_hand_work finish;   /* of that */
    void *input_memory;             /* copies of inputs that were not aligned */
};

struct dyno_sched_device {
    int lane_count; /* as many as instances were made for */
    bool
        is_serial; /* runs of its lanes follow each other: what overlaps is what lies around them */
    struct dyno_device *account;           /* is told of runs; NULL: nobody is */
    uint32_t lane_threads[DYNO_LANES_MAX]; /* with an account: what a run of each takes */
};

struct dyno_sched_options {
    struct dyno_budget *budget;         /* of what runs need beside their requests' bodies */
    const struct dyno_classes *classes; /* live as long as the scheduler */
    uint32_t queue_max;                 /* waiting tasks of a variant; more are refused */
    uint64_t inline_ns_max; /* runs of the CPU predicted shorter happen on the submitting thread */
    struct dyno_sched_device devices[DYNO_DEVICES_MAX]; /* by the variants' device */
    int device_count;
};

enum dyno_status dyno_sched_create(const struct dyno_sched_options *options,
                                   struct dyno_sched **sched_out, struct dyno_err *err);
/* Nothing waits or runs.  When it returns no thread is inside a `done` any more.  Accepts NULL. */
void dyno_sched_destroy(struct dyno_sched *sched);

/* Takes the task; `done` may be called before this returns.  E_BUSY: the queue is full, or the
 * deadline cannot be met. */
void dyno_sched_submit(struct dyno_sched *sched, struct dyno_task *task);

/* It need not run any more: `done` still comes, with E_CANCELLED when it had not started; not from
 * within this call. */
void dyno_sched_cancel(struct dyno_sched *sched, struct dyno_task *task);

/* When a request of that class and tenant would be answered, were it submitted now. */
uint64_t dyno_sched_predict_end(struct dyno_sched *sched, int class_idx, uint64_t tenant,
                                struct dyno_variant *variant, const struct dyno_cost_key *key,
                                int64_t rows);

/* Free what the task holds of outputs, after done. */
void dyno_task_fini(struct dyno_task *task);

#endif /* DYNO_SERVE_SCHED_SCHED_H */
