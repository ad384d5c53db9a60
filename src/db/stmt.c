/* stmt.c - statements: bound, stepped, and read with suspicion. */
#include <string.h>

#include "db/db_fail.h"

enum dyno_status dyno_stmt_open(struct dyno_db *db, const char *sql, struct dyno_stmt *stmt_out,
                                struct dyno_err *err)
{
    *stmt_out = (struct dyno_stmt){.db = db};
    const int code = db->sqlite->prepare_v2(db->handle, sql, -1, &stmt_out->handle, NULL);
    return code == SQLITE_OK ? DYNO_OK : dyno_db_fail(db, code, err);
}

void dyno_stmt_close(struct dyno_stmt *stmt)
{
    if (stmt->handle != NULL)
        (void)stmt->db->sqlite->finalize(stmt->handle); /* repeats the code of the last step */
    *stmt = (struct dyno_stmt){0};
}

void dyno_stmt_reset(struct dyno_stmt *stmt)
{
    (void)stmt->db->sqlite->reset(stmt->handle);
}

/* --- parameters --- */

static void note(struct dyno_stmt *stmt, int code)
{
    if (stmt->bind_code == SQLITE_OK)
        stmt->bind_code = code;
}

void dyno_stmt_bind_i64(struct dyno_stmt *stmt, int param, int64_t value)
{
    note(stmt, stmt->db->sqlite->bind_int64(stmt->handle, param, value));
}

void dyno_stmt_bind_f64(struct dyno_stmt *stmt, int param, double value)
{
    note(stmt, stmt->db->sqlite->bind_double(stmt->handle, param, value));
}

void dyno_stmt_bind_text(struct dyno_stmt *stmt, int param, const char *text)
{
    note(stmt, stmt->db->sqlite->bind_text(stmt->handle, param, text, -1, SQLITE_STATIC));
}

void dyno_stmt_bind_bytes(struct dyno_stmt *stmt, int param, const void *data, size_t bytes)
{
    DYNO_ASSERT(bytes <= INT32_MAX);
    note(stmt, stmt->db->sqlite->bind_blob(stmt->handle, param, data, (int)bytes, SQLITE_STATIC));
}

void dyno_stmt_bind_null(struct dyno_stmt *stmt, int param)
{
    note(stmt, stmt->db->sqlite->bind_null(stmt->handle, param));
}

/* --- steps --- */

enum dyno_status dyno_stmt_step(struct dyno_stmt *stmt, bool *has_row_out, struct dyno_err *err)
{
    *has_row_out = false;
    if (stmt->bind_code != SQLITE_OK)
        return dyno_db_fail(stmt->db, stmt->bind_code, err);
    const int code = stmt->db->sqlite->step(stmt->handle);
    *has_row_out = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE ? DYNO_OK : dyno_db_fail(stmt->db, code, err);
}

enum dyno_status dyno_stmt_run(struct dyno_stmt *stmt, struct dyno_err *err)
{
    bool has_row = false;
    const enum dyno_status status = dyno_stmt_step(stmt, &has_row, err);
    dyno_stmt_reset(stmt);
    return status;
}

/* --- columns --- */

static enum dyno_status refuse(struct dyno_stmt *stmt, int column, const char *rule,
                               struct dyno_err *err)
{
    const struct dyno_db *db = stmt->db;
    const char *name = db->sqlite->column_name(stmt->handle, column);
    return DYNO_FAIL(err, DYNO_E_FORMAT, "%s \"%s\": a row's %s is %s", db->kind->what, db->path,
                     name != NULL ? name : "column", rule);
}

bool dyno_stmt_is_null(struct dyno_stmt *stmt, int column)
{
    return stmt->db->sqlite->column_type(stmt->handle, column) == SQLITE_NULL;
}

enum dyno_status dyno_stmt_i64(struct dyno_stmt *stmt, int column, int64_t min, int64_t max,
                               int64_t *value_out, struct dyno_err *err)
{
    const struct dyno_sqlite *sqlite = stmt->db->sqlite;
    if (sqlite->column_type(stmt->handle, column) != SQLITE_INTEGER)
        return refuse(stmt, column, "no whole number", err);
    *value_out = sqlite->column_int64(stmt->handle, column);
    return *value_out >= min && *value_out <= max ? DYNO_OK
                                                  : refuse(stmt, column, "out of range", err);
}

enum dyno_status dyno_stmt_f64(struct dyno_stmt *stmt, int column, double min, double max,
                               double *value_out, struct dyno_err *err)
{
    const struct dyno_sqlite *sqlite = stmt->db->sqlite;
    const int type = sqlite->column_type(stmt->handle, column);
    if (type != SQLITE_FLOAT && type != SQLITE_INTEGER)
        return refuse(stmt, column, "no number", err);
    *value_out = sqlite->column_double(stmt->handle, column);
    return *value_out >= min && *value_out <= max ? DYNO_OK
                                                  : refuse(stmt, column, "out of range", err);
}

enum dyno_status dyno_stmt_text(struct dyno_stmt *stmt, int column, size_t bytes_max,
                                const char **text_out, struct dyno_err *err)
{
    const struct dyno_sqlite *sqlite = stmt->db->sqlite;
    if (sqlite->column_type(stmt->handle, column) != SQLITE_TEXT)
        return refuse(stmt, column, "no text", err);
    *text_out = (const char *)sqlite->column_text(stmt->handle, column);
    const size_t bytes = (size_t)sqlite->column_bytes(stmt->handle, column);
    if (*text_out == NULL) /* it had to be converted, and there was no memory */
        return DYNO_NOMEM(err);
    if (bytes > bytes_max)
        return refuse(stmt, column, "too long", err);
    return strlen(*text_out) == bytes ? DYNO_OK : refuse(stmt, column, "no text", err);
}

enum dyno_status dyno_stmt_blob(struct dyno_stmt *stmt, int column, size_t bytes_max,
                                const uint8_t **data_out, size_t *bytes_out, struct dyno_err *err)
{
    const struct dyno_sqlite *sqlite = stmt->db->sqlite;
    *data_out = NULL;
    *bytes_out = 0;
    if (sqlite->column_type(stmt->handle, column) != SQLITE_BLOB)
        return refuse(stmt, column, "of another type", err);
    *data_out = sqlite->column_blob(stmt->handle, column);
    *bytes_out = (size_t)sqlite->column_bytes(stmt->handle, column);
    if (*bytes_out > bytes_max)
        return refuse(stmt, column, "too long", err);
    return *data_out != NULL || *bytes_out == 0 ? DYNO_OK : DYNO_NOMEM(err);
}

enum dyno_status dyno_stmt_bytes(struct dyno_stmt *stmt, int column, size_t bytes, void *data_out,
                                 struct dyno_err *err)
{
    const struct dyno_sqlite *sqlite = stmt->db->sqlite;
    if (sqlite->column_type(stmt->handle, column) != SQLITE_BLOB ||
        (size_t)sqlite->column_bytes(stmt->handle, column) != bytes)
        return refuse(stmt, column, "of another length or type", err);
    memcpy(data_out, sqlite->column_blob(stmt->handle, column), bytes);
    return DYNO_OK;
}
