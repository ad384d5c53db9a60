/* db.c - opening, schema, transactions. */
#include "db/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "db/db_fail.h"
#include "db/log_vfs.h"

#define VALUE_BYTES_MAX (1024 * 1024) /* of one text or blob, and of a row */

/* --- failures --- */

static enum dyno_status status_of(int code)
{
    if (code == SQLITE_IOERR_NOMEM)
        return DYNO_E_NOMEM;
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return DYNO_E_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return DYNO_E_BUSY;
    case SQLITE_CORRUPT:
        return DYNO_E_CORRUPT;
    case SQLITE_ERROR: /* a table or a column is missing, a sum is too large */
    case SQLITE_NOTADB:
    case SQLITE_SCHEMA:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
    case SQLITE_RANGE:
        return DYNO_E_FORMAT;
    case SQLITE_TOOBIG:
        return DYNO_E_LIMIT;
    default:
        return DYNO_E_IO;
    }
}

/* SQLite's sentence, which may quote the file: what would spoil a line is taken out. */
static void put_clean(const char *said, char *out, size_t room)
{
    (void)snprintf(out, room, "%s", said);
    for (char *at = out; *at != 0; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
}

enum dyno_status dyno_db_fail(const struct dyno_db *db, int code, struct dyno_err *err)
{
    char said[512] = "";
    char reason[128] = "";
    const enum dyno_status status = status_of(code);
    if (status == DYNO_E_NOMEM)
        return DYNO_NOMEM(err);
    if (status == DYNO_E_BUSY)
        return DYNO_FAIL(err, status, "%s \"%s\" is locked by another process", db->kind->what,
                         db->path);
    if (db->handle != NULL)
        put_clean(db->sqlite->errmsg(db->handle), said, sizeof(said));
    const int error = db->handle != NULL ? db->sqlite->system_errno(db->handle) : 0;
    if (status == DYNO_E_IO && error != 0)
        (void)snprintf(reason, sizeof(reason), " (%s)", strerror(error));
    return DYNO_FAIL(err, status, "%s \"%s\": %s%s", db->kind->what, db->path, said, reason);
}

bool dyno_db_is_full(const struct dyno_db *db)
{
    const int code = db->sqlite->extended_errcode(db->handle);
    const int error = db->sqlite->system_errno(db->handle);
    if ((code & 0xff) == SQLITE_FULL)
        return true;
    /* A failed sync is something else, whatever the reason: what was written before is lost. */
    return (code & 0xff) == SQLITE_IOERR && code != SQLITE_IOERR_FSYNC &&
           code != SQLITE_IOERR_DIR_FSYNC && (error == ENOSPC || error == EDQUOT);
}

/* --- SQL without rows --- */

enum dyno_status dyno_db_exec(struct dyno_db *db, const char *sql, struct dyno_err *err)
{
    const int code = db->sqlite->exec(db->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? DYNO_OK : dyno_db_fail(db, code, err);
}

enum dyno_status dyno_db_begin(struct dyno_db *db, bool writes, struct dyno_err *err)
{
    return dyno_db_exec(db, writes ? "BEGIN IMMEDIATE" : "BEGIN", err);
}

enum dyno_status dyno_db_end(struct dyno_db *db, enum dyno_status status, struct dyno_err *err)
{
    if (status == DYNO_OK)
        status = dyno_db_exec(db, "COMMIT", err);
    /* Some failures have taken everything back already. */
    if (status != DYNO_OK && db->sqlite->get_autocommit(db->handle) == 0)
        (void)db->sqlite->exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

/* The one number that `sql` gives. */
static enum dyno_status ask_number(struct dyno_db *db, const char *sql, int64_t *value_out,
                                   struct dyno_err *err)
{
    struct dyno_stmt stmt = {0};
    bool has_row = false;
    *value_out = 0;
    DYNO_TRY(dyno_stmt_open(db, sql, &stmt, err));
    enum dyno_status status = dyno_stmt_step(&stmt, &has_row, err);
    if (status == DYNO_OK && has_row)
        status = dyno_stmt_i64(&stmt, 0, INT64_MIN, INT64_MAX, value_out, err);
    dyno_stmt_close(&stmt);
    return status;
}

enum dyno_status dyno_db_data_version(struct dyno_db *db, int64_t *version_out,
                                      struct dyno_err *err)
{
    return ask_number(db, "PRAGMA data_version", version_out, err);
}

/* --- opening --- */

/* Nothing that the file says is executed, and it says nothing of any size. */
static void confine(struct dyno_db *db, uint32_t busy_ms)
{
    static const struct {
        int option, value;
    } rows[] = {{SQLITE_DBCONFIG_DEFENSIVE, 1},
                {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                {SQLITE_DBCONFIG_ENABLE_FKEY, 1}};
    for (size_t i = 0; i < DYNO_COUNT(rows); i++)
        (void)db->sqlite->db_config(db->handle, rows[i].option, rows[i].value, NULL);
    (void)db->sqlite->limit(db->handle, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
    (void)db->sqlite->extended_result_codes(db->handle, 1);
    (void)db->sqlite->busy_timeout(db->handle, (int)busy_ms);
}

/* Is it ours, and which schema has it?  *version_out 0: there is nothing in it yet. */
static enum dyno_status identify(struct dyno_db *db, bool create, int64_t *version_out,
                                 struct dyno_err *err)
{
    int64_t application_id = 0;
    int64_t things = 0;
    const struct dyno_db_kind *kind = db->kind;
    DYNO_TRY(ask_number(db, "PRAGMA application_id", &application_id, err));
    DYNO_TRY(ask_number(db, "PRAGMA user_version", version_out, err));
    DYNO_TRY(ask_number(db, "SELECT count(*) FROM sqlite_schema", &things, err));
    if (application_id == 0 && *version_out == 0 && things == 0 && create)
        return DYNO_OK;
    if (application_id != kind->application_id || *version_out < 1)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "\"%s\" is no %s", db->path, kind->what);
    if (*version_out > kind->version)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "%s \"%s\" has schema %lld, made by a newer version: this build knows %d",
                         kind->what, db->path, (long long)*version_out, (int)kind->version);
    return DYNO_OK;
}

/* Under the lock of a writing transaction: another process may have been faster. */
static enum dyno_status change_schema(struct dyno_db *db, bool create, struct dyno_err *err)
{
    char pragmas[96];
    int64_t version = 0;
    DYNO_TRY(identify(db, create, &version, err));
    for (; version < db->kind->version; version++)
        DYNO_TRY(dyno_db_exec(db, db->kind->changes[version], err));
    (void)snprintf(pragmas, sizeof(pragmas), "PRAGMA application_id = %d; PRAGMA user_version = %d",
                   (int)db->kind->application_id, (int)db->kind->version);
    return dyno_db_exec(db, pragmas, err);
}

static enum dyno_status settle(struct dyno_db *db, bool create, struct dyno_err *err)
{
    int64_t version = 0;
    DYNO_TRY(identify(db, create, &version, err));
    DYNO_TRY(dyno_db_exec(db,
                          "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; "
                          "PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL",
                          err));
    if (version == db->kind->version)
        return DYNO_OK;
    DYNO_TRY(dyno_db_begin(db, true, err));
    return dyno_db_end(db, change_schema(db, create, err), err);
}

/* Make the file, so that it is its owner's from the first moment on. */
static enum dyno_status make_file(const struct dyno_db *db, bool *is_fresh_out,
                                  struct dyno_err *err)
{
    const int fd = open(db->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    *is_fresh_out = fd >= 0;
    if (fd >= 0)
        (void)close(fd);
    else if (errno != EEXIST)
        return DYNO_FAIL(err, DYNO_E_IO, "cannot create \"%s\": %s", db->path, strerror(errno));
    return DYNO_OK;
}

/* SQLite takes names like ":memory:" for something else: none of ours is passed on as it is. */
static enum dyno_status open_handle(struct dyno_db *db, int flags, struct dyno_err *err)
{
    struct stat info;
    if (stat(db->path, &info) != 0)
        return DYNO_FAIL(err, dyno_file_read_status(errno), "%s \"%s\": %s", db->kind->what,
                         db->path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return DYNO_FAIL(err, DYNO_E_IO, "%s \"%s\": not a regular file", db->kind->what, db->path);
    const size_t room = strlen(db->path) + 3;
    char *name = dyno_alloc(room, 1);
    if (name == NULL)
        return DYNO_NOMEM(err);
    (void)snprintf(name, room, "%s%s", db->path[0] == '/' ? "" : "./", db->path);
    const bool gathers = db->kind->commits_often && (flags & SQLITE_OPEN_READWRITE) != 0;
    const int code = db->sqlite->open_v2(name, &db->handle, flags | SQLITE_OPEN_NOMUTEX,
                                         gathers ? dyno_log_vfs() : NULL);
    dyno_free(name);
    db->device = info.st_dev;
    db->inode = info.st_ino;
    return code == SQLITE_OK ? DYNO_OK : dyno_db_fail(db, code, err);
}

static enum dyno_status begin_open(const struct dyno_db_kind *kind, const char *path,
                                   struct dyno_db *db_out, struct dyno_err *err)
{
    *db_out = (struct dyno_db){.kind = kind};
    DYNO_TRY(dyno_sqlite_get(&db_out->sqlite, err));
    db_out->path = dyno_strdup(path);
    return db_out->path != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

enum dyno_status dyno_db_open(const struct dyno_db_kind *kind, const char *path, bool create,
                              uint32_t busy_ms, struct dyno_db *db_out, struct dyno_err *err)
{
    bool is_fresh = false;
    DYNO_TRY(begin_open(kind, path, db_out, err));
    enum dyno_status status = create ? make_file(db_out, &is_fresh, err) : DYNO_OK;
    if (status == DYNO_OK)
        status = open_handle(db_out, SQLITE_OPEN_READWRITE, err);
    if (status == DYNO_OK) {
        confine(db_out, busy_ms);
        status = settle(db_out, create, err);
    }
    if (status != DYNO_OK) {
        dyno_db_close(db_out);
        if (is_fresh)
            (void)unlink(path);
    }
    return status;
}

static enum dyno_status settle_to_read(struct dyno_db *db, struct dyno_err *err)
{
    int64_t version = 0;
    DYNO_TRY(dyno_db_exec(db, "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY", err));
    DYNO_TRY(identify(db, false, &version, err));
    return version == db->kind->version
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                           "%s \"%s\" has schema %lld, this build reads %d", db->kind->what,
                           db->path, (long long)version, (int)db->kind->version);
}

enum dyno_status dyno_db_open_to_read(const struct dyno_db_kind *kind, const char *path,
                                      uint32_t busy_ms, struct dyno_db *db_out,
                                      struct dyno_err *err)
{
    DYNO_TRY(begin_open(kind, path, db_out, err));
    enum dyno_status status = open_handle(db_out, SQLITE_OPEN_READONLY, err);
    if (status == DYNO_OK) {
        confine(db_out, busy_ms);
        status = settle_to_read(db_out, err);
    }
    if (status != DYNO_OK)
        dyno_db_close(db_out);
    return status;
}

bool dyno_db_is_blank(const char *path)
{
    static const struct dyno_db_kind any = {.what = "database"};
    struct dyno_db db = {0};
    int64_t things = 1;
    if (begin_open(&any, path, &db, NULL) != DYNO_OK)
        return false;
    if (open_handle(&db, SQLITE_OPEN_READONLY, NULL) == DYNO_OK) {
        confine(&db, 0);
        if (ask_number(&db, "SELECT count(*) FROM sqlite_schema", &things, NULL) != DYNO_OK)
            things = 1;
    }
    dyno_db_close(&db);
    return things == 0;
}

enum dyno_status dyno_db_keep_log(struct dyno_db *db, struct dyno_err *err)
{
    (void)db->sqlite->db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return dyno_db_exec(db, "PRAGMA wal_autocheckpoint = 0", err);
}

void dyno_db_close(struct dyno_db *db)
{
    if (db->handle != NULL) {
        const int code = db->sqlite->close(db->handle);
        DYNO_ASSERT(code == SQLITE_OK); /* nothing else keeps it open than a statement */
    }
    dyno_free(db->path);
    *db = (struct dyno_db){0};
}

bool dyno_db_is_replaced(const struct dyno_db *db)
{
    struct stat info;
    return stat(db->path, &info) != 0 || info.st_dev != db->device || info.st_ino != db->inode;
}
