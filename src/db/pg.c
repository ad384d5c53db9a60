/* pg.c - connecting, waiting, failures, the schema. */
#include "db/pg.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "db/pg_internal.h"

#define MS_NS              UINT64_C(1000000)
#define TIMEOUT_MS_DEFAULT 10000U
#define SLICE_NS           (50 * MS_NS) /* between looks at whether all is ending */
#define LOCK_KEY           "7599112842" /* who changes a schema of ours holds this advisory lock */

/* --- failures --- */

/* The first line that was said, on one line whatever it holds. */
static void put_clean(const char *said, char *out, size_t room)
{
    size_t count = 0;
    for (; *said != 0 && *said != '\n' && count + 1 < room; said++) {
        const unsigned char c = (unsigned char)*said;
        const bool is_space = c <= 0x20 || c == 0x7f;
        if (!is_space || (count > 0 && out[count - 1] != ' '))
            out[count++] = is_space ? ' ' : (char)c;
    }
    while (count > 0 && out[count - 1] == ' ')
        count--;
    out[count] = 0;
}

enum dyno_status dyno_pg_fail(struct dyno_pg *pg, struct dyno_err *err)
{
    char said[512] = "";
    if (pg->lib->status(pg->conn) == CONNECTION_BAD)
        pg->is_lost = true;
    put_clean(pg->lib->errorMessage(pg->conn), said, sizeof(said));
    return DYNO_FAIL(err, DYNO_E_IO, "%s: %s", pg->kind->what,
                     said[0] != 0 ? said : "the connection is lost");
}

/* X(first characters of the SQLSTATE, what that is); the first that fits counts.  (PostgreSQL,
 * appendix A) */
#define STATE_MAP(X)                                                     \
    X("08", DYNO_E_IO) /* connection */                                  \
    X("23505", DYNO_E_EXISTS)                                            \
    X("25P03", DYNO_E_BUSY) /* it was idle in a transaction too long */  \
    X("28", DYNO_E_DENIED)  /* who asks */                               \
    X("3D", DYNO_E_NOT_FOUND)                                            \
    X("40", DYNO_E_BUSY) /* serialisation, deadlock */                   \
    X("42501", DYNO_E_DENIED)                                            \
    X("42", DYNO_E_FORMAT)  /* a table or column is another one */       \
    X("53", DYNO_E_LIMIT)   /* disk, memory, connections */              \
    X("55", DYNO_E_BUSY)    /* a lock that is not to be had */           \
    X("57014", DYNO_E_BUSY) /* it took too long */                       \
    X("57", DYNO_E_IO)      /* the server is going down, or coming up */ \
    X("58", DYNO_E_IO)                                                   \
    X("2", DYNO_E_FORMAT) /* values that do not fit */                   \
    X("", DYNO_E_IO)

static enum dyno_status status_of(const char *state)
{
    static const struct {
        const char *start;
        enum dyno_status status;
    } rows[] = {
#define X(start, status) {start, status},
        STATE_MAP(X)
#undef X
    };
    size_t i = 0;
    while (strncmp(state, rows[i].start, strlen(rows[i].start)) != 0)
        i++;
    return rows[i].status;
}

enum dyno_status dyno_pg_fail_result(struct dyno_pg *pg, const PGresult *result,
                                     struct dyno_err *err)
{
    char said[512] = "";
    const char *state = pg->lib->resultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = pg->lib->resultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (state == NULL || text == NULL) /* not the server's words */
        return dyno_pg_fail(pg, err);
    (void)snprintf(pg->state, sizeof(pg->state), "%s", state);
    if (strncmp(state, "08", 2) == 0 || strncmp(state, "57P", 3) == 0 ||
        strcmp(state, "25P03") == 0)
        pg->is_lost = true;
    put_clean(text, said, sizeof(said));
    return DYNO_FAIL(err, status_of(state), "%s: %s", pg->kind->what, said);
}

bool dyno_pg_is_lost(const struct dyno_pg *pg)
{
    return pg->is_lost;
}

const char *dyno_pg_state(const struct dyno_pg *pg)
{
    return pg->state;
}

const char *dyno_pg_database(const struct dyno_pg *pg)
{
    return pg->lib->db(pg->conn);
}

/* --- waiting --- */

enum dyno_status dyno_pg_enter(struct dyno_pg *pg, struct dyno_err *err)
{
    pg->deadline_ns = dyno_clock_ns() + pg->timeout_ns;
    pg->state[0] = 0;
    return pg->is_lost ? DYNO_FAIL(err, DYNO_E_IO, "%s: the connection is lost", pg->kind->what)
                       : DYNO_OK;
}

enum dyno_status dyno_pg_wait(struct dyno_pg *pg, short events, struct dyno_err *err)
{
    for (;;) {
        struct pollfd fd = {.fd = pg->lib->socket(pg->conn), .events = events};
        const uint64_t now_ns = dyno_clock_ns();
        if (pg->is_ending != NULL && atomic_load(pg->is_ending)) {
            pg->is_lost = true;
            return DYNO_FAIL(err, DYNO_E_CANCELLED, "%s: it is not waited for any more",
                             pg->kind->what);
        }
        if (now_ns >= pg->deadline_ns) {
            pg->is_lost = true;
            return DYNO_FAIL(err, DYNO_E_IO, "%s: the server has not answered for %.3g seconds",
                             pg->kind->what, (double)pg->timeout_ns * 1e-9);
        }
        const uint64_t left_ns = pg->deadline_ns - now_ns;
        const int got = poll(&fd, 1, (int)((left_ns < SLICE_NS ? left_ns : SLICE_NS) / MS_NS) + 1);
        if (got > 0)
            return DYNO_OK;
        if (got < 0 && errno != EINTR) {
            pg->is_lost = true;
            return DYNO_FAIL(err, DYNO_E_IO, "%s: %s", pg->kind->what, strerror(errno));
        }
    }
}

/* --- connecting --- */

enum dyno_status dyno_pg_check_conninfo(const char *conninfo, struct dyno_err *err)
{
    const struct dyno_libpq *lib = NULL;
    char *said = NULL;
    bool has_password = false;
    DYNO_TRY(dyno_libpq_get(&lib, err));
    PQconninfoOption *options = lib->conninfoParse(conninfo, &said);
    /* Its sentence may quote what is no keyword: part of a password, perhaps. */
    if (said != NULL)
        lib->freemem(said);
    if (options == NULL)
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "it is no connection string of PostgreSQL: wants KEY=VALUE ... or "
                         "postgresql://..., with keywords that libpq knows");
    for (const PQconninfoOption *at = options; at->keyword != NULL; at++)
        has_password =
            has_password || (at->val != NULL && (strcmp(at->keyword, "password") == 0 ||
                                                 strcmp(at->keyword, "sslpassword") == 0));
    lib->conninfoFree(options);
    return has_password ? DYNO_FAIL(err, DYNO_E_ARG,
                                    "a connection string is seen by others and holds no password: "
                                    "that belongs into a passfile (~/.pgpass, PGPASSFILE), a "
                                    "service file, or PGPASSWORD")
                        : DYNO_OK;
}

/* Servers say NOTICE of what is as it should be. */
static void ignore_notice(void *arg, const char *text)
{
    (void)arg;
    (void)text;
}

static enum dyno_status fail_connect(struct dyno_pg *pg, struct dyno_err *err)
{
    const bool is_denied = pg->lib->connectionNeedsPassword(pg->conn) != 0 ||
                           pg->lib->connectionUsedPassword(pg->conn) != 0;
    const enum dyno_status status = dyno_pg_fail(pg, err);
    if (is_denied && err != NULL)
        err->status = DYNO_E_DENIED;
    return is_denied ? DYNO_E_DENIED : status;
}

static enum dyno_status connect(struct dyno_pg *pg, const char *conninfo, struct dyno_err *err)
{
    const char *const keywords[] = {"dbname", "fallback_application_name", "client_encoding", NULL};
    const char *const values[] = {conninfo, "dyno", "UTF8", NULL};
    short events = POLLOUT;
    pg->conn = pg->lib->connectStartParams(keywords, values, 1);
    if (pg->conn == NULL)
        return DYNO_NOMEM(err);
    if (pg->lib->status(pg->conn) == CONNECTION_BAD)
        return fail_connect(pg, err);
    (void)pg->lib->setNoticeProcessor(pg->conn, ignore_notice, NULL);
    for (;;) {
        DYNO_TRY(dyno_pg_wait(pg, events, err));
        switch (pg->lib->connectPoll(pg->conn)) {
        case PGRES_POLLING_OK:
            return pg->lib->setnonblocking(pg->conn, 1) == 0 ? DYNO_OK : dyno_pg_fail(pg, err);
        case PGRES_POLLING_READING:
            events = POLLIN;
            break;
        case PGRES_POLLING_WRITING:
            events = POLLOUT;
            break;
        case PGRES_POLLING_FAILED:
        case PGRES_POLLING_ACTIVE: /* of old versions */
            return fail_connect(pg, err);
        }
    }
}

/* The server gives up before we do, and lets go of a transaction whose client is silent.  What is
 * found without a schema is the system's.  Where commits do not wait for the disk, ours do. */
static enum dyno_status set_up(struct dyno_pg *pg, struct dyno_err *err)
{
    char sql[320];
    const unsigned long long ms = pg->timeout_ns / MS_NS;
    (void)snprintf(sql, sizeof(sql),
                   "SET statement_timeout = %llu; "
                   "SET idle_in_transaction_session_timeout = %llu; "
                   "SET search_path = pg_catalog, pg_temp; "
                   "SELECT set_config('synchronous_commit', 'on', false) "
                   "WHERE current_setting('synchronous_commit') = 'off'",
                   ms - ms / 10, 2 * ms);
    return dyno_pg_exec(pg, sql, err);
}

/* --- the schema --- */

static enum dyno_status read_row(struct dyno_pg *pg, int64_t *version_out, struct dyno_err *err)
{
    char text[128];
    struct dyno_pg_rows rows = {0};
    *version_out = 0;
    (void)snprintf(text, sizeof(text), "SELECT version FROM %s.schema_version", pg->kind->schema);
    enum dyno_status status = dyno_pg_query_once(pg, text, NULL, 0, &rows, err);
    if (status == DYNO_OK && rows.count > 0)
        status = dyno_pg_i64(&rows, 0, 0, 1, INT32_MAX, version_out, err);
    dyno_pg_rows_close(&rows);
    return status;
}

/* 0: there is none yet. */
static enum dyno_status read_version(struct dyno_pg *pg, int64_t *version_out, struct dyno_err *err)
{
    char text[128];
    struct dyno_pg_rows rows = {0};
    *version_out = 0;
    (void)snprintf(text, sizeof(text), "%s.schema_version", pg->kind->schema);
    const struct dyno_pg_value name = dyno_pg_string(text);
    enum dyno_status status =
        dyno_pg_query_once(pg, "SELECT to_regclass($1) IS NOT NULL", &name, 1, &rows, err);
    if (status == DYNO_OK)
        status = dyno_pg_i64(&rows, 0, 0, 0, 1, version_out, err);
    dyno_pg_rows_close(&rows);
    return status != DYNO_OK || *version_out == 0 ? status : read_row(pg, version_out, err);
}

static enum dyno_status check_version(const struct dyno_pg *pg, int64_t version, bool creates,
                                      struct dyno_err *err)
{
    const struct dyno_pg_kind *kind = pg->kind;
    if (version > kind->version)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                         "%s: the database \"%s\" has version %lld of its tables, made by a newer "
                         "build: this one knows %d",
                         kind->what, dyno_pg_database(pg), (long long)version, (int)kind->version);
    if (version == kind->version || creates)
        return DYNO_OK;
    if (version == 0)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "%s: there is none in the database \"%s\" yet",
                         kind->what, dyno_pg_database(pg));
    return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                     "%s: the database \"%s\" has version %lld of its tables, this build reads %d",
                     kind->what, dyno_pg_database(pg), (long long)version, (int)kind->version);
}

/* Under the lock: another process may have been faster.  Whether the table is there is found out by
 * making it: a look by its name may still be answered from before we waited. */
static enum dyno_status change_schema(struct dyno_pg *pg, struct dyno_err *err)
{
    char sql[320];
    int64_t version = 0;
    const struct dyno_pg_kind *kind = pg->kind;
    DYNO_TRY(dyno_pg_exec(pg, "SELECT pg_advisory_xact_lock(" LOCK_KEY ")", err));
    (void)snprintf(sql, sizeof(sql),
                   "CREATE SCHEMA IF NOT EXISTS %s; "
                   "CREATE TABLE IF NOT EXISTS %s.schema_version (version integer NOT NULL)",
                   kind->schema, kind->schema);
    DYNO_TRY(dyno_pg_exec(pg, sql, err));
    DYNO_TRY(read_row(pg, &version, err));
    DYNO_TRY(check_version(pg, version, true, err));
    if (version == kind->version)
        return DYNO_OK;
    for (; version < kind->version; version++)
        DYNO_TRY(dyno_pg_exec(pg, kind->changes[version], err));
    (void)snprintf(sql, sizeof(sql),
                   "DELETE FROM %s.schema_version; INSERT INTO %s.schema_version VALUES (%d)",
                   kind->schema, kind->schema, (int)kind->version);
    return dyno_pg_exec(pg, sql, err);
}

static enum dyno_status settle(struct dyno_pg *pg, bool creates, struct dyno_err *err)
{
    int64_t version = 0;
    DYNO_TRY(read_version(pg, &version, err));
    DYNO_TRY(check_version(pg, version, creates, err));
    if (version == pg->kind->version)
        return DYNO_OK;
    DYNO_TRY(dyno_pg_begin(pg, err));
    return dyno_pg_end(pg, change_schema(pg, err), err);
}

enum dyno_status dyno_pg_open(const struct dyno_pg_kind *kind,
                              const struct dyno_pg_options *options, struct dyno_pg **pg_out,
                              struct dyno_err *err)
{
    *pg_out = NULL;
    DYNO_TRY(dyno_pg_check_conninfo(options->conninfo, err));
    struct dyno_pg *pg = dyno_alloc(1, sizeof(*pg));
    if (pg == NULL)
        return DYNO_NOMEM(err);
    pg->kind = kind;
    pg->is_ending = options->is_ending;
    pg->timeout_ns = MS_NS * (options->timeout_ms != 0 ? options->timeout_ms : TIMEOUT_MS_DEFAULT);
    enum dyno_status status = dyno_libpq_get(&pg->lib, err);
    if (status == DYNO_OK)
        status = dyno_pg_enter(pg, err);
    if (status == DYNO_OK)
        status = connect(pg, options->conninfo, err);
    if (status == DYNO_OK)
        status = set_up(pg, err);
    if (status == DYNO_OK)
        status = settle(pg, options->creates, err);
    if (status != DYNO_OK) {
        dyno_pg_close(pg);
        return status;
    }
    *pg_out = pg;
    return DYNO_OK;
}

void dyno_pg_close(struct dyno_pg *pg)
{
    if (pg == NULL)
        return;
    if (pg->conn != NULL)
        pg->lib->finish(pg->conn);
    dyno_strbuf_fini(&pg->copy);
    dyno_free(pg);
}
