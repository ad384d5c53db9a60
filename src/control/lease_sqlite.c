/* lease_sqlite.c - shares in the control database. */
#include <string.h>

#include "base/mem.h"
#include "base/wide.h"
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
    DYNO_TRY(dyno_stmt_open(db,
                            "INSERT INTO budget_node (node, epoch, posted_seq, settled_seq, seen_s)"
                            " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (node) DO UPDATE SET"
                            " epoch = ?2, posted_seq = ?3, settled_seq = ?4, seen_s = ?5",
                            &stmt, err));
    dyno_stmt_bind_i64(&stmt, 1, mark->node);
    dyno_stmt_bind_i64(&stmt, 2, mark->epoch);
    dyno_stmt_bind_i64(&stmt, 3, (int64_t)mark->posted_seq);
    dyno_stmt_bind_i64(&stmt, 4, (int64_t)mark->settled_seq);
    dyno_stmt_bind_i64(&stmt, 5, now_s);
    const enum dyno_status status = dyno_stmt_run(&stmt, err);
    dyno_stmt_close(&stmt);
    return status;
}

/* --- shares --- */

/* The statements of an exchange, prepared once. */
struct desk {
    struct dyno_stmt own, others, put, alert, exists;
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
    DYNO_TRY(dyno_stmt_open(db,
                            "SELECT used, rest FROM budget_share WHERE budget = ?1 AND tenant = ?2"
                            " AND first_day = ?3 AND node = ?4",
                            &desk->own, err));
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
    dyno_stmt_close(&desk->own);
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

static enum dyno_status take_own(struct desk *desk, struct dyno_lease_ask *ask,
                                 struct dyno_err *err)
{
    bool has_row = false;
    int64_t used = 0;
    int64_t rest = 0;
    if (!ask->is_first)
        return DYNO_OK;
    bind_key(&desk->own, &ask->key);
    dyno_stmt_bind_i64(&desk->own, 4, desk->node);
    DYNO_TRY(dyno_stmt_step(&desk->own, &has_row, err));
    if (has_row) {
        DYNO_TRY(dyno_stmt_i64(&desk->own, 0, -DYNO_BUDGET_AMOUNT_MAX, INT64_MAX / 2, &used, err));
        DYNO_TRY(dyno_stmt_i64(&desk->own, 1, 0, UINT32_MAX, &rest, err));
    }
    dyno_stmt_reset(&desk->own);
    const uint64_t sum = (uint64_t)ask->rest + (uint64_t)rest;
    ask->rest = (uint32_t)sum;
    ask->used += used + (int64_t)(sum >> 32);
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
        if ((dyno_i128)ask->all_used * 100 < (dyno_i128)ask->limit * ask->alerts[i])
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
    DYNO_TRY(take_own(desk, ask, err));
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
    static const struct dyno_lease_ops ops = {
        .read_mark = read_mark, .exchange = exchange, .forget = forget, .close = close_store};
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

/* --- reports --- */

static enum dyno_status read_state(struct dyno_stmt *stmt, struct dyno_budget_state *state,
                                   struct dyno_err *err)
{
    bool has_row = false;
    int64_t granted = 0;
    int64_t rest = 0;
    int64_t *const values[] = {&state->used, &rest, &state->reserved, &granted, &state->node_count};
    const struct dyno_share_key key = {state->budget->id, state->tenant, state->span.first_day};
    bind_key(stmt, &key);
    DYNO_TRY(dyno_stmt_step(stmt, &has_row, err));
    for (int i = 0; i < 5 && has_row; i++)
        DYNO_TRY(dyno_stmt_i64(stmt, i, INT64_MIN, INT64_MAX, values[i], err));
    dyno_stmt_reset(stmt);
    state->used += rest >> 32;
    state->rest = (uint32_t)rest;
    state->leased = granted;
    return DYNO_OK;
}

/* A budget of a tenant for each row. */
static enum dyno_status list_states(const struct dyno_tenant *tenants, size_t tenant_count,
                                    const struct dyno_tenant_budget *budgets, size_t budget_count,
                                    int64_t now_s, struct dyno_arena *arena,
                                    struct dyno_budget_state **states_out, size_t *count_out,
                                    struct dyno_err *err)
{
    const struct dyno_tenant_budget *found[2 * DYNO_TENANT_BUDGETS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < tenant_count; i++)
        count += dyno_budgets_of(budgets, budget_count, tenants[i].id, found);
    struct dyno_budget_state *states = dyno_arena_alloc(arena, count + 1, sizeof(*states));
    if (states == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < tenant_count; i++) {
        const size_t of_tenant = dyno_budgets_of(budgets, budget_count, tenants[i].id, found);
        for (size_t k = 0; k < of_tenant; k++)
            states[(*count_out)++] =
                (struct dyno_budget_state){.budget = found[k],
                                           .tenant = tenants[i].id,
                                           .tenant_name = tenants[i].name,
                                           .span = dyno_term_at(found[k]->term, now_s)};
    }
    *states_out = states;
    return DYNO_OK;
}

enum dyno_status dyno_control_read_states(struct dyno_control *control, const char *tenant,
                                          int64_t now_s, struct dyno_arena *arena,
                                          struct dyno_budget_state **states_out, size_t *count_out,
                                          struct dyno_err *err)
{
    struct dyno_tenant *tenants = NULL;
    struct dyno_tenant_budget *budgets = NULL;
    struct dyno_stmt stmt = {0};
    size_t tenant_count = 0;
    size_t budget_count = 0;
    *states_out = NULL;
    *count_out = 0;
    DYNO_TRY(dyno_control_read(control, tenant, dyno_day_of(now_s), arena, &tenants, &tenant_count,
                               err));
    DYNO_TRY(dyno_control_read_budgets(control, tenant, arena, &budgets, &budget_count, err));
    DYNO_TRY(list_states(tenants, tenant_count, budgets, budget_count, now_s, arena, states_out,
                         count_out, err));
    DYNO_TRY(dyno_stmt_open(
        &control->db,
        "SELECT coalesce(sum(used), 0) AS used, coalesce(sum(rest), 0) AS rest,"
        " coalesce(sum(reserved), 0) AS reserved,"
        " coalesce(sum(max(granted - used - reserved, 0)), 0) AS leased, count(*) AS nodes"
        " FROM budget_share WHERE budget = ?1 AND tenant = ?2 AND first_day = ?3",
        &stmt, err));
    enum dyno_status status = DYNO_OK;
    for (size_t i = 0; i < *count_out && status == DYNO_OK; i++)
        status = read_state(&stmt, &(*states_out)[i], err);
    dyno_stmt_close(&stmt);
    return status;
}
