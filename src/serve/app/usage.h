/* usage.h - usage records whose answers are written before they are durable.
 *
 * The call is over as soon as its answer is written; the answer waits in its connection
 * (net/conn.h) for the record, which lives on by itself until it is durable.  All on the I/O thread
 * of the call, but for what the committer does.
 */
#ifndef DYNO_SERVE_APP_USAGE_H
#define DYNO_SERVE_APP_USAGE_H

#include "serve/app/server.h"

struct dyno_usage {
    struct dyno_ledger_entry entry; /* first */
    struct dyno_reservation reservation;
    struct dyno_io *io;
    struct dyno_usage *next;      /* pending, in the order of their records; or spare */
    const struct dyno_conn *conn; /* that has the answer; NULL: none, or it has gone */
    bool is_durable;
    bool is_settled; /* its call is over */
};

void dyno_usage_init(struct dyno_io *io);
/* The ledger is closed, and nobody is told any more. */
void dyno_usage_fini(struct dyno_io *io);

/* One that is empty; NULL: out of memory. */
struct dyno_usage *dyno_usage_create(struct dyno_io *io);
void dyno_usage_destroy(struct dyno_usage *usage);
/* Its entry was appended. */
void dyno_usage_begin(struct dyno_usage *usage);
/* Its call is over; has_left: the answer was given to `conn`. */
void dyno_usage_settle(struct dyno_usage *usage, bool has_left);

/* By the committer: all up to `seq` are durable, and were told. */
void dyno_usage_committed(struct dyno_server *server, uint64_t seq);

#endif /* DYNO_SERVE_APP_USAGE_H */
