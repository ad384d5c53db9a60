/* control.c - the schema, and reading. */
#include "control/control.h"

#include <string.h>

#include "base/mem.h"
#include "control/internal.h"

/* Every table is STRICT: types are SQLite's to keep, as long as it is SQLite that writes. */
static const char *const changes[] = {
    "CREATE TABLE tenant ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " name TEXT NOT NULL UNIQUE,"
    " enabled INTEGER NOT NULL,"
    " permits INTEGER NOT NULL,"
    " class TEXT NOT NULL,"
    " rate_per_s REAL NOT NULL,"
    " burst INTEGER NOT NULL,"
    " concurrent_max INTEGER NOT NULL,"
    " period INTEGER NOT NULL,"
    " quota_requests INTEGER NOT NULL,"
    " quota_device_ns INTEGER NOT NULL,"
    " created_s INTEGER NOT NULL) STRICT;"
    "CREATE TABLE tenant_model ("
    " tenant INTEGER NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,"
    " model TEXT NOT NULL,"
    " PRIMARY KEY (tenant, model)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE tenant_key ("
    " id TEXT NOT NULL PRIMARY KEY,"
    " tenant INTEGER NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,"
    " digest BLOB NOT NULL UNIQUE,"
    " created_s INTEGER NOT NULL,"
    " ends_s INTEGER) STRICT;"
    "CREATE INDEX tenant_key_of ON tenant_key (tenant);"
    "CREATE TABLE tenant_use ("
    " tenant INTEGER NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,"
    " day INTEGER NOT NULL,"
    " requests INTEGER NOT NULL,"
    " device_ns INTEGER NOT NULL,"
    " PRIMARY KEY (tenant, day)) STRICT, WITHOUT ROWID;",

    "CREATE TABLE budget ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " tenant INTEGER REFERENCES tenant (id) ON DELETE CASCADE,"
    " model TEXT NOT NULL,"
    " class TEXT NOT NULL,"
    " unit TEXT NOT NULL,"
    " period INTEGER NOT NULL,"
    " is_hard INTEGER NOT NULL,"
    " amount INTEGER NOT NULL,"
    " alerts TEXT NOT NULL,"
    " created_s INTEGER NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX budget_scope ON budget (coalesce(tenant, 0), model, class, unit, period);"
    "CREATE TABLE budget_node ("
    " node INTEGER PRIMARY KEY,"
    " epoch INTEGER NOT NULL,"
    " posted_seq INTEGER NOT NULL,"
    " settled_seq INTEGER NOT NULL,"
    " seen_s INTEGER NOT NULL) STRICT;"
    "CREATE TABLE budget_share ("
    " budget INTEGER NOT NULL REFERENCES budget (id) ON DELETE CASCADE,"
    " tenant INTEGER NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,"
    " first_day INTEGER NOT NULL,"
    " node INTEGER NOT NULL,"
    " used INTEGER NOT NULL,"
    " rest INTEGER NOT NULL,"
    " reserved INTEGER NOT NULL,"
    " granted INTEGER NOT NULL,"
    " PRIMARY KEY (budget, tenant, first_day, node)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX budget_share_of ON budget_share (tenant);"
    "CREATE TABLE budget_alert ("
    " budget INTEGER NOT NULL REFERENCES budget (id) ON DELETE CASCADE,"
    " tenant INTEGER NOT NULL REFERENCES tenant (id) ON DELETE CASCADE,"
    " first_day INTEGER NOT NULL,"
    " percent INTEGER NOT NULL,"
    " at_s INTEGER NOT NULL,"
    " PRIMARY KEY (budget, tenant, first_day, percent)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX budget_alert_of ON budget_alert (tenant);",
};

static const struct dyno_db_kind kind = {.what = "control database",
                                         .application_id = 0x64796e63, /* "dync" */
                                         .version = DYNO_COUNT(changes),
                                         .changes = changes};

enum dyno_status dyno_control_open(const char *path, bool create, uint32_t busy_ms,
                                   struct dyno_control **control_out, struct dyno_err *err)
{
    struct dyno_control *control = dyno_alloc(1, sizeof(*control));
    *control_out = NULL;
    if (control == NULL)
        return DYNO_NOMEM(err);
    const enum dyno_status status = dyno_db_open(&kind, path, create, busy_ms, &control->db, err);
    if (status != DYNO_OK) {
        dyno_free(control);
        return status;
    }
    control->seen_version = -1;
    *control_out = control;
    return DYNO_OK;
}

void dyno_control_close(struct dyno_control *control)
{
    if (control == NULL)
        return;
    dyno_db_close(&control->db);
    dyno_free(control);
}

enum dyno_status dyno_control_has_changed(struct dyno_control *control, bool *changed_out,
                                          struct dyno_err *err)
{
    int64_t version = 0;
    *changed_out = false;
    DYNO_TRY(dyno_db_data_version(&control->db, &version, err));
    *changed_out = version != control->seen_version;
    control->seen_version = version;
    return DYNO_OK;
}

bool dyno_control_is_replaced(const struct dyno_control *control)
{
    return dyno_db_is_replaced(&control->db);
}

enum dyno_status dyno_control_do(struct dyno_control *control, const char *sql, int64_t first,
                                 const char *second, struct dyno_err *err)
{
    struct dyno_stmt stmt;
    DYNO_TRY(dyno_stmt_open(&control->db, sql, &stmt, err));
    dyno_stmt_bind_i64(&stmt, 1, first);
    if (second != NULL)
        dyno_stmt_bind_text(&stmt, 2, second);
    const enum dyno_status status = dyno_stmt_run(&stmt, err);
    dyno_stmt_close(&stmt);
    return status;
}

/* --- one tenant --- */

/* The statements of a reading, prepared once. */
struct reader {
    struct dyno_stmt tenants, models, keys, use;
    struct dyno_arena *arena;
    int64_t today;
};

static enum dyno_status own_name(struct dyno_stmt *stmt, int column, struct dyno_arena *arena,
                                 const char **name_out, struct dyno_err *err)
{
    const char *text = NULL;
    DYNO_TRY(dyno_stmt_text(stmt, column, DYNO_CONTROL_NAME_BYTES_MAX, &text, err));
    if (!dyno_control_name_ok(text))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s \"%s\": a name breaks the rule of names",
                         kind.what, stmt->db->path);
    *name_out = dyno_arena_strdup(arena, text);
    return *name_out != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

static enum dyno_status too_many(const struct dyno_stmt *stmt, const char *what, size_t max,
                                 struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_LIMIT, "%s \"%s\" has more than %zu %s", kind.what, stmt->db->path,
                     max, what);
}

static enum dyno_status read_models(struct reader *reader, struct dyno_tenant *tenant,
                                    struct dyno_err *err)
{
    const char *names[DYNO_TENANT_MODELS_MAX];
    struct dyno_stmt *stmt = &reader->models;
    bool has_row = false;
    size_t count = 0;
    dyno_stmt_bind_i64(stmt, 1, tenant->id);
    for (;;) {
        DYNO_TRY(dyno_stmt_step(stmt, &has_row, err));
        if (!has_row)
            break;
        if (count == DYNO_COUNT(names))
            return too_many(stmt, "models of a tenant", count, err);
        DYNO_TRY(own_name(stmt, 0, reader->arena, &names[count++], err));
    }
    dyno_stmt_reset(stmt);
    if (count == 0)
        return DYNO_OK;
    tenant->models = dyno_arena_memdup(reader->arena, names, count * sizeof(names[0]));
    tenant->model_count = count;
    return tenant->models != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

static enum dyno_status read_key(struct dyno_stmt *stmt, struct dyno_key_row *row,
                                 struct dyno_err *err)
{
    const char *id = NULL;
    *row = (struct dyno_key_row){0};
    DYNO_TRY(dyno_stmt_text(stmt, 0, DYNO_KEY_ID_BYTES, &id, err));
    if (!dyno_key_id_ok(id))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "%s \"%s\": a key's id breaks the rule of ids",
                         kind.what, stmt->db->path);
    memcpy(row->id, id, DYNO_KEY_ID_BYTES + 1);
    DYNO_TRY(dyno_stmt_bytes(stmt, 1, sizeof(row->digest), row->digest, err));
    DYNO_TRY(dyno_stmt_i64(stmt, 2, 0, INT64_MAX, &row->created_s, err));
    return dyno_stmt_is_null(stmt, 3) ? DYNO_OK
                                      : dyno_stmt_i64(stmt, 3, 1, INT64_MAX, &row->ends_s, err);
}

static enum dyno_status read_keys(struct reader *reader, struct dyno_tenant *tenant,
                                  struct dyno_err *err)
{
    struct dyno_key_row rows[DYNO_TENANT_KEYS_MAX];
    struct dyno_stmt *stmt = &reader->keys;
    bool has_row = false;
    size_t count = 0;
    dyno_stmt_bind_i64(stmt, 1, tenant->id);
    for (;;) {
        DYNO_TRY(dyno_stmt_step(stmt, &has_row, err));
        if (!has_row)
            break;
        if (count == DYNO_COUNT(rows))
            return too_many(stmt, "keys of a tenant", count, err);
        DYNO_TRY(read_key(stmt, &rows[count++], err));
    }
    dyno_stmt_reset(stmt);
    if (count == 0)
        return DYNO_OK;
    tenant->keys = dyno_arena_memdup(reader->arena, rows, count * sizeof(rows[0]));
    tenant->key_count = count;
    return tenant->keys != NULL ? DYNO_OK : DYNO_NOMEM(err);
}

static enum dyno_status read_use(struct reader *reader, struct dyno_tenant *tenant,
                                 struct dyno_err *err)
{
    struct dyno_stmt *stmt = &reader->use;
    int64_t values[4] = {0};
    int64_t first = 0;
    int64_t next = 0;
    bool has_row = false;
    dyno_period_of(DYNO_PERIOD_MONTH, reader->today, &first, &next);
    dyno_stmt_bind_i64(stmt, 1, tenant->id);
    dyno_stmt_bind_i64(stmt, 2, reader->today);
    dyno_stmt_bind_i64(stmt, 3, first);
    dyno_stmt_bind_i64(stmt, 4, next);
    DYNO_TRY(dyno_stmt_step(stmt, &has_row, err));
    for (int i = 0; i < 4 && has_row; i++)
        DYNO_TRY(dyno_stmt_i64(stmt, i, 0, INT64_MAX, &values[i], err));
    dyno_stmt_reset(stmt);
    tenant->day_use = (struct dyno_use){(uint64_t)values[0], (uint64_t)values[1]};
    tenant->month_use = (struct dyno_use){(uint64_t)values[2], (uint64_t)values[3]};
    return DYNO_OK;
}

static enum dyno_status read_tenant(struct reader *reader, struct dyno_tenant *tenant,
                                    struct dyno_err *err)
{
    struct dyno_stmt *stmt = &reader->tenants;
    int64_t values[9] = {0};
    const struct {
        int column;
        int64_t min, max;
    } rows[] = {{0, 1, INT64_MAX},
                {2, 0, 1},
                {3, 0, DYNO_PERMIT_ALL},
                {6, 0, DYNO_COUNT_MAX},
                {7, 0, DYNO_COUNT_MAX},
                {8, DYNO_PERIOD_DAY, DYNO_PERIOD_MONTH},
                {9, 0, DYNO_QUOTA_REQUESTS_MAX},
                {10, 0, (int64_t)(DYNO_QUOTA_DEVICE_S_MAX * 1e9)},
                {11, 0, INT64_MAX}};
    *tenant = (struct dyno_tenant){0};
    for (size_t i = 0; i < DYNO_COUNT(rows); i++)
        DYNO_TRY(dyno_stmt_i64(stmt, rows[i].column, rows[i].min, rows[i].max, &values[i], err));
    DYNO_TRY(own_name(stmt, 1, reader->arena, &tenant->name, err));
    DYNO_TRY(own_name(stmt, 4, reader->arena, &tenant->class_name, err));
    DYNO_TRY(dyno_stmt_f64(stmt, 5, 0, DYNO_RATE_MAX, &tenant->rate_per_s, err));
    tenant->id = values[0];
    tenant->enabled = values[1] != 0;
    tenant->permits = (uint32_t)values[2];
    tenant->burst = (uint32_t)values[3];
    tenant->concurrent_max = (uint32_t)values[4];
    tenant->period = (enum dyno_period)values[5];
    tenant->quota_requests = (uint64_t)values[6];
    tenant->quota_device_ns = (uint64_t)values[7];
    tenant->created_s = values[8];
    DYNO_TRY(read_models(reader, tenant, err));
    DYNO_TRY(read_keys(reader, tenant, err));
    return read_use(reader, tenant, err);
}

/* --- all --- */

static enum dyno_status prepare(struct dyno_control *control, const char *name,
                                struct reader *reader, struct dyno_err *err)
{
    struct dyno_db *db = &control->db;
    DYNO_TRY(dyno_stmt_open(db,
                            "SELECT id, name, enabled, permits, class, rate_per_s, burst,"
                            " concurrent_max, period, quota_requests, quota_device_ns, created_s"
                            " FROM tenant WHERE ?1 IS NULL OR name = ?1 ORDER BY id",
                            &reader->tenants, err));
    DYNO_TRY(dyno_stmt_open(db, "SELECT model FROM tenant_model WHERE tenant = ?1 ORDER BY model",
                            &reader->models, err));
    DYNO_TRY(dyno_stmt_open(db,
                            "SELECT id, digest, created_s, ends_s FROM tenant_key"
                            " WHERE tenant = ?1 ORDER BY created_s, id",
                            &reader->keys, err));
    DYNO_TRY(dyno_stmt_open(db,
                            "SELECT coalesce(sum(requests) FILTER (WHERE day = ?2), 0) AS requests,"
                            " coalesce(sum(device_ns) FILTER (WHERE day = ?2), 0) AS device_ns,"
                            " coalesce(sum(requests), 0) AS requests,"
                            " coalesce(sum(device_ns), 0) AS device_ns FROM tenant_use"
                            " WHERE tenant = ?1 AND day >= ?3 AND day < ?4",
                            &reader->use, err));
    if (name != NULL)
        dyno_stmt_bind_text(&reader->tenants, 1, name);
    return DYNO_OK;
}

static enum dyno_status read_all(struct reader *reader, struct dyno_tenant **tenants_out,
                                 size_t *count_out, struct dyno_err *err)
{
    struct dyno_tenant *tenants = NULL;
    size_t count = 0;
    size_t room = 0;
    bool has_row = false;
    for (;;) {
        DYNO_TRY(dyno_stmt_step(&reader->tenants, &has_row, err));
        if (!has_row)
            break;
        if (count == DYNO_TENANTS_MAX)
            return too_many(&reader->tenants, "tenants", count, err);
        if (count == room) {
            room = room == 0 ? 16 : room * 2;
            struct dyno_tenant *moved = dyno_arena_alloc(reader->arena, room, sizeof(*moved));
            if (moved == NULL)
                return DYNO_NOMEM(err);
            if (count != 0)
                memcpy(moved, tenants, count * sizeof(*moved));
            tenants = moved;
        }
        DYNO_TRY(read_tenant(reader, &tenants[count++], err));
    }
    *tenants_out = tenants;
    *count_out = count;
    return DYNO_OK;
}

enum dyno_status dyno_control_load(struct dyno_control *control, const char *name, int64_t today,
                                   struct dyno_arena *arena, struct dyno_tenant **tenants_out,
                                   size_t *count_out, struct dyno_err *err)
{
    struct reader reader = {.arena = arena, .today = today};
    *tenants_out = NULL;
    *count_out = 0;
    enum dyno_status status = prepare(control, name, &reader, err);
    if (status == DYNO_OK)
        status = read_all(&reader, tenants_out, count_out, err);
    dyno_stmt_close(&reader.tenants);
    dyno_stmt_close(&reader.models);
    dyno_stmt_close(&reader.keys);
    dyno_stmt_close(&reader.use);
    if (status == DYNO_OK && name != NULL && *count_out == 0)
        status = DYNO_FAIL(err, DYNO_E_NOT_FOUND, "there is no tenant '%.128s'", name);
    return status;
}

enum dyno_status dyno_control_read(struct dyno_control *control, const char *name, int64_t today,
                                   struct dyno_arena *arena, struct dyno_tenant **tenants_out,
                                   size_t *count_out, struct dyno_err *err)
{
    *tenants_out = NULL;
    *count_out = 0;
    DYNO_TRY(dyno_db_begin(&control->db, false, err));
    return dyno_db_end(&control->db,
                       dyno_control_load(control, name, today, arena, tenants_out, count_out, err),
                       err);
}
