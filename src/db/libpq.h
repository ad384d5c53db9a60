/* libpq.h - PostgreSQL's client library, loaded when the first connection is wanted.
 *
 * As sqlite.h: no program of ours is linked with it, its functions are the rows of one table, and
 * what is loaded stays for the life of the process.  It has a heap of its own.  db/pg.h is what to
 * use; this is below it.
 */
#ifndef DYNO_DB_LIBPQ_H
#define DYNO_DB_LIBPQ_H

#include <libpq-fe.h>

#include "base/err.h"

#define DYNO_LIBPQ_LIBRARY "libpq.so.5"

/* X(name): PQname, with the type that the header gives it. */
#define DYNO_LIBPQ_MAP(X)      \
    X(libVersion)              \
    X(isthreadsafe)            \
    X(conninfoParse)           \
    X(conninfoFree)            \
    X(freemem)                 \
    X(connectStartParams)      \
    X(connectPoll)             \
    X(connectionNeedsPassword) \
    X(connectionUsedPassword)  \
    X(finish)                  \
    X(status)                  \
    X(socket)                  \
    X(db)                      \
    X(errorMessage)            \
    X(setnonblocking)          \
    X(setNoticeProcessor)      \
    X(transactionStatus)       \
    X(sendQuery)               \
    X(sendQueryParams)         \
    X(sendPrepare)             \
    X(sendQueryPrepared)       \
    X(flush)                   \
    X(consumeInput)            \
    X(isBusy)                  \
    X(getResult)               \
    X(putCopyData)             \
    X(putCopyEnd)              \
    X(resultStatus)            \
    X(resultErrorField)        \
    X(cmdStatus)               \
    X(cmdTuples)               \
    X(ntuples)                 \
    X(nfields)                 \
    X(fname)                   \
    X(ftype)                   \
    X(getisnull)               \
    X(getlength)               \
    X(getvalue)                \
    X(clear)

struct dyno_libpq {
#define X(name) __typeof__ (&PQ##name)(name);
    DYNO_LIBPQ_MAP(X)
#undef X
};

/* The functions.  The first call loads the library; E_UNSUPPORTED, at this call and all later ones,
 * when it is not there, too old, or lacks something.  Any thread. */
enum dyno_status dyno_libpq_get(const struct dyno_libpq **libpq_out, struct dyno_err *err);

#endif /* DYNO_DB_LIBPQ_H */
