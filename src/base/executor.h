/* executor.h - a queue of jobs and the thread that takes them, one after the other.
 *
 * The thread starts with the first job.  A job can be taken back before it starts: by cancelling
 * it, or by a waiter who then runs it on his own thread.  Any thread may call.
 */
#ifndef DYNO_BASE_EXECUTOR_H
#define DYNO_BASE_EXECUTOR_H

#include <stdbool.h>

#include "base/err.h"

struct dyno_executor;

struct dyno_job {
    struct dyno_job *next;
    void (*run)(struct dyno_job *job); /* called on the executor's thread */
    bool queued;
};

struct dyno_executor *dyno_executor_create(void); /* NULL: out of memory */
/* Runs what is queued, then ends the thread.  Accepts NULL. */
void dyno_executor_destroy(struct dyno_executor *executor);

/* Append; `job` must live until it ran or was taken back. */
enum dyno_status dyno_executor_queue(struct dyno_executor *executor, struct dyno_job *job,
                                     struct dyno_err *err);
/* True when the job had not started and is now the caller's. */
bool dyno_executor_take_back(struct dyno_executor *executor, struct dyno_job *job);

#endif /* DYNO_BASE_EXECUTOR_H */
