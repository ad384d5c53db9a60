/* db.h - a SQLite database of ours: opened, brought to its schema, asked; what goes wrong is a
 * status and a sentence.
 *
 * A file is hostile until its rows are read: it may be damaged, of another program, or hold other
 * types and larger values than were written.  Its triggers and views are never run.  One thread at
 * a time uses a database and its statements.
 */
#ifndef DYNO_DB_DB_H
#define DYNO_DB_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct dyno_sqlite;
struct sqlite3;
struct sqlite3_stmt;

/* What a program expects of its file. */
struct dyno_db_kind {
    const char *what;           /* "control database": sentences begin with it */
    int32_t application_id;     /* of the file's header */
    int32_t version;            /* of the schema that this build knows */
    const char *const *changes; /* [version]: SQL from schema v to v + 1, beginning with nothing */
    bool commits_often;         /* its log is written by the commit, not by the page (log_vfs.h) */
};

struct dyno_db {
    const struct dyno_sqlite *sqlite;
    const struct dyno_db_kind *kind;
    struct sqlite3 *handle; /* NULL: closed */
    char *path;             /* as it was asked for */
    uint64_t device, inode; /* of the file that was opened */
};

/* Open `path`, readable and writable, and bring it to the newest schema; with `create`, a file that
 * is not there is made, for its owner alone.  The write-ahead log is used, a commit is on the disk
 * when it returns, foreign keys are enforced; who finds the file locked waits busy_ms.
 * E_NOT_FOUND: no such file; E_FORMAT: of another kind; E_UNSUPPORTED: its schema is newer than
 * this build, or there is no SQLite; E_CORRUPT, E_BUSY, E_IO. */
enum dyno_status dyno_db_open(const struct dyno_db_kind *kind, const char *path, bool create,
                              uint32_t busy_ms, struct dyno_db *db_out, struct dyno_err *err);
/* Open `path` to read it.  A file that a writer has open is read as it stands at each statement
 * that begins, and never holds the writer up; one that can be written by nobody is read, too.
 * E_NOT_FOUND, E_FORMAT, E_UNSUPPORTED (another schema than this build's), E_CORRUPT, E_IO. */
enum dyno_status dyno_db_open_to_read(const struct dyno_db_kind *kind, const char *path,
                                      uint32_t busy_ms, struct dyno_db *db_out,
                                      struct dyno_err *err);
/* Is this the file of a database that was never given anything: no tables, maybe no bytes?  False,
 * too, when it cannot be read. */
bool dyno_db_is_blank(const char *path);

/* From now on the write-ahead log is moved to its place when that is asked for, and never by the
 * way, where a failure would not be seen. */
enum dyno_status dyno_db_keep_log(struct dyno_db *db, struct dyno_err *err);
void dyno_db_close(struct dyno_db *db); /* no statement is open; accepts a zeroed one */

/* Is there another file under the path now, or none? */
bool dyno_db_is_replaced(const struct dyno_db *db);
/* Another number than last time: somebody else has changed the database. */
enum dyno_status dyno_db_data_version(struct dyno_db *db, int64_t *version_out,
                                      struct dyno_err *err);

/* The last call on the database has failed because there is no space left on the disk, and nothing
 * else; what it wanted has not happened. */
bool dyno_db_is_full(const struct dyno_db *db);

/* SQL that gives no rows. */
enum dyno_status dyno_db_exec(struct dyno_db *db, const char *sql, struct dyno_err *err);

/* Begin, then exactly one end: it commits when `status` is DYNO_OK and else takes everything back.
 * Returns `status`, or what went wrong with the commit. */
enum dyno_status dyno_db_begin(struct dyno_db *db, bool writes, struct dyno_err *err);
enum dyno_status dyno_db_end(struct dyno_db *db, enum dyno_status status, struct dyno_err *err);

/* --- statements --- */

struct dyno_stmt {
    struct dyno_db *db;
    struct sqlite3_stmt *handle;
    int bind_code; /* the first failure of a binding: told by the next step */
};

enum dyno_status dyno_stmt_open(struct dyno_db *db, const char *sql, struct dyno_stmt *stmt_out,
                                struct dyno_err *err);
void dyno_stmt_close(struct dyno_stmt *stmt); /* accepts a zeroed one */
void dyno_stmt_reset(struct dyno_stmt *stmt); /* to the first row again; bindings stay */

/* Parameters count from 1.  Text and bytes must live until the last step. */
void dyno_stmt_bind_i64(struct dyno_stmt *stmt, int param, int64_t value);
void dyno_stmt_bind_f64(struct dyno_stmt *stmt, int param, double value);
void dyno_stmt_bind_text(struct dyno_stmt *stmt, int param, const char *text);
void dyno_stmt_bind_bytes(struct dyno_stmt *stmt, int param, const void *data, size_t bytes);
void dyno_stmt_bind_null(struct dyno_stmt *stmt, int param);

enum dyno_status dyno_stmt_step(struct dyno_stmt *stmt, bool *has_row_out, struct dyno_err *err);
/* Step a statement without rows, once, and reset it. */
enum dyno_status dyno_stmt_run(struct dyno_stmt *stmt, struct dyno_err *err);

/* Columns of the row count from 0.  E_FORMAT, naming the column, when it holds another type or is
 * out of range. */
bool dyno_stmt_is_null(struct dyno_stmt *stmt, int column);
enum dyno_status dyno_stmt_i64(struct dyno_stmt *stmt, int column, int64_t min, int64_t max,
                               int64_t *value_out, struct dyno_err *err);
enum dyno_status dyno_stmt_f64(struct dyno_stmt *stmt, int column, double min, double max,
                               double *value_out, struct dyno_err *err);
/* At most bytes_max bytes, none of them zero; lives until the next step. */
enum dyno_status dyno_stmt_text(struct dyno_stmt *stmt, int column, size_t bytes_max,
                                const char **text_out, struct dyno_err *err);
/* At most bytes_max; lives until the next step or reset. */
enum dyno_status dyno_stmt_blob(struct dyno_stmt *stmt, int column, size_t bytes_max,
                                const uint8_t **data_out, size_t *bytes_out, struct dyno_err *err);
/* Exactly `bytes`. */
enum dyno_status dyno_stmt_bytes(struct dyno_stmt *stmt, int column, size_t bytes, void *data_out,
                                 struct dyno_err *err);

#endif /* DYNO_DB_DB_H */
