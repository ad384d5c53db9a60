/* retire.c - nodes whose ledgers end: said once, under the lock of the node's row. */
#include <inttypes.h>
#include <string.h>

#include "meter/fleet/internal.h"
#include "meter/ledger/retire.h"

static enum dyno_status take_line(const struct dyno_pg_rows *rows, struct dyno_head_line *line,
                                  struct dyno_err *err)
{
    const uint8_t *head = NULL;
    const uint8_t *proof = NULL;
    size_t head_bytes = 0;
    DYNO_TRY(dyno_pg_bytes(rows, 0, 0, DYNO_HEAD_BYTES, &head, &head_bytes, err));
    DYNO_TRY(dyno_pg_bytes(rows, 0, 1, DYNO_HEAD_PROOF_MAX, &proof, &line->proof_bytes, err));
    DYNO_TRY(dyno_head_decode(head, head_bytes, &line->head, err));
    memcpy(line->bytes, head, head_bytes);
    memcpy(line->proof, proof, line->proof_bytes);
    return dyno_retirement_check(line, err);
}

enum dyno_status dyno_fleet_retirement(struct dyno_fleet *fleet, uint32_t node,
                                       struct dyno_head_line *line_out, bool *found_out,
                                       struct dyno_err *err)
{
    static const char sql[] = "SELECT retirement, retirement_proof FROM dyno_ledger.node"
                              " WHERE node = $1 AND retirement IS NOT NULL";
    const struct dyno_pg_value value = dyno_pg_number(node);
    struct dyno_pg_rows rows;
    *line_out = (struct dyno_head_line){0};
    enum dyno_status status = dyno_pg_query(fleet->pg, sql, &value, 1, &rows, err);
    *found_out = status == DYNO_OK && rows.count > 0;
    if (*found_out)
        status = take_line(&rows, line_out, err);
    dyno_pg_rows_close(&rows);
    if (status == DYNO_OK && *found_out && line_out->head.node != node)
        status = DYNO_FAIL(err, DYNO_E_CORRUPT, "its last head is of node %" PRIu32,
                           line_out->head.node);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "fleet ledger: node %" PRIu32, node);
    return status;
}

static enum dyno_status put(struct dyno_fleet *fleet, const struct dyno_head_line *line,
                            struct dyno_err *err)
{
    static const char sql[] =
        "UPDATE dyno_ledger.node SET retirement = $2, retirement_proof = $3 WHERE node = $1";
    const struct dyno_head *head = &line->head;
    struct dyno_fleet_mark mark;
    bool found = false;
    DYNO_TRY(dyno_fleet_find_mark(fleet, head->node, true, &mark, &found, err));
    if (mark.is_retired)
        return DYNO_FAIL(err, DYNO_E_EXISTS, "node %" PRIu32 " is retired already", head->node);
    if (mark.group_count != head->group_count || !dyno_digest_equal(&mark.chain, &head->chain))
        return DYNO_FAIL(err, DYNO_E_BUSY,
                         "the fleet has got more of node %" PRIu32 " meanwhile, and has %" PRIu64
                         " groups: it lives, or is being shipped",
                         head->node, mark.group_count);
    const struct dyno_pg_value row[] = {dyno_pg_number(head->node),
                                        dyno_pg_blob(line->bytes, DYNO_HEAD_BYTES),
                                        dyno_pg_blob(line->proof, line->proof_bytes)};
    return dyno_pg_run(fleet->pg, sql, row, DYNO_COUNT(row), err);
}

enum dyno_status dyno_fleet_retire(struct dyno_fleet *fleet, const struct dyno_head_line *line,
                                   struct dyno_err *err)
{
    DYNO_TRY(dyno_retirement_check(line, err));
    DYNO_TRY(dyno_pg_begin(fleet->pg, err));
    return dyno_pg_end(fleet->pg, put(fleet, line, err), err);
}

enum dyno_status dyno_fleet_refuse_retired(struct dyno_fleet *fleet, uint32_t node,
                                           struct dyno_err *err)
{
    struct dyno_head_line line;
    bool found = false;
    DYNO_TRY(dyno_fleet_retirement(fleet, node, &line, &found, err));
    return found ? dyno_retirement_refuse(&line.head, err)
                 : DYNO_FAIL(err, DYNO_E_DENIED, "node %" PRIu32 " is retired", node);
}
