/* check.c - watermarks against what they are of. */
#include <inttypes.h>

#include "base/arena.h"
#include "meter/fleet/internal.h"

/* The watermarks of a node's epochs, in order, and how far they were met. */
struct walk {
    struct dyno_pg_rows rows;
    int row;
    uint32_t epoch; /* that is being read; 0: none yet */
    uint64_t seq, sent_seq;
};

/* The epoch ends at `seq`, where its watermark must be. */
static enum dyno_status end_epoch(struct walk *walk, struct dyno_err *err)
{
    uint64_t epoch = 0;
    uint64_t seq = 0;
    uint64_t sent_seq = 0;
    if (walk->epoch == 0)
        return DYNO_OK;
    if (walk->row < walk->rows.count)
        DYNO_TRY(dyno_fleet_take_u64(&walk->rows, walk->row, 0, &epoch, err));
    if (epoch != walk->epoch)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "epoch %" PRIu32 " has no watermark", walk->epoch);
    DYNO_TRY(dyno_fleet_take_u64(&walk->rows, walk->row, 1, &seq, err));
    DYNO_TRY(dyno_fleet_take_u64(&walk->rows, walk->row, 2, &sent_seq, err));
    walk->row++;
    if (seq > walk->seq)
        return DYNO_FAIL(err, DYNO_E_CORRUPT,
                         "the records %" PRIu64 " to %" PRIu64 " of epoch %" PRIu32
                         " are missing: its watermark is over them",
                         walk->seq + 1, seq, walk->epoch);
    if (seq < walk->seq || sent_seq != walk->sent_seq)
        return DYNO_FAIL(err, DYNO_E_CORRUPT,
                         "epoch %" PRIu32 " has records up to %" PRIu64 ", of which %" PRIu64
                         " have left, and a watermark at %" PRIu64 " and %" PRIu64,
                         walk->epoch, walk->seq, walk->sent_seq, seq, sent_seq);
    return DYNO_OK;
}

static enum dyno_status walk_file(struct walk *walk, struct dyno_ledger_file *file,
                                  struct dyno_err *err)
{
    uint64_t number = 0;
    for (;;) {
        struct dyno_ledger_group group;
        bool found = false;
        DYNO_TRY(dyno_ledger_file_header(file, number, &group, &found, err));
        if (!found)
            return DYNO_OK;
        number = group.group.number + 1;
        if (group.group.epoch != walk->epoch)
            DYNO_TRY(end_epoch(walk, err));
        walk->epoch = group.group.epoch;
        walk->seq = group.group.first_seq + group.group.record_count - 1;
        walk->sent_seq = group.group.sent_seq;
    }
}

static enum dyno_status walk_files(struct dyno_fleet *fleet, uint32_t node, struct walk *walk,
                                   struct dyno_arena *arena, struct dyno_err *err)
{
    const char **names = NULL;
    size_t count = 0;
    DYNO_TRY(dyno_fleet_files(fleet, node, arena, &names, &count, err));
    for (size_t i = 0; i < count; i++) {
        struct dyno_ledger_file *file = NULL;
        DYNO_TRY(dyno_fleet_file_open(fleet, names[i], &file, err));
        const enum dyno_status status = walk_file(walk, file, err);
        dyno_ledger_file_close(file);
        DYNO_TRY(status);
    }
    DYNO_TRY(end_epoch(walk, err));
    uint64_t epoch = 0;
    if (walk->row == walk->rows.count)
        return DYNO_OK;
    DYNO_TRY(dyno_fleet_take_u64(&walk->rows, walk->row, 0, &epoch, err));
    return DYNO_FAIL(err, DYNO_E_CORRUPT, "epoch %" PRIu64 " has a watermark and no group", epoch);
}

enum dyno_status dyno_fleet_check(struct dyno_fleet *fleet, uint32_t node, uint64_t group_count,
                                  const struct dyno_digest *chain, struct dyno_err *err)
{
    static const char sql[] = "SELECT epoch, seq, sent_seq FROM dyno_ledger.watermark"
                              " WHERE node = $1 ORDER BY epoch";
    const struct dyno_pg_value value = dyno_pg_number(node);
    struct walk walk = {0};
    struct dyno_fleet_mark mark;
    DYNO_TRY(dyno_fleet_mark(fleet, node, &mark, err));
    if (mark.group_count != group_count || !dyno_digest_equal(&mark.chain, chain))
        return DYNO_FAIL(err, DYNO_E_CORRUPT,
                         "node %" PRIu32 ": there are %" PRIu64
                         " groups, and its watermark says %" PRIu64 "%s",
                         node, group_count, mark.group_count,
                         mark.group_count == group_count ? " with another hash" : "");
    struct dyno_arena *arena = dyno_arena_create();
    if (arena == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = dyno_pg_query(fleet->pg, sql, &value, 1, &walk.rows, err);
    if (status == DYNO_OK)
        status = walk_files(fleet, node, &walk, arena, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "node %" PRIu32, node);
    dyno_pg_rows_close(&walk.rows);
    dyno_arena_destroy(arena);
    return status;
}
