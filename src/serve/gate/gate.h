/* gate.h - who asks, and may he: the one place where every route of every port is judged.
 *
 * A row of a route table says which right it needs.  A guest is somebody who was let in; whoever
 * keeps one holds a reference.  Any thread.
 */
#ifndef DYNO_SERVE_GATE_GATE_H
#define DYNO_SERVE_GATE_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum dyno_right {
    DYNO_RIGHT_OPEN,    /* liveness and readiness: nobody is asked who he is */
    DYNO_RIGHT_READ,    /* metadata, configuration, statistics, the index */
    DYNO_RIGHT_INFER,   /* inference */
    DYNO_RIGHT_CONTROL, /* loading and unloading, shared memory, settings */
    DYNO_RIGHT_METRICS, /* the metrics port */
};

struct dyno_gate;
struct dyno_guest;

/* What a request shows of itself; NULL where it shows nothing. */
struct dyno_credentials {
    const char *authorization; /* the header of that name */
};

/* Without tenants everybody is let in, as the same guest. */
enum dyno_status dyno_gate_create(struct dyno_gate **gate_out, struct dyno_err *err);
void dyno_gate_destroy(struct dyno_gate *gate); /* nobody holds a guest; accepts NULL */

/* Let him in: a reference in *guest_out. */
enum dyno_status dyno_gate_admit(struct dyno_gate *gate, const struct dyno_credentials *credentials,
                                 enum dyno_right right, struct dyno_guest **guest_out,
                                 struct dyno_err *err);
void dyno_guest_unref(struct dyno_guest *guest); /* accepts NULL */

#endif /* DYNO_SERVE_GATE_GATE_H */
