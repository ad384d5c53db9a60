/* fleet.c - the tables, opening, and where a node's copy ends. */
#include "meter/fleet/fleet.h"

#include <string.h>

#include "base/mem.h"
#include "meter/fleet/internal.h"

/* docs/fleet.md says what they hold.  Bytes are kept as they are: a seed and hashes cannot be made
 * smaller, and trying costs more than it gives. */
static const char *const changes[] = {
    "CREATE TABLE dyno_ledger.node ("
    " node bigint PRIMARY KEY CHECK (node BETWEEN 0 AND 4294967295),"
    " group_count bigint NOT NULL, head_count bigint NOT NULL, chain bytea NOT NULL,"
    " time_ns bigint NOT NULL, merged timestamptz NOT NULL);"
    "CREATE TABLE dyno_ledger.watermark ("
    " node bigint REFERENCES dyno_ledger.node, epoch bigint, seq bigint NOT NULL,"
    " sent_seq bigint NOT NULL, PRIMARY KEY (node, epoch));"
    "CREATE TABLE dyno_ledger.file ("
    " node bigint REFERENCES dyno_ledger.node, number bigint, first_group bigint NOT NULL,"
    " opening bytea NOT NULL, PRIMARY KEY (node, number));"
    "CREATE TABLE dyno_ledger.record_group ("
    " node bigint, number bigint, header bytea NOT NULL, items bytea NOT NULL,"
    " PRIMARY KEY (node, number));"
    "ALTER TABLE dyno_ledger.record_group ALTER header SET STORAGE PLAIN,"
    " ALTER items SET STORAGE EXTERNAL;"
    "CREATE TABLE dyno_ledger.head ("
    " node bigint, group_count bigint, file bigint NOT NULL, bytes bytea NOT NULL,"
    " proof bytea NOT NULL, PRIMARY KEY (node, group_count));",
    "ALTER TABLE dyno_ledger.node ADD retirement bytea, ADD retirement_proof bytea;",
    dyno_fleet_functions_sql,
    dyno_fleet_views_sql,
};

static const struct dyno_pg_kind fleet_kind = {
    .what = "fleet ledger",
    .schema = "dyno_ledger",
    .version = 4,
    .changes = changes,
};

/* --- opening --- */

enum dyno_status dyno_fleet_open(const struct dyno_fleet_options *options,
                                 struct dyno_fleet **fleet_out, struct dyno_err *err)
{
    const struct dyno_pg_options pg = {.conninfo = options->conninfo,
                                       .timeout_ms = options->timeout_ms,
                                       .creates = options->writes,
                                       .is_ending = options->is_ending};
    *fleet_out = NULL;
    struct dyno_fleet *fleet = dyno_alloc(1, sizeof(*fleet));
    if (fleet == NULL)
        return DYNO_NOMEM(err);
    fleet->store = (struct dyno_ledger_store){.open = dyno_fleet_file_open, .arg = fleet};
    enum dyno_status status = dyno_pg_open(&fleet_kind, &pg, &fleet->pg, err);
    if (status == DYNO_OK && !options->writes)
        status = dyno_pg_begin_to_read(fleet->pg, err);
    if (status != DYNO_OK) {
        dyno_fleet_close(fleet);
        return status;
    }
    *fleet_out = fleet;
    return DYNO_OK;
}

void dyno_fleet_close(struct dyno_fleet *fleet)
{
    if (fleet == NULL)
        return;
    dyno_pg_close(fleet->pg);
    dyno_free(fleet);
}

bool dyno_fleet_is_lost(const struct dyno_fleet *fleet)
{
    return dyno_pg_is_lost(fleet->pg);
}

const struct dyno_ledger_store *dyno_fleet_store(struct dyno_fleet *fleet)
{
    return &fleet->store;
}

/* --- columns --- */

enum dyno_status dyno_fleet_take_digest(const struct dyno_pg_rows *rows, int row, int column,
                                        struct dyno_digest *digest_out, struct dyno_err *err)
{
    const uint8_t *data = NULL;
    size_t bytes = 0;
    DYNO_TRY(dyno_pg_bytes(rows, row, column, DYNO_DIGEST_BYTES, &data, &bytes, err));
    if (bytes != DYNO_DIGEST_BYTES)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "fleet ledger: a hash has %zu bytes, wants %u", bytes,
                         DYNO_DIGEST_BYTES);
    memcpy(digest_out->bytes, data, bytes);
    return DYNO_OK;
}

enum dyno_status dyno_fleet_take_u64(const struct dyno_pg_rows *rows, int row, int column,
                                     uint64_t *value_out, struct dyno_err *err)
{
    int64_t value = 0;
    const enum dyno_status status = dyno_pg_i64(rows, row, column, 0, INT64_MAX, &value, err);
    *value_out = status == DYNO_OK ? (uint64_t)value : 0;
    return status;
}

/* --- where it ends --- */

enum dyno_status dyno_fleet_find_mark(struct dyno_fleet *fleet, uint32_t node, bool locks,
                                      struct dyno_fleet_mark *mark_out, bool *found_out,
                                      struct dyno_err *err)
{
    static const char look[] = "SELECT group_count, head_count, chain, retirement IS NOT NULL"
                               " FROM dyno_ledger.node WHERE node = $1";
    static const char lock[] = "SELECT group_count, head_count, chain, retirement IS NOT NULL"
                               " FROM dyno_ledger.node WHERE node = $1 FOR UPDATE";
    const struct dyno_pg_value value = dyno_pg_number(node);
    struct dyno_pg_rows rows;
    int64_t is_retired = 0;
    *mark_out = (struct dyno_fleet_mark){0};
    enum dyno_status status = dyno_pg_query(fleet->pg, locks ? lock : look, &value, 1, &rows, err);
    *found_out = status == DYNO_OK && rows.count > 0;
    if (status == DYNO_OK && rows.count > 0) {
        status = dyno_fleet_take_u64(&rows, 0, 0, &mark_out->group_count, err);
        if (status == DYNO_OK)
            status = dyno_fleet_take_u64(&rows, 0, 1, &mark_out->head_count, err);
        if (status == DYNO_OK)
            status = dyno_fleet_take_digest(&rows, 0, 2, &mark_out->chain, err);
        if (status == DYNO_OK)
            status = dyno_pg_i64(&rows, 0, 3, 0, 1, &is_retired, err);
        mark_out->is_retired = is_retired != 0;
    }
    dyno_pg_rows_close(&rows);
    return status;
}

enum dyno_status dyno_fleet_mark(struct dyno_fleet *fleet, uint32_t node,
                                 struct dyno_fleet_mark *mark_out, struct dyno_err *err)
{
    bool found = false;
    return dyno_fleet_find_mark(fleet, node, false, mark_out, &found, err);
}

enum dyno_status dyno_fleet_header(struct dyno_fleet *fleet, uint32_t node, uint64_t number,
                                   uint8_t header_out[DYNO_GROUP_HEADER_BYTES], bool *found_out,
                                   struct dyno_err *err)
{
    static const char sql[] =
        "SELECT header FROM dyno_ledger.record_group WHERE node = $1 AND number = $2";
    const struct dyno_pg_value values[] = {dyno_pg_number(node), dyno_fleet_u64(number)};
    struct dyno_pg_rows rows;
    const uint8_t *data = NULL;
    size_t bytes = 0;
    *found_out = false;
    enum dyno_status status = dyno_pg_query(fleet->pg, sql, values, 2, &rows, err);
    if (status == DYNO_OK && rows.count > 0)
        status = dyno_pg_bytes(&rows, 0, 0, DYNO_GROUP_HEADER_BYTES, &data, &bytes, err);
    if (status == DYNO_OK && data != NULL) {
        *found_out = true;
        memset(header_out, 0, DYNO_GROUP_HEADER_BYTES);
        memcpy(header_out, data, bytes);
    }
    dyno_pg_rows_close(&rows);
    return status;
}

enum dyno_status dyno_fleet_refuse_node(uint32_t node, struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_MISMATCH,
                     "the fleet has another ledger of node %u: two nodes have this number, or the "
                     "files of one were begun anew; give each ledger a node number of its own",
                     (unsigned)node);
}
