/* pg_internal.h - what the files of a PostgreSQL connection share. */
#ifndef DYNO_DB_PG_INTERNAL_H
#define DYNO_DB_PG_INTERNAL_H

#include "base/strbuf.h"
#include "db/libpq.h"
#include "db/pg.h"

#define DYNO_PG_PREPARED_MAX 32

struct dyno_pg {
    const struct dyno_libpq *lib;
    const struct dyno_pg_kind *kind;
    PGconn *conn;
    const atomic_bool *is_ending;
    uint64_t timeout_ns;
    uint64_t deadline_ns; /* of the call that is going on */
    bool is_lost;
    char state[6];
    const char *prepared[DYNO_PG_PREPARED_MAX]; /* number i is the statement "di" */
    int prepared_count;
    struct dyno_strbuf copy; /* rows that were not sent yet */
};

/* A call begins: its time starts, and it is about nothing that failed before.  E_IO: the connection
 * was lost. */
enum dyno_status dyno_pg_enter(struct dyno_pg *pg, struct dyno_err *err);
/* What the connection, or a result, says has gone wrong. */
enum dyno_status dyno_pg_fail(struct dyno_pg *pg, struct dyno_err *err);
enum dyno_status dyno_pg_fail_result(struct dyno_pg *pg, const PGresult *result,
                                     struct dyno_err *err);
/* Wait until the socket is ready for one of `events` (poll(2)). */
enum dyno_status dyno_pg_wait(struct dyno_pg *pg, short events, struct dyno_err *err);
/* What was sent is answered: the last result (of several statements), or one that begins a COPY. */
enum dyno_status dyno_pg_answer(struct dyno_pg *pg, PGresult **result_out, struct dyno_err *err);

#endif /* DYNO_DB_PG_INTERNAL_H */
