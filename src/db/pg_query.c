/* pg_query.c - statements, rows that are read with suspicion, COPY. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db/pg_internal.h"

#define COPY_BYTES 65536U /* of rows, before they are sent */

/* Types of the server (its pg_type.dat). */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_NAME = 19,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_VARCHAR = 1043
};

/* The network's order of bytes. */
static void put_number(uint8_t *at, int64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)((uint64_t)value >> (8 * (bytes - 1 - i)));
}

struct dyno_pg_value dyno_pg_string(const char *text)
{
    return (struct dyno_pg_value){.kind = DYNO_PG_TEXT, .data = text, .bytes = strlen(text)};
}

/* --- sending and being answered --- */

static enum dyno_status flush(struct dyno_pg *pg, struct dyno_err *err)
{
    for (;;) {
        const int left = pg->lib->flush(pg->conn);
        if (left == 0)
            return DYNO_OK;
        if (left < 0)
            return dyno_pg_fail(pg, err);
        DYNO_TRY(dyno_pg_wait(pg, POLLIN | POLLOUT, err)); /* it may want to be heard first */
        if (pg->lib->consumeInput(pg->conn) == 0)
            return dyno_pg_fail(pg, err);
    }
}

/* NULL: there is no further one. */
static enum dyno_status next_result(struct dyno_pg *pg, PGresult **result_out, struct dyno_err *err)
{
    DYNO_TRY(flush(pg, err));
    while (pg->lib->isBusy(pg->conn) != 0) {
        DYNO_TRY(dyno_pg_wait(pg, POLLIN, err));
        if (pg->lib->consumeInput(pg->conn) == 0)
            return dyno_pg_fail(pg, err);
    }
    *result_out = pg->lib->getResult(pg->conn);
    return DYNO_OK;
}

enum dyno_status dyno_pg_answer(struct dyno_pg *pg, PGresult **result_out, struct dyno_err *err)
{
    PGresult *kept = NULL;
    enum dyno_status status = DYNO_OK;
    *result_out = NULL;
    for (;;) {
        PGresult *result = NULL;
        const enum dyno_status got = next_result(pg, &result, err);
        if (got != DYNO_OK || result == NULL) {
            status = status == DYNO_OK ? got : status;
            break;
        }
        const ExecStatusType type = pg->lib->resultStatus(result);
        const bool is_good = type == PGRES_COMMAND_OK || type == PGRES_TUPLES_OK ||
                             type == PGRES_EMPTY_QUERY || type == PGRES_COPY_IN;
        if (!is_good && status == DYNO_OK)
            status = dyno_pg_fail_result(pg, result, err);
        pg->lib->clear(is_good ? kept : result);
        kept = is_good ? result : kept;
        if (type == PGRES_COPY_IN)
            break;
    }
    if (status == DYNO_OK && kept == NULL)
        status = dyno_pg_fail(pg, err);
    if (status != DYNO_OK) {
        pg->lib->clear(kept);
        return status;
    }
    *result_out = kept;
    return DYNO_OK;
}

static enum dyno_status ask_simply(struct dyno_pg *pg, const char *sql, PGresult **result_out,
                                   struct dyno_err *err)
{
    DYNO_TRY(dyno_pg_enter(pg, err));
    if (pg->lib->sendQuery(pg->conn, sql) == 0)
        return dyno_pg_fail(pg, err);
    return dyno_pg_answer(pg, result_out, err);
}

enum dyno_status dyno_pg_exec(struct dyno_pg *pg, const char *sql, struct dyno_err *err)
{
    PGresult *result = NULL;
    DYNO_TRY(ask_simply(pg, sql, &result, err));
    pg->lib->clear(result);
    return DYNO_OK;
}

/* --- transactions --- */

enum dyno_status dyno_pg_begin(struct dyno_pg *pg, struct dyno_err *err)
{
    return dyno_pg_exec(pg, "BEGIN", err);
}

enum dyno_status dyno_pg_begin_to_read(struct dyno_pg *pg, struct dyno_err *err)
{
    return dyno_pg_exec(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
}

enum dyno_status dyno_pg_end(struct dyno_pg *pg, enum dyno_status status, struct dyno_err *err)
{
    PGresult *result = NULL;
    if (status == DYNO_OK) {
        status = ask_simply(pg, "COMMIT", &result, err);
        /* A transaction in which something failed is taken back, which the server calls a success.
         */
        if (status == DYNO_OK && strcmp(pg->lib->cmdStatus(result), "COMMIT") != 0)
            status = DYNO_FAIL(err, DYNO_E_IO, "%s: the server took the transaction back",
                               pg->kind->what);
        pg->lib->clear(result);
    }
    if (status != DYNO_OK && !pg->is_lost && pg->lib->transactionStatus(pg->conn) != PQTRANS_IDLE) {
        char state[sizeof(pg->state)]; /* of what went wrong, not of this */
        memcpy(state, pg->state, sizeof(state));
        if (dyno_pg_exec(pg, "ROLLBACK", NULL) != DYNO_OK)
            pg->is_lost = true;
        memcpy(pg->state, state, sizeof(state));
    }
    return status;
}

/* --- statements with parameters --- */

struct params {
    const char *values[DYNO_PG_VALUES_MAX];
    int lengths[DYNO_PG_VALUES_MAX], formats[DYNO_PG_VALUES_MAX];
    Oid types[DYNO_PG_VALUES_MAX];
    uint8_t numbers[DYNO_PG_VALUES_MAX][8];
};

static void fill(struct params *params, const struct dyno_pg_value *values, int count)
{
    DYNO_ASSERT(count <= DYNO_PG_VALUES_MAX);
    for (int i = 0; i < count; i++) {
        const struct dyno_pg_value *value = &values[i];
        DYNO_ASSERT(value->bytes <= INT32_MAX);
        params->formats[i] = 1;
        params->values[i] = value->data != NULL ? value->data : "";
        params->lengths[i] = (int)value->bytes;
        params->types[i] = value->kind == DYNO_PG_TEXT ? OID_TEXT : OID_BYTEA;
        if (value->kind == DYNO_PG_I64) {
            put_number(params->numbers[i], value->number, 8);
            params->values[i] = (const char *)params->numbers[i];
            params->lengths[i] = 8;
            params->types[i] = OID_INT8;
        } else if (value->kind == DYNO_PG_NULL) {
            params->values[i] = NULL;
            params->types[i] = 0; /* as the statement has it */
        }
    }
}

/* Its number; -1: there is no room for it. */
static enum dyno_status prepare(struct dyno_pg *pg, const char *sql, const struct params *params,
                                int count, int *number_out, struct dyno_err *err)
{
    char name[16];
    PGresult *result = NULL;
    *number_out = -1;
    for (int i = 0; i < pg->prepared_count; i++)
        if (pg->prepared[i] == sql) {
            *number_out = i;
            return DYNO_OK;
        }
    if (pg->prepared_count == DYNO_PG_PREPARED_MAX)
        return DYNO_OK;
    (void)snprintf(name, sizeof(name), "d%d", pg->prepared_count);
    if (pg->lib->sendPrepare(pg->conn, name, sql, count, params->types) == 0)
        return dyno_pg_fail(pg, err);
    DYNO_TRY(dyno_pg_answer(pg, &result, err));
    pg->lib->clear(result);
    *number_out = pg->prepared_count;
    pg->prepared[pg->prepared_count++] = sql;
    return DYNO_OK;
}

static enum dyno_status query(struct dyno_pg *pg, const char *sql, bool prepares,
                              const struct dyno_pg_value *values, int value_count,
                              struct dyno_pg_rows *rows_out, struct dyno_err *err)
{
    struct params params;
    char name[16];
    int number = -1;
    *rows_out = (struct dyno_pg_rows){.pg = pg};
    DYNO_TRY(dyno_pg_enter(pg, err));
    fill(&params, values, value_count);
    if (prepares)
        DYNO_TRY(prepare(pg, sql, &params, value_count, &number, err));
    (void)snprintf(name, sizeof(name), "d%d", number);
    const int sent =
        number >= 0 ? pg->lib->sendQueryPrepared(pg->conn, name, value_count, params.values,
                                                 params.lengths, params.formats, 1)
                    : pg->lib->sendQueryParams(pg->conn, sql, value_count, params.types,
                                               params.values, params.lengths, params.formats, 1);
    if (sent == 0)
        return dyno_pg_fail(pg, err);
    DYNO_TRY(dyno_pg_answer(pg, &rows_out->result, err));
    rows_out->count = pg->lib->ntuples(rows_out->result);
    rows_out->changed = strtoll(pg->lib->cmdTuples(rows_out->result), NULL, 10);
    return DYNO_OK;
}

enum dyno_status dyno_pg_query(struct dyno_pg *pg, const char *sql,
                               const struct dyno_pg_value *values, int value_count,
                               struct dyno_pg_rows *rows_out, struct dyno_err *err)
{
    return query(pg, sql, true, values, value_count, rows_out, err);
}

enum dyno_status dyno_pg_query_once(struct dyno_pg *pg, const char *sql,
                                    const struct dyno_pg_value *values, int value_count,
                                    struct dyno_pg_rows *rows_out, struct dyno_err *err)
{
    return query(pg, sql, false, values, value_count, rows_out, err);
}

enum dyno_status dyno_pg_run(struct dyno_pg *pg, const char *sql,
                             const struct dyno_pg_value *values, int value_count,
                             struct dyno_err *err)
{
    struct dyno_pg_rows rows;
    const enum dyno_status status = dyno_pg_query(pg, sql, values, value_count, &rows, err);
    dyno_pg_rows_close(&rows);
    return status;
}

/* --- rows --- */

void dyno_pg_rows_close(struct dyno_pg_rows *rows)
{
    if (rows->result != NULL)
        rows->pg->lib->clear(rows->result);
    *rows = (struct dyno_pg_rows){0};
}

static enum dyno_status refuse(const struct dyno_pg_rows *rows, int column, const char *rule,
                               struct dyno_err *err)
{
    const char *name = rows->pg->lib->fname(rows->result, column);
    return DYNO_FAIL(err, DYNO_E_FORMAT, "%s: a row's %.64s is %s", rows->pg->kind->what,
                     name != NULL ? name : "column", rule);
}

bool dyno_pg_is_null(const struct dyno_pg_rows *rows, int row, int column)
{
    DYNO_ASSERT(row < rows->count && column < rows->pg->lib->nfields(rows->result));
    return rows->pg->lib->getisnull(rows->result, row, column) != 0;
}

enum dyno_status dyno_pg_i64(const struct dyno_pg_rows *rows, int row, int column, int64_t min,
                             int64_t max, int64_t *value_out, struct dyno_err *err)
{
    const struct dyno_libpq *lib = rows->pg->lib;
    *value_out = 0;
    if (dyno_pg_is_null(rows, row, column))
        return refuse(rows, column, "null", err);
    const Oid type = lib->ftype(rows->result, column);
    const int bytes = type == OID_INT8   ? 8
                      : type == OID_INT4 ? 4
                      : type == OID_INT2 ? 2
                      : type == OID_BOOL ? 1
                                         : 0;
    if (bytes == 0 || lib->getlength(rows->result, row, column) != bytes)
        return refuse(rows, column, "no whole number", err);
    const uint8_t *at = (const uint8_t *)lib->getvalue(rows->result, row, column);
    uint64_t value = bytes < 8 && (at[0] & 0x80) != 0 ? UINT64_MAX : 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    *value_out = (int64_t)value;
    return *value_out >= min && *value_out <= max ? DYNO_OK
                                                  : refuse(rows, column, "out of range", err);
}

enum dyno_status dyno_pg_text(const struct dyno_pg_rows *rows, int row, int column,
                              size_t bytes_max, const char **text_out, struct dyno_err *err)
{
    const struct dyno_libpq *lib = rows->pg->lib;
    *text_out = "";
    if (dyno_pg_is_null(rows, row, column))
        return refuse(rows, column, "null", err);
    const Oid type = lib->ftype(rows->result, column);
    const size_t bytes = (size_t)lib->getlength(rows->result, row, column);
    if (type != OID_TEXT && type != OID_VARCHAR && type != OID_NAME)
        return refuse(rows, column, "no text", err);
    if (bytes > bytes_max)
        return refuse(rows, column, "too long", err);
    *text_out = lib->getvalue(rows->result, row, column); /* libpq ends it with a zero */
    return strlen(*text_out) == bytes ? DYNO_OK : refuse(rows, column, "no text", err);
}

enum dyno_status dyno_pg_bytes(const struct dyno_pg_rows *rows, int row, int column,
                               size_t bytes_max, const uint8_t **data_out, size_t *bytes_out,
                               struct dyno_err *err)
{
    const struct dyno_libpq *lib = rows->pg->lib;
    *data_out = NULL;
    *bytes_out = 0;
    if (dyno_pg_is_null(rows, row, column))
        return refuse(rows, column, "null", err);
    if (lib->ftype(rows->result, column) != OID_BYTEA)
        return refuse(rows, column, "of another type", err);
    *bytes_out = (size_t)lib->getlength(rows->result, row, column);
    *data_out = (const uint8_t *)lib->getvalue(rows->result, row, column);
    return *bytes_out <= bytes_max ? DYNO_OK : refuse(rows, column, "too long", err);
}

/* --- COPY --- */

static const char copy_start[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"; /* no flags, no extension */

enum dyno_status dyno_pg_copy_begin(struct dyno_pg *pg, const char *sql, struct dyno_err *err)
{
    PGresult *result = NULL;
    DYNO_TRY(ask_simply(pg, sql, &result, err));
    const ExecStatusType type = pg->lib->resultStatus(result);
    pg->lib->clear(result);
    DYNO_ASSERT(type == PGRES_COPY_IN);
    dyno_strbuf_clear(&pg->copy);
    dyno_strbuf_add(&pg->copy, copy_start, sizeof(copy_start) - 1);
    return DYNO_OK;
}

static enum dyno_status send_copy(struct dyno_pg *pg, struct dyno_err *err)
{
    int sent = 0;
    if (!dyno_strbuf_ok(&pg->copy))
        return DYNO_NOMEM(err);
    while ((sent = pg->lib->putCopyData(pg->conn, pg->copy.text, (int)pg->copy.bytes)) == 0)
        DYNO_TRY(flush(pg, err));
    if (sent < 0)
        return dyno_pg_fail(pg, err);
    dyno_strbuf_clear(&pg->copy);
    return flush(pg, err); /* so that libpq does not keep all of it */
}

enum dyno_status dyno_pg_copy_row(struct dyno_pg *pg, const struct dyno_pg_value *values, int count,
                                  struct dyno_err *err)
{
    uint8_t number[8];
    DYNO_TRY(dyno_pg_enter(pg, err));
    put_number(number, count, 2);
    dyno_strbuf_add(&pg->copy, (const char *)number, 2);
    for (int i = 0; i < count; i++) {
        const struct dyno_pg_value *value = &values[i];
        const bool is_number = value->kind == DYNO_PG_I64;
        const size_t bytes = is_number ? 8 : value->bytes;
        DYNO_ASSERT(bytes <= INT32_MAX / 2);
        put_number(number, value->kind == DYNO_PG_NULL ? -1 : (int64_t)bytes, 4);
        dyno_strbuf_add(&pg->copy, (const char *)number, 4);
        put_number(number, value->number, 8);
        if (value->kind != DYNO_PG_NULL)
            dyno_strbuf_add(&pg->copy, is_number ? (const char *)number : value->data, bytes);
    }
    return pg->copy.bytes < COPY_BYTES && dyno_strbuf_ok(&pg->copy) ? DYNO_OK : send_copy(pg, err);
}

enum dyno_status dyno_pg_copy_end(struct dyno_pg *pg, enum dyno_status status, struct dyno_err *err)
{
    PGresult *result = NULL;
    int sent = 0;
    if (pg->is_lost)
        return status != DYNO_OK ? status : dyno_pg_enter(pg, err);
    if (status == DYNO_OK)
        status = dyno_pg_enter(pg, err);
    if (status == DYNO_OK) {
        dyno_strbuf_add(&pg->copy, "\377\377", 2);
        status = send_copy(pg, err);
    }
    if (pg->is_lost)
        return status;
    while ((sent = pg->lib->putCopyEnd(pg->conn, status == DYNO_OK ? NULL : "taken back")) == 0)
        if (flush(pg, NULL) != DYNO_OK)
            break;
    if (sent < 0 || pg->is_lost)
        return status == DYNO_OK ? dyno_pg_fail(pg, err) : status;
    /* What it answers to rows that are taken back is no news. */
    const enum dyno_status answered = dyno_pg_answer(pg, &result, status == DYNO_OK ? err : NULL);
    pg->lib->clear(result);
    return status != DYNO_OK ? status : answered;
}
