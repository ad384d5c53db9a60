/* run.h - memory of a task that runs alone.  Without the scheduler's lock. */
#ifndef DYNO_SERVE_SCHED_RUN_H
#define DYNO_SERVE_SCHED_RUN_H

#include "serve/sched/sched.h"

/* Before the run: bind its instance, align its inputs, give its outputs memory. */
enum dyno_status dyno_task_place(struct dyno_task *task);

/* After it: outputs whose shape only the run told lie in the instance; copy them before that runs
 * again. */
enum dyno_status dyno_task_keep(struct dyno_task *task);

#endif /* DYNO_SERVE_SCHED_RUN_H */
