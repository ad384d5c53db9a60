/* sqlite.h - libsqlite3, loaded when the first database is opened.
 *
 * No program of ours is linked with it, so whoever opens no database needs no library.  Its
 * functions are the rows of one table; it allocates through base/mem.h.  What is loaded stays for
 * the life of the process.  db/db.h is what to use; this is below it.
 */
#ifndef DYNO_DB_SQLITE_H
#define DYNO_DB_SQLITE_H

#include <sqlite3.h>

#include "base/err.h"

#define DYNO_SQLITE_LIBRARY "libsqlite3.so.0"

/* X(name): sqlite3_name, with the type that the header gives it. */
#define DYNO_SQLITE_MAP(X)   \
    X(libversion_number)     \
    X(libversion)            \
    X(config)                \
    X(initialize)            \
    X(vfs_find)              \
    X(vfs_register)          \
    X(open_v2)               \
    X(close)                 \
    X(errmsg)                \
    X(system_errno)          \
    X(extended_errcode)      \
    X(extended_result_codes) \
    X(busy_timeout)          \
    X(db_config)             \
    X(limit)                 \
    X(exec)                  \
    X(get_autocommit)        \
    X(changes)               \
    X(last_insert_rowid)     \
    X(prepare_v2)            \
    X(step)                  \
    X(reset)                 \
    X(finalize)              \
    X(bind_int64)            \
    X(bind_double)           \
    X(bind_text)             \
    X(bind_blob)             \
    X(bind_null)             \
    X(column_name)           \
    X(column_type)           \
    X(column_int64)          \
    X(column_double)         \
    X(column_text)           \
    X(column_blob)           \
    X(column_bytes)

struct dyno_sqlite {
#define X(name) __typeof__ (&sqlite3_##name)(name);
    DYNO_SQLITE_MAP(X)
#undef X
};

/* The functions.  The first call loads the library; E_UNSUPPORTED, at this call and all later ones,
 * when it is not there, too old, or lacks something.  Any thread. */
enum dyno_status dyno_sqlite_get(const struct dyno_sqlite **sqlite_out, struct dyno_err *err);

#endif /* DYNO_DB_SQLITE_H */
