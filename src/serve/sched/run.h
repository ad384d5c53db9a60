/* run.h - memory of a task that runs alone.  Without the scheduler's lock. */
#ifndef DYNO_SERVE_SCHED_RUN_H
#define DYNO_SERVE_SCHED_RUN_H

#include "serve/sched/sched.h"

/* Before the run: bind its instance, align its inputs, give its outputs memory. */
enum dyno_status dyno_task_place(struct dyno_task *task);

/* After it: outputs that lie in the instance, because only the run told their shapes or because it
 * is in another process, are copied before that runs again. */
enum dyno_status dyno_task_keep(struct dyno_task *task);

#endif /* DYNO_SERVE_SCHED_RUN_H */
