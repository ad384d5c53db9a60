/* child.h - another program, run for the server and out of its way.
 *
 * The program gets arguments and an environment that are given, never a shell; an empty standard
 * input; no descriptor of the server's; a process group of its own; the lowest priority
 * (SCHED_IDLE), so that it computes when nobody serves; and it is the first to go when memory runs
 * out.  It dies with the thread that runs it, and so with the process.
 *
 * Any number at one time, from threads that live as long as they run one.
 */
#ifndef DYNO_SERVE_MODEL_CHILD_H
#define DYNO_SERVE_MODEL_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DYNO_CHILD_SAID_BYTES 512

struct dyno_child_options {
    const char *path;        /* of the program; it is not looked for */
    const char *const *args; /* the first is its name, NULL ends them */
    const char *const *env;  /* "NAME=value", NULL ends them */
    uint64_t timeout_ns;     /* it is killed after that; 0: never */
    int cancel_fd;           /* it is killed when this can be read; -1: never */
    /* out[out_room] gets the beginning of what it writes to standard output, and a 0; NULL: that
     * goes nowhere. */
    char *out;
    size_t out_room;
};

/* What became of it. */
struct dyno_child_end {
    int exit_code; /* -1: it was ended by `signal` */
    int signal;
    uint64_t run_ns;
    /* The last line that it wrote to standard error, and the first, cut, without control
     * characters.
     */
    char said[DYNO_CHILD_SAID_BYTES], said_first[DYNO_CHILD_SAID_BYTES];
};

/* Run it and wait.  OK: it ended with exit code 0.  Whatever it started is ended with it.
 * E_IO: it cannot be started, or ended otherwise (the sentence is what it said last, or how it
 * ended); E_CANCELLED: by cancel_fd; E_LIMIT: its time was over.  *end_out is set, too, when it was
 * started; all zero when not. */
DYNO_NODISCARD enum dyno_status dyno_child_run(const struct dyno_child_options *options,
                                               struct dyno_child_end *end_out,
                                               struct dyno_err *err);

#endif /* DYNO_SERVE_MODEL_CHILD_H */
