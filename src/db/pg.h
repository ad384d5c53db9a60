/* pg.h - a connection to a PostgreSQL database: asked, written with COPY; what goes wrong is a
 * status and a sentence.
 *
 * No call waits longer than the connection's timeout, whatever the server or the network does (but
 * for the look-up of a host's name, which is the system's).  A connection that is lost
 * (dyno_pg_is_lost) is of no use any more: close it, and open another when it pleases you; what was
 * not committed has not happened, and of a commit that was not answered nobody knows.
 *
 * What the server says is hostile until its columns are read.  Passwords come from a passfile, a
 * service file or the environment, as libpq has it, and are in no sentence.  One thread at a time
 * uses a connection and its rows.
 */
#ifndef DYNO_DB_PG_H
#define DYNO_DB_PG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct dyno_pg;
struct pg_result;

/* What a program expects of the database: tables in a schema of their own, with a version. */
struct dyno_pg_kind {
    const char *what;           /* "fleet ledger": sentences begin with it */
    const char *schema;         /* "dyno_ledger": lower-case letters and '_' */
    int32_t version;            /* that this build knows */
    const char *const *changes; /* [version]: SQL from version v to v + 1, beginning with nothing;
                                   names are qualified by the schema, which is there */
};

struct dyno_pg_options {
    const char *conninfo;         /* KEY=VALUE ... or postgresql://..., without a password */
    uint32_t timeout_ms;          /* of each call, connecting too; 0: 10,000 */
    bool creates;                 /* bring the schema to this build's version, make it if need be */
    const atomic_bool *is_ending; /* true: calls end at once with E_CANCELLED; NULL: never */
};

/* Is this a connection string that may be used?  E_ARG: libpq takes none such, or it holds a
 * password, which everybody may read who can list processes; E_UNSUPPORTED. */
enum dyno_status dyno_pg_check_conninfo(const char *conninfo, struct dyno_err *err);

/* Connect, and look for the schema.  A commit is on the server's disk when it returns, unless the
 * server says otherwise of itself.
 * E_DENIED: password or rights; E_NOT_FOUND: no such schema yet (without `creates`);
 * E_UNSUPPORTED: its version is another one, or there is no libpq; E_ARG, E_IO, E_NOMEM,
 * E_CANCELLED. */
enum dyno_status dyno_pg_open(const struct dyno_pg_kind *kind,
                              const struct dyno_pg_options *options, struct dyno_pg **pg_out,
                              struct dyno_err *err);
void dyno_pg_close(struct dyno_pg *pg); /* accepts NULL */

bool dyno_pg_is_lost(const struct dyno_pg *pg);
/* The SQLSTATE of the last failure, "23505" and the like; "" when the server gave none. */
const char *dyno_pg_state(const struct dyno_pg *pg);
/* The database's name. */
const char *dyno_pg_database(const struct dyno_pg *pg);

/* --- statements ---
 *
 * Failures: E_BUSY (a lock, a deadlock, the statement's time), E_EXISTS (a key that is there),
 * E_DENIED, E_LIMIT (the server's disk, memory, connections), E_FORMAT (it does not fit the
 * tables), E_IO, E_CANCELLED.  After one in a transaction only dyno_pg_end is left. */

/* One or more statements without parameters, whose rows nobody wants. */
enum dyno_status dyno_pg_exec(struct dyno_pg *pg, const char *sql, struct dyno_err *err);

/* Begin, then exactly one end: it commits when `status` is DYNO_OK and else takes everything back.
 * Returns `status`, or what went wrong with the commit. */
enum dyno_status dyno_pg_begin(struct dyno_pg *pg, struct dyno_err *err);
/* One that only reads, all of it as it stands at its first statement. */
enum dyno_status dyno_pg_begin_to_read(struct dyno_pg *pg, struct dyno_err *err);
enum dyno_status dyno_pg_end(struct dyno_pg *pg, enum dyno_status status, struct dyno_err *err);

#define DYNO_PG_VALUES_MAX 16

enum dyno_pg_value_kind { DYNO_PG_NULL, DYNO_PG_I64, DYNO_PG_TEXT, DYNO_PG_BYTES };

/* A parameter ($1 is the first), or a column of COPY. */
struct dyno_pg_value {
    enum dyno_pg_value_kind kind;
    int64_t number; /* bigint */
    const void *data;
    size_t bytes;
};

static inline struct dyno_pg_value dyno_pg_number(int64_t number)
{
    return (struct dyno_pg_value){.kind = DYNO_PG_I64, .number = number};
}
struct dyno_pg_value dyno_pg_string(const char *text);
static inline struct dyno_pg_value dyno_pg_blob(const void *data, size_t bytes)
{
    return (struct dyno_pg_value){.kind = DYNO_PG_BYTES, .data = data, .bytes = bytes};
}

/* What a statement gave; close it in any case, also after a failure. */
struct dyno_pg_rows {
    const struct dyno_pg *pg;
    struct pg_result *result;
    int count;
    int64_t changed; /* rows that INSERT, UPDATE, DELETE, SELECT or COPY counted */
};

/* One statement.  `sql` is a text that stays where it is, as constants do: it is prepared once, and
 * found again by its address. */
enum dyno_status dyno_pg_query(struct dyno_pg *pg, const char *sql,
                               const struct dyno_pg_value *values, int value_count,
                               struct dyno_pg_rows *rows_out, struct dyno_err *err);
/* The same for any text, which is not prepared. */
enum dyno_status dyno_pg_query_once(struct dyno_pg *pg, const char *sql,
                                    const struct dyno_pg_value *values, int value_count,
                                    struct dyno_pg_rows *rows_out, struct dyno_err *err);
/* As dyno_pg_query, of which no rows are wanted. */
enum dyno_status dyno_pg_run(struct dyno_pg *pg, const char *sql,
                             const struct dyno_pg_value *values, int value_count,
                             struct dyno_err *err);
void dyno_pg_rows_close(struct dyno_pg_rows *rows); /* accepts a zeroed one */

/* Columns of a row, both from 0 on.  E_FORMAT, naming the column, when it is of another type, null,
 * or out of range.  What is pointed to lives as long as the rows. */
bool dyno_pg_is_null(const struct dyno_pg_rows *rows, int row, int column);
/* bigint, integer, smallint or boolean. */
enum dyno_status dyno_pg_i64(const struct dyno_pg_rows *rows, int row, int column, int64_t min,
                             int64_t max, int64_t *value_out, struct dyno_err *err);
/* text, varchar or name: at most bytes_max bytes, none of them zero. */
enum dyno_status dyno_pg_text(const struct dyno_pg_rows *rows, int row, int column,
                              size_t bytes_max, const char **text_out, struct dyno_err *err);
/* bytea: at most bytes_max. */
enum dyno_status dyno_pg_bytes(const struct dyno_pg_rows *rows, int row, int column,
                               size_t bytes_max, const uint8_t **data_out, size_t *bytes_out,
                               struct dyno_err *err);

/* --- COPY ... FROM STDIN (FORMAT binary) --- */

/* Begin, rows, and exactly one end, which sends them off when `status` is DYNO_OK and else takes
 * them back.  What the server says against a row is told by the end.  Nothing else may be asked in
 * between. */
enum dyno_status dyno_pg_copy_begin(struct dyno_pg *pg, const char *sql, struct dyno_err *err);
enum dyno_status dyno_pg_copy_row(struct dyno_pg *pg, const struct dyno_pg_value *values, int count,
                                  struct dyno_err *err);
enum dyno_status dyno_pg_copy_end(struct dyno_pg *pg, enum dyno_status status,
                                  struct dyno_err *err);

#endif /* DYNO_DB_PG_H */
