/* lease_pg.c - shares in PostgreSQL: the nodes of a fleet, each with the budgets of its own control
 * database.
 *
 * Ids of rows are a database's own, so here a budget is known by what it is: tenant, model, class,
 * unit, period and when it was made.  Nodes that share it were given it by one command, or by
 * copies of one control database.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/wide.h"
#include "control/lease.h"
#include "db/pg.h"

#define TIMEOUT_MS 5000

static const char *const changes[] = {
    "CREATE TABLE dyno_budget.node ("
    " node bigint PRIMARY KEY,"
    " epoch bigint NOT NULL,"
    " posted_seq bigint NOT NULL,"
    " settled_seq bigint NOT NULL,"
    " seen_s bigint NOT NULL);"
    "CREATE TABLE dyno_budget.budget (" /* a row to lock, for each budget, tenant and period */
    " key text NOT NULL,"
    " first_day bigint NOT NULL,"
    " PRIMARY KEY (key, first_day));"
    "CREATE TABLE dyno_budget.share ("
    " key text NOT NULL,"
    " first_day bigint NOT NULL,"
    " node bigint NOT NULL,"
    " used bigint NOT NULL,"
    " rest bigint NOT NULL,"
    " reserved bigint NOT NULL,"
    " granted bigint NOT NULL,"
    " PRIMARY KEY (key, first_day, node),"
    " FOREIGN KEY (key, first_day) REFERENCES dyno_budget.budget ON DELETE CASCADE);"
    "CREATE TABLE dyno_budget.alert ("
    " key text NOT NULL,"
    " first_day bigint NOT NULL,"
    " percent bigint NOT NULL,"
    " at_s bigint NOT NULL,"
    " PRIMARY KEY (key, first_day, percent),"
    " FOREIGN KEY (key, first_day) REFERENCES dyno_budget.budget ON DELETE CASCADE);",
};

static const struct dyno_pg_kind kind = {.what = "budgets of the fleet",
                                         .schema = "dyno_budget",
                                         .version = DYNO_COUNT(changes),
                                         .changes = changes};

struct store {
    struct dyno_lease_store base; /* first */
    const char *conninfo;         /* the caller's */
    const atomic_bool *is_ending;
    struct dyno_pg *pg; /* NULL: the connection was lost, and the next call makes another */
};

static struct store *own(struct dyno_lease_store *base)
{
    return (struct store *)(void *)base;
}

static void close_store(struct dyno_lease_store *base)
{
    dyno_pg_close(own(base)->pg);
    dyno_free(base);
}

static enum dyno_status connect_to(struct store *store, struct dyno_err *err)
{
    const struct dyno_pg_options options = {.conninfo = store->conninfo,
                                            .timeout_ms = TIMEOUT_MS,
                                            .creates = true,
                                            .is_ending = store->is_ending};
    if (store->pg != NULL && !dyno_pg_is_lost(store->pg))
        return DYNO_OK;
    dyno_pg_close(store->pg);
    store->pg = NULL;
    return dyno_pg_open(&kind, &options, &store->pg, err);
}

/* --- marks --- */

static enum dyno_status read_mark(struct dyno_lease_store *base, struct dyno_lease_mark *mark,
                                  struct dyno_err *err)
{
    const struct dyno_pg_value values[] = {dyno_pg_number(mark->node)};
    struct dyno_pg_rows rows = {0};
    int64_t got[3] = {0};
    const int64_t most[3] = {UINT32_MAX, INT64_MAX, INT64_MAX};
    DYNO_TRY(connect_to(own(base), err));
    enum dyno_status status =
        dyno_pg_query(own(base)->pg,
                      "SELECT epoch, posted_seq, settled_seq FROM dyno_budget.node WHERE node = $1",
                      values, 1, &rows, err);
    for (int i = 0; i < 3 && status == DYNO_OK && rows.count > 0; i++)
        status = dyno_pg_i64(&rows, 0, i, 0, most[i], &got[i], err);
    dyno_pg_rows_close(&rows);
    mark->epoch = (uint32_t)got[0];
    mark->posted_seq = (uint64_t)got[1];
    mark->settled_seq = (uint64_t)got[2];
    return status;
}

static enum dyno_status put_mark(struct dyno_pg *pg, const struct dyno_lease_mark *mark,
                                 int64_t now_s, struct dyno_err *err)
{
    const struct dyno_pg_value values[] = {dyno_pg_number(mark->node),
                                           dyno_pg_number(mark->epoch),
                                           dyno_pg_number((int64_t)mark->posted_seq),
                                           dyno_pg_number((int64_t)mark->settled_seq),
                                           dyno_pg_number(now_s),
                                           dyno_pg_number(mark->is_known)};
    struct dyno_pg_rows rows = {0};
    const enum dyno_status status = dyno_pg_query(
        pg,
        "INSERT INTO dyno_budget.node AS n VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (node) DO UPDATE SET epoch = $2, posted_seq = $3, settled_seq = $4,"
        " seen_s = $5 WHERE (n.epoch = $2 AND n.posted_seq <= $3) OR $6 = 0",
        values, 6, &rows, err);
    const bool is_put = rows.changed == 1;
    dyno_pg_rows_close(&rows);
    return status == DYNO_OK && !is_put ? dyno_lease_refuse_node(mark->node, err) : status;
}

/* --- shares --- */

/* One ask on its way; asks are worked off by key, so that two nodes never wait for each other. */
struct work {
    struct dyno_pg *pg;
    uint32_t node;
    int64_t now_s;
};

/* Nobody else asks for the same until the end of the transaction. */
static enum dyno_status lock(const struct work *work, const struct dyno_lease_ask *ask,
                             struct dyno_err *err)
{
    const struct dyno_pg_value values[] = {dyno_pg_string(ask->name),
                                           dyno_pg_number(ask->key.first_day)};
    struct dyno_pg_rows rows = {0};
    DYNO_TRY(dyno_pg_run(work->pg,
                         "INSERT INTO dyno_budget.budget VALUES ($1, $2) ON CONFLICT DO NOTHING",
                         values, 2, err));
    const enum dyno_status status = dyno_pg_query(
        work->pg, "SELECT 1 FROM dyno_budget.budget WHERE key = $1 AND first_day = $2 FOR UPDATE",
        values, 2, &rows, err);
    dyno_pg_rows_close(&rows);
    return status;
}

static enum dyno_status take_others(const struct work *work, const struct dyno_lease_ask *ask,
                                    struct dyno_lease_others *others, struct dyno_err *err)
{
    const struct dyno_pg_value values[] = {
        dyno_pg_string(ask->name), dyno_pg_number(ask->key.first_day), dyno_pg_number(work->node),
        dyno_pg_number(work->now_s - DYNO_LEASE_ALIVE_S)};
    int64_t *const sums[] = {&others->granted, &others->used, &others->reserved,
                             &others->node_count};
    struct dyno_pg_rows rows = {0};
    enum dyno_status status =
        dyno_pg_query(work->pg,
                      "SELECT least(coalesce(sum(granted), 0), 9e18)::bigint AS granted,"
                      " least(coalesce(sum(used), 0), 9e18)::bigint AS used,"
                      " least(coalesce(sum(reserved), 0), 9e18)::bigint AS reserved,"
                      " count(*) FILTER (WHERE seen_s >= $4) AS nodes"
                      " FROM dyno_budget.share LEFT JOIN dyno_budget.node USING (node)"
                      " WHERE key = $1 AND first_day = $2 AND node <> $3",
                      values, 4, &rows, err);
    for (int i = 0; i < 4 && status == DYNO_OK && rows.count > 0; i++)
        status = dyno_pg_i64(&rows, 0, i, INT64_MIN, INT64_MAX, sums[i], err);
    dyno_pg_rows_close(&rows);
    return status;
}

static enum dyno_status put_alerts(const struct work *work, struct dyno_lease_ask *ask,
                                   struct dyno_err *err)
{
    ask->alerted = 0;
    for (size_t i = 0; i < ask->alert_count; i++) {
        const struct dyno_pg_value values[] = {
            dyno_pg_string(ask->name), dyno_pg_number(ask->key.first_day),
            dyno_pg_number(ask->alerts[i]), dyno_pg_number(work->now_s)};
        struct dyno_pg_rows rows = {0};
        if (!dyno_lease_is_reached(ask, i))
            continue;
        const enum dyno_status status =
            dyno_pg_query(work->pg,
                          "INSERT INTO dyno_budget.alert VALUES ($1, $2, $3, $4)"
                          " ON CONFLICT DO NOTHING",
                          values, 4, &rows, err);
        if (rows.changed == 1)
            ask->alerted |= 1U << i;
        dyno_pg_rows_close(&rows);
        DYNO_TRY(status);
    }
    return DYNO_OK;
}

static enum dyno_status exchange_one(const struct work *work, struct dyno_lease_ask *ask,
                                     struct dyno_err *err)
{
    struct dyno_lease_others others = {0};
    DYNO_TRY(lock(work, ask, err));
    DYNO_TRY(take_others(work, ask, &others, err));
    dyno_lease_grant(ask, &others);
    const struct dyno_pg_value values[] = {
        dyno_pg_string(ask->name),           dyno_pg_number(ask->key.first_day),
        dyno_pg_number(work->node),          dyno_pg_number(ask->used),
        dyno_pg_number(ask->rest),           dyno_pg_number(ask->reserved),
        dyno_pg_number(dyno_lease_kept(ask))};
    DYNO_TRY(dyno_pg_run(work->pg,
                         "INSERT INTO dyno_budget.share VALUES ($1, $2, $3, $4, $5, $6, $7)"
                         " ON CONFLICT (key, first_day, node) DO UPDATE SET used = $4, rest = $5,"
                         " reserved = $6, granted = $7",
                         values, 7, err));
    return put_alerts(work, ask, err);
}

static int by_name(const void *a, const void *b)
{
    const struct dyno_lease_ask *left = *(struct dyno_lease_ask *const *)a;
    const struct dyno_lease_ask *right = *(struct dyno_lease_ask *const *)b;
    const int names = strcmp(left->name, right->name);
    if (names != 0)
        return names;
    return left->key.first_day < right->key.first_day ? -1
                                                      : left->key.first_day > right->key.first_day;
}

static enum dyno_status exchange_all(const struct work *work, const struct dyno_lease_mark *mark,
                                     struct dyno_lease_ask *asks, size_t count,
                                     struct dyno_err *err)
{
    struct dyno_lease_ask **order = dyno_alloc(count + 1, sizeof(struct dyno_lease_ask *));
    if (order == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < count; i++)
        order[i] = &asks[i];
    qsort(order, count, sizeof(struct dyno_lease_ask *), by_name);
    enum dyno_status status = DYNO_OK;
    for (size_t i = 0; i < count && status == DYNO_OK; i++)
        status = exchange_one(work, order[i], err);
    dyno_free(order);
    return status == DYNO_OK ? put_mark(work->pg, mark, work->now_s, err) : status;
}

static enum dyno_status exchange(struct dyno_lease_store *base, const struct dyno_lease_mark *mark,
                                 int64_t now_s, struct dyno_lease_ask *asks, size_t count,
                                 struct dyno_err *err)
{
    DYNO_TRY(connect_to(own(base), err));
    const struct work work = {.pg = own(base)->pg, .node = mark->node, .now_s = now_s};
    DYNO_TRY(dyno_pg_begin(work.pg, err));
    return dyno_pg_end(work.pg, exchange_all(&work, mark, asks, count, err), err);
}

static enum dyno_status sum(struct dyno_lease_store *base, const struct dyno_share_key *key,
                            const char *name, int64_t node, struct dyno_lease_sums *sums,
                            struct dyno_err *err)
{
    const struct dyno_pg_value values[] = {dyno_pg_string(name), dyno_pg_number(key->first_day),
                                           dyno_pg_number(node)};
    struct dyno_pg_rows rows = {0};
    int64_t rest = 0;
    int64_t *const parts[] = {&sums->used, &rest, &sums->reserved, &sums->leased,
                              &sums->node_count};
    DYNO_TRY(connect_to(own(base), err));
    enum dyno_status status = dyno_pg_query(
        own(base)->pg,
        "SELECT least(coalesce(sum(used), 0), 4e18)::bigint AS used,"
        " coalesce(sum(rest), 0)::bigint AS rest,"
        " least(coalesce(sum(reserved), 0), 4e18)::bigint AS reserved,"
        " least(coalesce(sum(greatest(granted - used - reserved, 0)), 0), 4e18)::bigint AS leased,"
        " count(*) AS nodes FROM dyno_budget.share"
        " WHERE key = $1 AND first_day = $2 AND ($3 < 0 OR node = $3)",
        values, 3, &rows, err);
    for (int i = 0; i < 5 && status == DYNO_OK && rows.count > 0; i++)
        status = dyno_pg_i64(&rows, 0, i, -DYNO_BUDGET_AMOUNT_MAX, INT64_MAX / 2, parts[i], err);
    dyno_pg_rows_close(&rows);
    sums->used += rest >> 32;
    sums->rest = (uint32_t)rest;
    return status;
}

static enum dyno_status forget(struct dyno_lease_store *base, int64_t before_day,
                               struct dyno_err *err)
{
    const struct dyno_pg_value values[] = {dyno_pg_number(before_day)};
    DYNO_TRY(connect_to(own(base), err));
    return dyno_pg_run(own(base)->pg,
                       "DELETE FROM dyno_budget.budget WHERE first_day < $1 AND first_day > 0",
                       values, 1, err);
}

enum dyno_status dyno_lease_open_pg(const char *conninfo, const atomic_bool *is_ending,
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
    store->conninfo = conninfo;
    store->is_ending = is_ending;
    const enum dyno_status status = connect_to(store, err);
    if (status != DYNO_OK) {
        dyno_free(store);
        return status;
    }
    *store_out = &store->base;
    return DYNO_OK;
}
