/* lease_sqlite.c - shares in the control database. */
#include <string.h>

#include "base/mem.h"
#include "control/internal.h"
#include "control/lease.h"

struct store {
    struct dyno_lease_store base; /* first */
    struct dyno_control *control;
};

static struct store *own(struct dyno_lease_store *base)
{
    return (struct store *)(void *)base;
}

static void close_store(struct dyno_lease_store *base)
{
    dyno_control_close(own(base)->control);
    dyno_free(base);
}

/* --- marks --- */

static enum dyno_status read_mark(struct dyno_lease_store *base, struct dyno_lease_mark *mark,
                                  struct dyno_err *err)
{
    struct dyno_stmt stmt = {0};
    bool has_row = false;
    int64_t values[3] = {0};
    const int64_t most[3] = {UINT32_MAX, INT64_MAX, INT64_MAX};
    DYNO_TRY(dyno_stmt_open(
        &own(base)->control->db,
        "SELECT epoch, posted_seq, settled_seq FROM budget_node WHERE node = ?1", &stmt, err));
    dyno_stmt_bind_i64(&stmt, 1, mark->node);
    enum dyno_status status = dyno_stmt_step(&stmt, &has_row, err);
    for (int i = 0; i < 3 && has_row && status == DYNO_OK; i++)
        status = dyno_stmt_i64(&stmt, i, 0, most[i], &values[i], err);
    dyno_stmt_close(&stmt);
    mark->epoch = (uint32_t)values[0];
    mark->posted_seq = (uint64_t)values[1];
    mark->settled_seq = (uint64_t)values[2];
    return status;
}

static enum dyno_status put_mark(struct dyno_db *db, const struct dyno_lease_mark *mark,
                                 int64_t now_s, struct dyno_err *err)
{
    struct dyno_stmt stmt = {0};
    bool is_put = false;
    DYNO_TRY(dyno_stmt_open(db,
                            "INSERT INTO budget_node (node, epoch, posted_seq, settled_seq, seen_s)"
                            " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (node) DO UPDATE SET"
                            " epoch = ?2, posted_seq = ?3, settled_seq = ?4, seen_s = ?5"
                            " WHERE (epoch = ?2 AND posted_seq <= ?3) OR ?6 = 0 RETURNING node",
                            &stmt, err));
    dyno_stmt_bind_i64(&stmt, 1, mark->node);
    dyno_stmt_bind_i64(&stmt, 2, mark->epoch);
    dyno_stmt_bind_i64(&stmt, 3, (int64_t)mark->posted_seq);
    dyno_stmt_bind_i64(&stmt, 4, (int64_t)mark->settled_seq);
    dyno_stmt_bind_i64(&stmt, 5, now_s);
    dyno_stmt_bind_i64(&stmt, 6, mark->is_known);
    enum dyno_status status = dyno_stmt_step(&stmt, &is_put, err);
    dyno_stmt_close(&stmt);
    return status == DYNO_OK && !is_put ? dyno_lease_refuse_node(mark->node, err) : status;
}

/* --- shares --- */

/* The statements of an exchange, prepared once. */
struct desk {
    struct dyno_stmt others, put, alert, exists;
    uint32_t node;
    int64_t now_s;
};

static void bind_key(struct dyno_stmt *stmt, const struct dyno_share_key *key)
{
    dyno_stmt_bind_i64(stmt, 1, key->budget);
    dyno_stmt_bind_i64(stmt, 2, key->tenant);
    dyno_stmt_bind_i64(stmt, 3, key->first_day);
}

static enum dyno_status open_desk(struct desk *desk, struct dyno_db *db, struct dyno_err *err)
{
    DYNO_TRY(dyno_stmt_open(
        db,
        "SELECT coalesce(sum(granted), 0) AS granted, coalesce(sum(used), 0) AS used,"
        " coalesce(sum(reserved), 0) AS reserved, count(*) FILTER (WHERE seen_s >= ?5) AS nodes"
        " FROM budget_share LEFT JOIN budget_node USING (node) WHERE budget = ?1 AND tenant = ?2"
        " AND first_day = ?3 AND node <> ?4",
        &desk->others, err));
    DYNO_TRY(dyno_stmt_open(db,
                            "INSERT INTO budget_share (budget, tenant, first_day, node, used, rest,"
                            " reserved, granted) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
                            " ON CONFLICT (budget, tenant, first_day, node) DO UPDATE SET"
                            " used = ?5, rest = ?6, reserved = ?7, granted = ?8",
                            &desk->put, err));
    DYNO_TRY(dyno_stmt_open(db,
                            "INSERT INTO budget_alert (budget, tenant, first_day, percent, at_s)"
                            " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING"
                            " RETURNING percent",
                            &desk->alert, err));
    return dyno_stmt_open(db,
                          "SELECT 1 FROM budget, tenant WHERE budget.id = ?1 AND tenant.id = ?2",
                          &desk->exists, err);
}

static void close_desk(struct desk *desk)
{
    dyno_stmt_close(&desk->others);
    dyno_stmt_close(&desk->put);
    dyno_stmt_close(&desk->alert);
    dyno_stmt_close(&desk->exists);
}

static enum dyno_status find_gone(struct desk *desk, struct dyno_lease_ask *ask,
                                  struct dyno_err *err)
{
    bool is_there = false;
    dyno_stmt_bind_i64(&desk->exists, 1, ask->key.budget);
    dyno_stmt_bind_i64(&desk->exists, 2, ask->key.tenant);
    DYNO_TRY(dyno_stmt_step(&desk->exists, &is_there, err));
    dyno_stmt_reset(&desk->exists);
    ask->is_gone = !is_there;
    return DYNO_OK;
}

static enum dyno_status take_others(struct desk *desk, const struct dyno_lease_ask *ask,
                                    struct dyno_lease_others *others, struct dyno_err *err)
{
    bool has_row = false;
    int64_t *const values[] = {&others->granted, &others->used, &others->reserved,
                               &others->node_count};
    bind_key(&desk->others, &ask->key);
    dyno_stmt_bind_i64(&desk->others, 4, desk->node);
    dyno_stmt_bind_i64(&desk->others, 5, desk->now_s - DYNO_LEASE_ALIVE_S);
    DYNO_TRY(dyno_stmt_step(&desk->others, &has_row, err));
    for (int i = 0; i < 4 && has_row; i++)
        DYNO_TRY(dyno_stmt_i64(&desk->others, i, INT64_MIN, INT64_MAX, values[i], err));
    dyno_stmt_reset(&desk->others);
    return DYNO_OK;
}

static enum dyno_status put_alerts(struct desk *desk, struct dyno_lease_ask *ask,
                                   struct dyno_err *err)
{
    ask->alerted = 0;
    for (size_t i = 0; i < ask->alert_count; i++) {
        if (!dyno_lease_is_reached(ask, i))
            continue;
        bind_key(&desk->alert, &ask->key);
        dyno_stmt_bind_i64(&desk->alert, 4, ask->alerts[i]);
        dyno_stmt_bind_i64(&desk->alert, 5, desk->now_s);
        bool is_new = false;
        DYNO_TRY(dyno_stmt_step(&desk->alert, &is_new, err));
        dyno_stmt_reset(&desk->alert);
        if (is_new)
            ask->alerted |= 1U << i;
    }
    return DYNO_OK;
}

static enum dyno_status exchange_one(struct desk *desk, struct dyno_lease_ask *ask,
                                     struct dyno_err *err)
{
    struct dyno_lease_others others = {0};
    struct dyno_stmt *put = &desk->put;
    DYNO_TRY(find_gone(desk, ask, err));
    if (ask->is_gone) {
        ask->granted = 0;
        return DYNO_OK;
    }
    DYNO_TRY(take_others(desk, ask, &others, err));
    dyno_lease_grant(ask, &others);
    bind_key(put, &ask->key);
    dyno_stmt_bind_i64(put, 4, desk->node);
    dyno_stmt_bind_i64(put, 5, ask->used);
    dyno_stmt_bind_i64(put, 6, ask->rest);
    dyno_stmt_bind_i64(put, 7, ask->reserved);
    dyno_stmt_bind_i64(put, 8, dyno_lease_kept(ask));
    DYNO_TRY(dyno_stmt_run(put, err));
    return put_alerts(desk, ask, err);
}

static enum dyno_status exchange_all(struct dyno_db *db, const struct dyno_lease_mark *mark,
                                     int64_t now_s, struct dyno_lease_ask *asks, size_t count,
                                     struct dyno_err *err)
{
    struct desk desk = {.node = mark->node, .now_s = now_s};
    enum dyno_status status = open_desk(&desk, db, err);
    for (size_t i = 0; i < count && status == DYNO_OK; i++)
        status = exchange_one(&desk, &asks[i], err);
    close_desk(&desk);
    return status == DYNO_OK ? put_mark(db, mark, now_s, err) : status;
}

static enum dyno_status exchange(struct dyno_lease_store *base, const struct dyno_lease_mark *mark,
                                 int64_t now_s, struct dyno_lease_ask *asks, size_t count,
                                 struct dyno_err *err)
{
    struct dyno_db *db = &own(base)->control->db;
    if (dyno_control_is_replaced(own(base)->control))
        return DYNO_FAIL(err, DYNO_E_IO,
                         "control database \"%s\" is not the file any more that was opened",
                         db->path);
    DYNO_TRY(dyno_db_begin(db, true, err));
    return dyno_db_end(db, exchange_all(db, mark, now_s, asks, count, err), err);
}

static enum dyno_status sum(struct dyno_lease_store *base, const struct dyno_share_key *key,
                            const char *name, int64_t node, struct dyno_lease_sums *sums,
                            struct dyno_err *err)
{
    struct dyno_stmt stmt = {0};
    bool has_row = false;
    int64_t rest = 0;
    int64_t *const values[] = {&sums->used, &rest, &sums->reserved, &sums->leased,
                               &sums->node_count};
    (void)name;
    DYNO_TRY(dyno_stmt_open(
        &own(base)->control->db,
        "SELECT coalesce(sum(used), 0) AS used, coalesce(sum(rest), 0) AS rest,"
        " coalesce(sum(reserved), 0) AS reserved,"
        " coalesce(sum(max(granted - used - reserved, 0)), 0) AS leased, count(*) AS nodes"
        " FROM budget_share WHERE budget = ?1 AND tenant = ?2 AND first_day = ?3"
        " AND (?4 < 0 OR node = ?4)",
        &stmt, err));
    bind_key(&stmt, key);
    dyno_stmt_bind_i64(&stmt, 4, node);
    enum dyno_status status = dyno_stmt_step(&stmt, &has_row, err);
    for (int i = 0; i < 5 && status == DYNO_OK && has_row; i++)
        status = dyno_stmt_i64(&stmt, i, -DYNO_BUDGET_AMOUNT_MAX, INT64_MAX / 2, values[i], err);
    dyno_stmt_close(&stmt);
    sums->used += rest >> 32;
    sums->rest = (uint32_t)rest;
    return status;
}

static enum dyno_status forget(struct dyno_lease_store *base, int64_t before_day,
                               struct dyno_err *err)
{
    struct dyno_control *control = own(base)->control;
    DYNO_TRY(dyno_control_do(control,
                             "DELETE FROM budget_share WHERE first_day < ?1 AND first_day > 0",
                             before_day, NULL, err));
    return dyno_control_do(control,
                           "DELETE FROM budget_alert WHERE first_day < ?1 AND first_day > 0",
                           before_day, NULL, err);
}

enum dyno_status dyno_lease_open_control(const char *path, uint32_t busy_ms,
                                         struct dyno_lease_store **store_out, struct dyno_err *err)
{
    static const struct dyno_lease_ops ops = {.read_mark = read_mark,
                                              .exchange = exchange,
                                              .sum = sum,
                                              .forget = forget,
                                              .close = close_store};
    *store_out = NULL;
    struct store *store = dyno_alloc(1, sizeof(*store));
    if (store == NULL)
        return DYNO_NOMEM(err);
    store->base.ops = &ops;
    const enum dyno_status status = dyno_control_open(path, false, busy_ms, &store->control, err);
    if (status != DYNO_OK) {
        dyno_free(store);
        return status;
    }
    *store_out = &store->base;
    return DYNO_OK;
}
