/* change.c - changing tenants and their keys. */
#include <string.h>

#include "control/internal.h"

struct dyno_tenant dyno_tenant_defaults(const char *name)
{
    return (struct dyno_tenant){.name = name,
                                .enabled = true,
                                .permits = DYNO_PERMIT_INFER | DYNO_PERMIT_READ,
                                .class_name = "standard"};
}

/* --- values --- */

static enum dyno_status check_name(const char *what, const char *name, struct dyno_err *err)
{
    if (dyno_control_name_ok(name))
        return DYNO_OK;
    return DYNO_FAIL(err, DYNO_E_ARG,
                     "'%.128s' is no name of a %s: letters, digits and _.- after a first letter or "
                     "digit, at most %d",
                     name, what, DYNO_CONTROL_NAME_BYTES_MAX);
}

enum dyno_status dyno_tenant_check(const struct dyno_tenant *tenant, struct dyno_err *err)
{
    DYNO_TRY(check_name("tenant", tenant->name, err));
    DYNO_TRY(check_name("service class", tenant->class_name, err));
    if (tenant->model_count > DYNO_TENANT_MODELS_MAX)
        return DYNO_FAIL(err, DYNO_E_ARG, "%zu models are more than the %d that a tenant may list",
                         tenant->model_count, DYNO_TENANT_MODELS_MAX);
    for (size_t i = 0; i < tenant->model_count; i++)
        DYNO_TRY(check_name("model", tenant->models[i], err));
    if ((tenant->permits & ~(uint32_t)DYNO_PERMIT_ALL) != 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "there are no such rights");
    if (!(tenant->rate_per_s >= 0 && tenant->rate_per_s <= DYNO_RATE_MAX))
        return DYNO_FAIL(err, DYNO_E_ARG, "a rate lies between 0 and %g requests a second",
                         DYNO_RATE_MAX);
    if (tenant->burst > DYNO_COUNT_MAX || tenant->concurrent_max > DYNO_COUNT_MAX)
        return DYNO_FAIL(err, DYNO_E_ARG, "bursts and requests at one time are at most %d",
                         DYNO_COUNT_MAX);
    if (tenant->period != DYNO_PERIOD_DAY && tenant->period != DYNO_PERIOD_MONTH)
        return DYNO_FAIL(err, DYNO_E_ARG, "a period is a day or a month");
    if (tenant->quota_requests > (uint64_t)DYNO_QUOTA_REQUESTS_MAX)
        return DYNO_FAIL(err, DYNO_E_ARG, "a quota is at most %lld requests",
                         (long long)DYNO_QUOTA_REQUESTS_MAX);
    if (tenant->quota_device_ns > (uint64_t)(DYNO_QUOTA_DEVICE_S_MAX * 1e9))
        return DYNO_FAIL(err, DYNO_E_ARG, "a quota is at most %g device-seconds",
                         DYNO_QUOTA_DEVICE_S_MAX);
    return DYNO_OK;
}

/* --- rows --- */

enum dyno_status dyno_control_find(struct dyno_control *control, const char *name,
                                   int64_t *tenant_out, struct dyno_err *err)
{
    struct dyno_stmt stmt;
    bool has_row = false;
    DYNO_TRY(dyno_stmt_open(&control->db, "SELECT id FROM tenant WHERE name = ?1", &stmt, err));
    dyno_stmt_bind_text(&stmt, 1, name);
    enum dyno_status status = dyno_stmt_step(&stmt, &has_row, err);
    if (status == DYNO_OK && !has_row)
        status = DYNO_FAIL(err, DYNO_E_NOT_FOUND, "there is no tenant '%.128s'", name);
    if (status == DYNO_OK)
        status = dyno_stmt_i64(&stmt, 0, 1, INT64_MAX, tenant_out, err);
    dyno_stmt_close(&stmt);
    return status;
}

static enum dyno_status count_of(struct dyno_control *control, const char *sql, int64_t tenant,
                                 int64_t *count_out, struct dyno_err *err)
{
    struct dyno_stmt stmt;
    bool has_row = false;
    *count_out = 0;
    DYNO_TRY(dyno_stmt_open(&control->db, sql, &stmt, err));
    dyno_stmt_bind_i64(&stmt, 1, tenant);
    enum dyno_status status = dyno_stmt_step(&stmt, &has_row, err);
    if (status == DYNO_OK && has_row)
        status = dyno_stmt_i64(&stmt, 0, 0, INT64_MAX, count_out, err);
    dyno_stmt_close(&stmt);
    return status;
}

/* Write all columns of the row of that name: the parameters of both statements are the same. */
static enum dyno_status put_tenant(struct dyno_control *control, const char *sql,
                                   const struct dyno_tenant *tenant, struct dyno_err *err)
{
    struct dyno_stmt stmt;
    DYNO_TRY(dyno_stmt_open(&control->db, sql, &stmt, err));
    dyno_stmt_bind_text(&stmt, 1, tenant->name);
    dyno_stmt_bind_i64(&stmt, 2, tenant->enabled);
    dyno_stmt_bind_i64(&stmt, 3, tenant->permits);
    dyno_stmt_bind_text(&stmt, 4, tenant->class_name);
    dyno_stmt_bind_f64(&stmt, 5, tenant->rate_per_s);
    dyno_stmt_bind_i64(&stmt, 6, tenant->burst);
    dyno_stmt_bind_i64(&stmt, 7, tenant->concurrent_max);
    dyno_stmt_bind_i64(&stmt, 8, tenant->period);
    dyno_stmt_bind_i64(&stmt, 9, (int64_t)tenant->quota_requests);
    dyno_stmt_bind_i64(&stmt, 10, (int64_t)tenant->quota_device_ns);
    dyno_stmt_bind_i64(&stmt, 11, tenant->created_s);
    const enum dyno_status status = dyno_stmt_run(&stmt, err);
    dyno_stmt_close(&stmt);
    return status;
}

static enum dyno_status put_models(struct dyno_control *control, int64_t id,
                                   const struct dyno_tenant *tenant, struct dyno_err *err)
{
    DYNO_TRY(dyno_control_do(control, "DELETE FROM tenant_model WHERE tenant = ?1", id, NULL, err));
    for (size_t i = 0; i < tenant->model_count; i++)
        DYNO_TRY(dyno_control_do(control,
                                 "INSERT OR IGNORE INTO tenant_model (tenant, model)"
                                 " VALUES (?1, ?2)",
                                 id, tenant->models[i], err));
    return DYNO_OK;
}

static enum dyno_status put_key(struct dyno_control *control, int64_t tenant, struct dyno_key *key,
                                struct dyno_err *err)
{
    struct dyno_stmt stmt;
    uint8_t digest[DYNO_DIGEST_BYTES];
    DYNO_TRY(dyno_key_make(key, err));
    const bool is_key = dyno_key_digest(key->text, DYNO_KEY_TEXT_BYTES, digest);
    DYNO_ASSERT(is_key); /* or what is made here would not be known again */
    DYNO_TRY(dyno_stmt_open(&control->db,
                            "INSERT INTO tenant_key (id, tenant, digest, created_s)"
                            " VALUES (?1, ?2, ?3, ?4)",
                            &stmt, err));
    dyno_stmt_bind_text(&stmt, 1, key->id);
    dyno_stmt_bind_i64(&stmt, 2, tenant);
    dyno_stmt_bind_bytes(&stmt, 3, digest, sizeof(digest));
    dyno_stmt_bind_i64(&stmt, 4, dyno_now_s());
    const enum dyno_status status = dyno_stmt_run(&stmt, err);
    dyno_stmt_close(&stmt);
    return status;
}

/* --- adding --- */

static enum dyno_status add(struct dyno_control *control, const struct dyno_tenant *tenant,
                            struct dyno_key *key, struct dyno_err *err)
{
    struct dyno_tenant whole = *tenant;
    struct dyno_err none = {0};
    int64_t id = 0;
    int64_t count = 0;
    const enum dyno_status found = dyno_control_find(control, tenant->name, &id, &none);
    if (found == DYNO_OK)
        return DYNO_FAIL(err, DYNO_E_EXISTS, "there is a tenant '%s' already", tenant->name);
    if (found != DYNO_E_NOT_FOUND)
        return DYNO_FAIL(err, found, "%s", none.text);
    DYNO_TRY(count_of(control, "SELECT count(*) FROM tenant WHERE id <> ?1", 0, &count, err));
    if (count >= DYNO_TENANTS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "there are %d tenants already, as many as may be",
                         DYNO_TENANTS_MAX);
    whole.created_s = dyno_now_s();
    DYNO_TRY(put_tenant(control,
                        "INSERT INTO tenant (name, enabled, permits, class, rate_per_s, burst,"
                        " concurrent_max, period, quota_requests, quota_device_ns, created_s)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                        &whole, err));
    DYNO_TRY(dyno_control_find(control, tenant->name, &id, err));
    DYNO_TRY(put_models(control, id, &whole, err));
    return put_key(control, id, key, err);
}

enum dyno_status dyno_control_add(struct dyno_control *control, const struct dyno_tenant *tenant,
                                  struct dyno_key *key_out, struct dyno_err *err)
{
    *key_out = (struct dyno_key){0};
    DYNO_TRY(dyno_tenant_check(tenant, err));
    DYNO_TRY(dyno_db_begin(&control->db, true, err));
    const enum dyno_status status =
        dyno_db_end(&control->db, add(control, tenant, key_out, err), err);
    if (status != DYNO_OK)
        dyno_key_wipe(key_out);
    return status;
}

/* --- setting --- */

static void take_fields(const struct dyno_tenant *from, uint32_t fields, struct dyno_tenant *to)
{
    if ((fields & DYNO_TENANT_ENABLED) != 0)
        to->enabled = from->enabled;
    if ((fields & DYNO_TENANT_PERMITS) != 0)
        to->permits = from->permits;
    if ((fields & DYNO_TENANT_CLASS) != 0)
        to->class_name = from->class_name;
    if ((fields & DYNO_TENANT_RATE) != 0)
        to->rate_per_s = from->rate_per_s;
    if ((fields & DYNO_TENANT_BURST) != 0)
        to->burst = from->burst;
    if ((fields & DYNO_TENANT_CONCURRENT) != 0)
        to->concurrent_max = from->concurrent_max;
    if ((fields & DYNO_TENANT_PERIOD) != 0)
        to->period = from->period;
    if ((fields & DYNO_TENANT_QUOTA_REQUESTS) != 0)
        to->quota_requests = from->quota_requests;
    if ((fields & DYNO_TENANT_QUOTA_DEVICE) != 0)
        to->quota_device_ns = from->quota_device_ns;
    if ((fields & DYNO_TENANT_MODELS) != 0) {
        to->models = from->models;
        to->model_count = from->model_count;
    }
}

static enum dyno_status set(struct dyno_control *control, const struct dyno_tenant *change,
                            uint32_t fields, struct dyno_arena *arena, struct dyno_err *err)
{
    struct dyno_tenant *tenant = NULL;
    size_t count = 0;
    DYNO_TRY(dyno_control_load(control, change->name, 0, arena, &tenant, &count, err));
    take_fields(change, fields, tenant);
    DYNO_TRY(dyno_tenant_check(tenant, err));
    DYNO_TRY(put_tenant(control,
                        "UPDATE tenant SET enabled = ?2, permits = ?3, class = ?4,"
                        " rate_per_s = ?5, burst = ?6, concurrent_max = ?7, period = ?8,"
                        " quota_requests = ?9, quota_device_ns = ?10, created_s = ?11"
                        " WHERE name = ?1",
                        tenant, err));
    return (fields & DYNO_TENANT_MODELS) != 0 ? put_models(control, tenant->id, tenant, err)
                                              : DYNO_OK;
}

enum dyno_status dyno_control_set(struct dyno_control *control, const struct dyno_tenant *tenant,
                                  uint32_t fields, struct dyno_err *err)
{
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_db_begin(&control->db, true, err);
    if (status == DYNO_OK)
        status = dyno_db_end(&control->db, set(control, tenant, fields, arena, err), err);
    dyno_arena_destroy(arena);
    return status;
}

/* --- keys --- */

static enum dyno_status rotate(struct dyno_control *control, const char *name, int64_t grace_s,
                               struct dyno_key *key, struct dyno_err *err)
{
    const int64_t now_s = dyno_now_s();
    int64_t tenant = 0;
    int64_t count = 0;
    struct dyno_stmt stmt;
    DYNO_TRY(dyno_control_find(control, name, &tenant, err));
    DYNO_TRY(dyno_stmt_open(&control->db,
                            "UPDATE tenant_key SET ends_s = min(coalesce(ends_s, ?2), ?2)"
                            " WHERE tenant = ?1",
                            &stmt, err));
    dyno_stmt_bind_i64(&stmt, 1, tenant);
    dyno_stmt_bind_i64(&stmt, 2, now_s + grace_s);
    enum dyno_status status = dyno_stmt_run(&stmt, err);
    dyno_stmt_close(&stmt);
    DYNO_TRY(status);
    DYNO_TRY(dyno_stmt_open(
        &control->db, "DELETE FROM tenant_key WHERE tenant = ?1 AND ends_s <= ?2", &stmt, err));
    dyno_stmt_bind_i64(&stmt, 1, tenant);
    dyno_stmt_bind_i64(&stmt, 2, now_s);
    status = dyno_stmt_run(&stmt, err);
    dyno_stmt_close(&stmt);
    DYNO_TRY(status);
    DYNO_TRY(count_of(control, "SELECT count(*) FROM tenant_key WHERE tenant = ?1", tenant, &count,
                      err));
    if (count >= DYNO_TENANT_KEYS_MAX)
        return DYNO_FAIL(err, DYNO_E_LIMIT,
                         "tenant '%s' has %lld keys that are valid, as many as it may: revoke some",
                         name, (long long)count);
    return put_key(control, tenant, key, err);
}

enum dyno_status dyno_control_rotate(struct dyno_control *control, const char *name,
                                     int64_t grace_s, struct dyno_key *key_out,
                                     struct dyno_err *err)
{
    *key_out = (struct dyno_key){0};
    if (grace_s < 0 || grace_s > DYNO_COUNT_MAX)
        return DYNO_FAIL(err, DYNO_E_ARG, "a grace time lies between 0 and %d seconds",
                         DYNO_COUNT_MAX);
    DYNO_TRY(dyno_db_begin(&control->db, true, err));
    const enum dyno_status status =
        dyno_db_end(&control->db, rotate(control, name, grace_s, key_out, err), err);
    if (status != DYNO_OK)
        dyno_key_wipe(key_out);
    return status;
}

static enum dyno_status revoke(struct dyno_control *control, const char *name, const char *key_id,
                               struct dyno_err *err)
{
    int64_t tenant = 0;
    int64_t before = 0;
    int64_t after = 0;
    const char *count = "SELECT count(*) FROM tenant_key WHERE tenant = ?1";
    DYNO_TRY(dyno_control_find(control, name, &tenant, err));
    DYNO_TRY(count_of(control, count, tenant, &before, err));
    DYNO_TRY(dyno_control_do(control,
                             key_id != NULL ? "DELETE FROM tenant_key WHERE tenant = ?1 AND id = ?2"
                                            : "DELETE FROM tenant_key WHERE tenant = ?1",
                             tenant, key_id, err));
    DYNO_TRY(count_of(control, count, tenant, &after, err));
    if (key_id != NULL && after == before)
        return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "tenant '%s' has no key %s", name, key_id);
    return DYNO_OK;
}

enum dyno_status dyno_control_revoke(struct dyno_control *control, const char *name,
                                     const char *key_id, struct dyno_err *err)
{
    if (key_id != NULL && !dyno_key_id_ok(key_id)) /* not repeated: it may be a whole key */
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "that is no id of a key: %d digits, the second part of dyno_ID_SECRET",
                         DYNO_KEY_ID_BYTES);
    DYNO_TRY(dyno_db_begin(&control->db, true, err));
    return dyno_db_end(&control->db, revoke(control, name, key_id, err), err);
}

static enum dyno_status remove_tenant(struct dyno_control *control, const char *name,
                                      struct dyno_err *err)
{
    int64_t tenant = 0;
    DYNO_TRY(dyno_control_find(control, name, &tenant, err));
    return dyno_control_do(control, "DELETE FROM tenant WHERE id = ?1", tenant, NULL, err);
}

enum dyno_status dyno_control_remove(struct dyno_control *control, const char *name,
                                     struct dyno_err *err)
{
    DYNO_TRY(dyno_db_begin(&control->db, true, err));
    return dyno_db_end(&control->db, remove_tenant(control, name, err), err);
}
