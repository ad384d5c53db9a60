/* deliver.c - groups merged by watermark. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "meter/fleet/internal.h"

/* One delivered group, decoded. */
struct sorted {
    struct dyno_group group;
    const struct dyno_fleet_group *bytes;
};

struct merge {
    struct dyno_fleet *fleet;
    const struct dyno_fleet_delivery *delivery;
    struct sorted *sorted; /* by number; */
    size_t first, end;     /* those that are taken, once the copies among them are out */
    struct dyno_fleet_mark mark, before;
};

static int compare(const void *a, const void *b)
{
    const struct sorted *x = a;
    const struct sorted *y = b;
    return x->group.number < y->group.number ? -1 : x->group.number > y->group.number;
}

/* --- what is delivered --- */

static enum dyno_status check_range(const struct dyno_group *group, struct dyno_err *err)
{
    return group->number < INT64_MAX && group->first_seq <= INT64_MAX - DYNO_GROUP_RECORDS_MAX &&
                   group->sent_seq <= INT64_MAX && group->time_ns <= INT64_MAX
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_LIMIT, "group %" PRIu64 " has a number beyond 2^63",
                           group->number);
}

static enum dyno_status decode(struct merge *merge, struct dyno_err *err)
{
    const struct dyno_fleet_delivery *delivery = merge->delivery;
    for (size_t i = 0; i < delivery->group_count; i++) {
        struct sorted *at = &merge->sorted[i];
        at->bytes = &delivery->groups[i];
        DYNO_TRY(dyno_group_decode(at->bytes->header, DYNO_GROUP_HEADER_BYTES, &at->group, err));
        DYNO_TRY(check_range(&at->group, err));
        if (at->group.node != delivery->node)
            return DYNO_FAIL(err, DYNO_E_MISMATCH,
                             "group %" PRIu64 " is of node %" PRIu32 ", not of node %" PRIu32,
                             at->group.number, at->group.node, delivery->node);
    }
    if (delivery->group_count > 0)
        qsort(merge->sorted, delivery->group_count, sizeof(*merge->sorted), compare);
    return DYNO_OK;
}

/* What the fleet has already must be what it has: one look at the last such group, which names all
 * before it. */
static enum dyno_status check_known(const struct merge *merge, struct dyno_err *err)
{
    uint8_t header[DYNO_GROUP_HEADER_BYTES];
    bool found = false;
    if (merge->first == 0)
        return DYNO_OK;
    const struct sorted *last = &merge->sorted[merge->first - 1];
    DYNO_TRY(dyno_fleet_header(merge->fleet, merge->delivery->node, last->group.number, header,
                               &found, err));
    return found && memcmp(header, last->bytes->header, sizeof(header)) == 0
               ? DYNO_OK
               : dyno_fleet_refuse_node(merge->delivery->node, err);
}

/* Those that go on from the watermark, up to a gap. */
static enum dyno_status choose(struct merge *merge, struct dyno_err *err)
{
    const size_t count = merge->delivery->group_count;
    struct dyno_fleet_mark *mark = &merge->mark;
    while (merge->first < count && merge->sorted[merge->first].group.number < mark->group_count)
        merge->first++;
    DYNO_TRY(check_known(merge, err));
    merge->end = merge->first;
    for (size_t i = merge->first; i < count; i++) {
        const struct sorted *at = &merge->sorted[i];
        if (merge->end > merge->first && at->group.number == mark->group_count - 1) {
            if (memcmp(at->bytes->header, merge->sorted[merge->end - 1].bytes->header,
                       DYNO_GROUP_HEADER_BYTES) != 0)
                return dyno_fleet_refuse_node(merge->delivery->node, err);
            continue; /* a second copy */
        }
        if (at->group.number != mark->group_count)
            return DYNO_OK;
        if (!dyno_digest_equal(&at->group.before, &mark->chain))
            return dyno_fleet_refuse_node(merge->delivery->node, err);
        dyno_group_hash(at->bytes->header, &mark->chain);
        mark->group_count++;
        merge->sorted[merge->end++] = *at;
    }
    return DYNO_OK;
}

/* --- writing --- */

static enum dyno_status lock_node(struct merge *merge, struct dyno_err *err)
{
    static const char add[] =
        "INSERT INTO dyno_ledger.node VALUES ($1, 0, 0, $2, 0, now()) ON CONFLICT DO NOTHING";
    static const struct dyno_digest none;
    const uint32_t node = merge->delivery->node;
    const struct dyno_pg_value values[] = {dyno_pg_number(node),
                                           dyno_pg_blob(none.bytes, DYNO_DIGEST_BYTES)};
    bool found = false;
    DYNO_TRY(dyno_fleet_find_mark(merge->fleet, node, true, &merge->mark, &found, err));
    if (!found) { /* who is as fast waits for the other */
        DYNO_TRY(dyno_pg_run(merge->fleet->pg, add, values, 2, err));
        DYNO_TRY(dyno_fleet_find_mark(merge->fleet, node, true, &merge->mark, &found, err));
    }
    merge->before = merge->mark;
    return DYNO_OK;
}

static enum dyno_status copy_groups(struct merge *merge, struct dyno_err *err)
{
    static const char sql[] =
        "COPY dyno_ledger.record_group (node, number, header, items) FROM STDIN (FORMAT binary)";
    if (merge->first == merge->end)
        return DYNO_OK;
    DYNO_TRY(dyno_pg_copy_begin(merge->fleet->pg, sql, err));
    enum dyno_status status = DYNO_OK;
    for (size_t i = merge->first; i < merge->end && status == DYNO_OK; i++) {
        const struct dyno_fleet_group *bytes = merge->sorted[i].bytes;
        const struct dyno_pg_value row[] = {dyno_pg_number(merge->delivery->node),
                                            dyno_fleet_u64(merge->sorted[i].group.number),
                                            dyno_pg_blob(bytes->header, DYNO_GROUP_HEADER_BYTES),
                                            dyno_pg_blob(bytes->items, bytes->items_bytes)};
        status = dyno_pg_copy_row(merge->fleet->pg, row, DYNO_COUNT(row), err);
    }
    return dyno_pg_copy_end(merge->fleet->pg, status, err);
}

static enum dyno_status put_openings(const struct merge *merge, struct dyno_err *err)
{
    static const char sql[] = "INSERT INTO dyno_ledger.file VALUES ($1, $2, $3, $4)";
    for (size_t i = 0; i < merge->delivery->opening_count; i++) {
        const struct dyno_opening *opening = &merge->delivery->openings[i];
        const uint64_t first = opening->frontier.count;
        uint8_t bytes[DYNO_OPENING_BYTES_MAX];
        if (first < merge->before.group_count || first >= merge->mark.group_count)
            continue;
        const size_t count = dyno_opening_encode(opening, bytes);
        const struct dyno_pg_value row[] = {dyno_pg_number(merge->delivery->node),
                                            dyno_pg_number(opening->segment), dyno_fleet_u64(first),
                                            dyno_pg_blob(bytes, count)};
        DYNO_TRY(dyno_pg_run(merge->fleet->pg, sql, row, DYNO_COUNT(row), err));
    }
    return DYNO_OK;
}

/* Heads come in order; one that comes again, or before its groups, is passed over. */
static enum dyno_status put_heads(struct merge *merge, struct dyno_err *err)
{
    static const char sql[] = "INSERT INTO dyno_ledger.head VALUES ($1, $2, $3, $4, $5)";
    for (size_t i = 0; i < merge->delivery->head_count; i++) {
        const struct dyno_ledger_head *head = &merge->delivery->heads[i];
        const uint64_t place = head->head.group_count;
        if (place <= merge->mark.head_count || place > merge->mark.group_count)
            continue;
        const struct dyno_pg_value row[] = {
            dyno_pg_number(merge->delivery->node), dyno_fleet_u64(place),
            dyno_pg_number(head->head.segment), dyno_pg_blob(head->bytes, DYNO_HEAD_BYTES),
            dyno_pg_blob(head->proof, head->proof_bytes)};
        DYNO_TRY(dyno_pg_run(merge->fleet->pg, sql, row, DYNO_COUNT(row), err));
        merge->mark.head_count = place;
    }
    return DYNO_OK;
}

/* One for each epoch: the last group of it that was taken says it. */
static enum dyno_status move_watermarks(const struct merge *merge, struct dyno_err *err)
{
    static const char sql[] =
        "INSERT INTO dyno_ledger.watermark VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (node, epoch) DO UPDATE SET seq = EXCLUDED.seq, sent_seq = EXCLUDED.sent_seq";
    for (size_t i = merge->first; i < merge->end; i++) {
        const struct dyno_group *group = &merge->sorted[i].group;
        if (i + 1 < merge->end && merge->sorted[i + 1].group.epoch == group->epoch)
            continue;
        const struct dyno_pg_value row[] = {
            dyno_pg_number(group->node), dyno_pg_number(group->epoch),
            dyno_fleet_u64(group->first_seq + group->record_count - 1),
            dyno_fleet_u64(group->sent_seq)};
        DYNO_TRY(dyno_pg_run(merge->fleet->pg, sql, row, DYNO_COUNT(row), err));
    }
    return DYNO_OK;
}

static enum dyno_status move_mark(const struct merge *merge, struct dyno_err *err)
{
    static const char sql[] =
        "UPDATE dyno_ledger.node SET group_count = $2, head_count = $3, chain = $4,"
        " time_ns = greatest(time_ns, $5), merged = now() WHERE node = $1";
    const uint64_t time_ns =
        merge->end > merge->first ? merge->sorted[merge->end - 1].group.time_ns : 0;
    const struct dyno_pg_value row[] = {
        dyno_pg_number(merge->delivery->node), dyno_fleet_u64(merge->mark.group_count),
        dyno_fleet_u64(merge->mark.head_count),
        dyno_pg_blob(merge->mark.chain.bytes, DYNO_DIGEST_BYTES), dyno_fleet_u64(time_ns)};
    return dyno_pg_run(merge->fleet->pg, sql, row, DYNO_COUNT(row), err);
}

static enum dyno_status merge_all(struct merge *merge, struct dyno_err *err)
{
    DYNO_TRY(lock_node(merge, err));
    DYNO_TRY(choose(merge, err));
    if (merge->mark.is_retired && merge->end > merge->first)
        return dyno_fleet_refuse_retired(merge->fleet, merge->delivery->node, err);
    DYNO_TRY(copy_groups(merge, err));
    DYNO_TRY(put_openings(merge, err));
    DYNO_TRY(put_heads(merge, err));
    DYNO_TRY(move_watermarks(merge, err));
    return move_mark(merge, err);
}

enum dyno_status dyno_fleet_deliver(struct dyno_fleet *fleet,
                                    const struct dyno_fleet_delivery *delivery,
                                    struct dyno_fleet_mark *mark_out, struct dyno_err *err)
{
    struct merge merge = {.fleet = fleet, .delivery = delivery};
    *mark_out = (struct dyno_fleet_mark){0};
    merge.sorted = dyno_alloc(delivery->group_count + 1, sizeof(*merge.sorted));
    if (merge.sorted == NULL)
        return DYNO_NOMEM(err);
    enum dyno_status status = decode(&merge, err);
    if (status == DYNO_OK)
        status = dyno_pg_begin(fleet->pg, err);
    if (status == DYNO_OK)
        status = dyno_pg_end(fleet->pg, merge_all(&merge, err), err);
    if (status == DYNO_OK)
        *mark_out = merge.mark;
    dyno_free(merge.sorted);
    return status;
}
