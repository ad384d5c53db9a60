/* super.h - the supervisor: starts the process that serves, and starts it again when it falls.
 *
 * Two processes of one program: the supervisor, and its child, the worker, which is a fork of it
 * from before any thread.  The supervisor reads signals, waits for its child, and holds what must
 * outlive it: the listening sockets, in whose queues clients wait meanwhile, and a piece of shared
 * memory in which the worker says how far it is and which models it is to have.  It believes
 * nothing in there that could harm it.
 *
 * A server without a supervisor makes the same calls; what there is to tell is told to nobody, or
 * to the service manager directly.
 */
#ifndef DYNO_SERVE_SUPER_SUPER_H
#define DYNO_SERVE_SUPER_SUPER_H

#include <stdint.h>

#include "serve/super/wanted.h"

struct dyno_super;

enum dyno_status dyno_super_create(struct dyno_super **super_out, struct dyno_err *err);
/* Accepts NULL. */
void dyno_super_destroy(struct dyno_super *super);

/* Start a worker, and another one whenever it falls; no thread runs yet.
 *
 * Returns in each worker, with *is_worker_out set and SIGTERM, SIGINT and SIGHUP blocked: it is to
 * wait for them.  Returns in the supervisor when all is over, with the exit code of the last
 * worker, or 128 and the number of the signal that ended it.  It is over when a worker ended by
 * itself with 0 or was told to end, and when the first one ended before dyno_super_started.
 *
 * `listeners` are closed in the supervisor (and set to -1) once the worker is to end, so that
 * nobody waits in vain in their queues.  E_LIMIT: no process, or no descriptor, is to be had. */
enum dyno_status dyno_super_run(struct dyno_super *super, int *listeners, size_t listener_count,
                                bool *is_worker_out, int *exit_code_out, struct dyno_err *err);

/* --- for the worker --- */

/* Starting did not fail; true for the first worker that says so. */
bool dyno_super_started(struct dyno_super *super);
/* What was to be loaded at start was tried. */
void dyno_super_ready(struct dyno_super *super);
/* It was told to end. */
void dyno_super_stopping(struct dyno_super *super);
/* How often a worker was started in place of a fallen one.  Any thread. */
uint64_t dyno_super_restarts(const struct dyno_super *super);
/* The models that the next worker starts with.  One thread at a time. */
struct dyno_wanted *dyno_super_wanted(struct dyno_super *super);

#endif /* DYNO_SERVE_SUPER_SUPER_H */
