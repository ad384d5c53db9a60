/* verify.c - a ledger, hashed and counted again. */
#include "meter/ledger/verify.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"

/* What is known so far. */
struct walk {
    const struct dyno_verify_options *options;
    struct dyno_verify_report *report;
    struct dyno_digest *leaves; /* of a group */
    struct dyno_ledger_file *file;
    struct dyno_ledger_names names;
    struct dyno_frontier frontier;
    struct dyno_digest chain;
    uint32_t epoch, segment;
    uint64_t seq, sent_seq, time_ns; /* of the last record and group */
    bool is_closed, is_retired;
    uint64_t head_place; /* groups under the head that was looked at last */
    struct dyno_digest head_root;
};

/* --- records --- */

static enum dyno_status check_record(struct walk *walk, const struct dyno_ledger_group *group,
                                     uint32_t i, struct dyno_err *err)
{
    struct dyno_record record;
    struct dyno_verify_report *report = walk->report;
    const uint64_t seq = group->group.first_seq + i;
    DYNO_TRY(
        dyno_record_decode(group->items.records + (size_t)i * DYNO_RECORD_BYTES, &record, err));
    if (record.id.node != group->group.node || record.id.epoch != group->group.epoch ||
        record.id.seq != seq)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "its id is %" PRIu32 "-%" PRIu32 "-%" PRIu64,
                         record.id.node, record.id.epoch, record.id.seq);
    for (uint32_t kind = 1; kind <= DYNO_NAME_KINDS; kind++)
        if (dyno_ledger_names_text(&walk->names, (enum dyno_name_kind)kind,
                                   record.names[kind - 1]) == NULL)
            return DYNO_FAIL(err, DYNO_E_CORRUPT, "there is no %s %" PRIu32,
                             dyno_name_kind_text(kind), record.names[kind - 1]);
    if (record.kind == DYNO_RECORD_VOID) {
        report->voids++;
        if (record.voids.epoch > record.id.epoch ||
            (record.voids.epoch == record.id.epoch && record.voids.seq >= seq))
            return DYNO_FAIL(err, DYNO_E_CORRUPT,
                             "it voids record %" PRIu32 "-%" PRIu64 ", which comes after it",
                             record.voids.epoch, record.voids.seq);
    }
    if (record.kind == DYNO_RECORD_USAGE) {
        report->usage++;
        report->device_ns += record.device_ns;
        report->reference_ns += record.reference_ns;
    }
    report->records++;
    return DYNO_OK;
}

/* --- groups --- */

static enum dyno_status check_place(const struct walk *walk, const struct dyno_group *g,
                                    struct dyno_err *err)
{
    const struct dyno_opening *opening = dyno_ledger_file_opening(walk->file);
    const bool starts = g->kind == DYNO_GROUP_START;
    if (g->number != walk->frontier.count)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "group %" PRIu64 " is missing", walk->frontier.count);
    if (walk->is_retired)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "it comes after the end of the ledger, which was retired");
    if (walk->is_closed)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "it comes after the end of its file");
    if (!dyno_digest_equal(&g->before, &walk->chain))
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "the hash of the group before is another one");
    if (g->node != opening->node || g->segment != opening->segment)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "it is of node %" PRIu32 ", file %" PRIu32, g->node,
                         g->segment);
    if (starts ? g->epoch <= walk->epoch : g->epoch != walk->epoch)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "its epoch is %" PRIu32 ", after %" PRIu32, g->epoch,
                         walk->epoch);
    if (g->first_seq != (starts ? 1 : walk->seq + 1))
        return DYNO_FAIL(err, DYNO_E_CORRUPT,
                         "its first record is %" PRIu64 ", the last one was %" PRIu64, g->first_seq,
                         starts ? 0 : walk->seq);
    if (!starts && (g->sent_seq < walk->sent_seq || g->sent_seq > walk->seq))
        return DYNO_FAIL(err, DYNO_E_CORRUPT,
                         "answers up to %" PRIu64 " have left, and before it those up to %" PRIu64,
                         g->sent_seq, walk->sent_seq);
    if (g->time_ns < walk->time_ns)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "it is older than the group before");
    return DYNO_OK;
}

static enum dyno_status check_items(struct walk *walk, const struct dyno_ledger_group *group,
                                    struct dyno_err *err)
{
    struct dyno_digest root;
    DYNO_TRY(dyno_ledger_names_add(&walk->names, &group->items, err));
    for (uint32_t i = 0; i < group->items.record_count; i++) {
        const enum dyno_status status = check_record(walk, group, i, err);
        if (status != DYNO_OK) {
            dyno_err_prefix(err, "record %" PRIu32 "-%" PRIu64, group->group.epoch,
                            group->group.first_seq + i);
            return status;
        }
    }
    DYNO_TRY(dyno_items_leaves(&group->items, walk->leaves, err));
    dyno_merkle_root(walk->leaves, (size_t)group->items.entry_count + group->items.record_count,
                     &root);
    return dyno_digest_equal(&root, &group->group.items_root)
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_CORRUPT, "its items have another hash than was written");
}

static enum dyno_status check_group(struct walk *walk, const struct dyno_ledger_group *group,
                                    struct dyno_err *err)
{
    const struct dyno_group *g = &group->group;
    enum dyno_status status = check_place(walk, g, err);
    if (status == DYNO_OK)
        status = check_items(walk, group, err);
    if (status != DYNO_OK) {
        dyno_err_prefix(err, "group %" PRIu64, g->number);
        return status;
    }
    if (g->kind == DYNO_GROUP_START) {
        if (walk->report->groups > 0) /* of the epoch that is over */
            walk->report->unconfirmed += walk->seq - walk->sent_seq;
        walk->report->epochs++;
    }
    dyno_group_hash(group->header, &walk->chain);
    dyno_frontier_add(&walk->frontier, &walk->chain);
    walk->epoch = g->epoch;
    walk->seq = g->first_seq + g->record_count - 1;
    walk->sent_seq = g->sent_seq;
    walk->time_ns = g->time_ns;
    walk->is_closed = g->kind == DYNO_GROUP_CLOSE;
    walk->report->groups++;
    return DYNO_OK;
}

/* --- heads --- */

static enum dyno_status check_proof(const struct walk *walk, const struct dyno_ledger_head *head,
                                    struct dyno_err *err)
{
    struct dyno_frontier before;
    struct dyno_frontier after;
    struct dyno_digest root;
    DYNO_TRY(dyno_head_proof_decode(head->proof, head->proof_bytes, head->head.group_count, &before,
                                    &after, err));
    dyno_frontier_root(&after, &root);
    if (!dyno_digest_equal(&root, &head->head.root))
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "its proof leads to another tree");
    if (before.count == 0 || walk->head_place == 0)
        return DYNO_OK;
    dyno_frontier_root(&before, &root);
    return before.count == walk->head_place && dyno_digest_equal(&root, &walk->head_root)
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_CORRUPT, "its proof does not begin at the head before");
}

static enum dyno_status check_key(const struct walk *walk, const struct dyno_ledger_head *head,
                                  struct dyno_err *err)
{
    if (head->head.is_signed)
        DYNO_TRY(dyno_head_check(head->bytes, err));
    if (walk->options->key != NULL &&
        (!head->head.is_signed || memcmp(head->head.key, walk->options->key, DYNO_KEY_BYTES) != 0))
        return DYNO_FAIL(err, DYNO_E_MISMATCH, "it is not signed with the key that was given");
    return DYNO_OK;
}

/* The head over what was read so far, if there is one. */
static enum dyno_status check_head(struct walk *walk, const struct dyno_ledger_head *head,
                                   struct dyno_err *err)
{
    const struct dyno_head *h = &head->head;
    struct dyno_digest root;
    dyno_frontier_root(&walk->frontier, &root);
    enum dyno_status status = DYNO_OK;
    if (h->node != dyno_ledger_file_opening(walk->file)->node || h->segment != walk->segment ||
        h->epoch != walk->epoch || h->seq != walk->seq || h->time_ns < walk->time_ns ||
        !dyno_digest_equal(&h->chain, &walk->chain) || !dyno_digest_equal(&h->root, &root))
        status = DYNO_FAIL(err, DYNO_E_CORRUPT, "it is of other groups than those in the file");
    if (status == DYNO_OK)
        status = check_proof(walk, head, err);
    if (status == DYNO_OK)
        status = check_key(walk, head, err);
    if (status != DYNO_OK) {
        dyno_err_prefix(err, "the head over %" PRIu64 " groups", h->group_count);
        return status;
    }
    walk->head_place = h->group_count;
    walk->head_root = h->root;
    walk->report->heads++;
    walk->report->signed_heads += h->is_signed;
    return DYNO_OK;
}

/* A published head is of this ledger when the tree had its root when it was as large. */
static enum dyno_status check_published(struct walk *walk, struct dyno_err *err)
{
    const struct dyno_verify_options *options = walk->options;
    struct dyno_digest root;
    while (walk->report->seen_heads < options->head_count) {
        const struct dyno_head *head = &options->heads[walk->report->seen_heads];
        if (head->group_count != walk->frontier.count)
            return DYNO_OK;
        dyno_frontier_root(&walk->frontier, &root);
        if (head->node != dyno_ledger_file_opening(walk->file)->node ||
            !dyno_digest_equal(&root, &head->root) ||
            !dyno_digest_equal(&walk->chain, &head->chain))
            return DYNO_FAIL(err, DYNO_E_MISMATCH,
                             "the head over %" PRIu64 " groups that was given is of another "
                             "ledger, or this one was changed since",
                             head->group_count);
        walk->is_retired = walk->is_retired || head->is_last;
        walk->report->seen_heads++;
    }
    return DYNO_OK;
}

/* --- files --- */

static enum dyno_status begin_file(struct walk *walk, struct dyno_err *err)
{
    const struct dyno_opening *opening = dyno_ledger_file_opening(walk->file);
    struct dyno_digest root;
    struct dyno_digest before;
    dyno_frontier_root(&opening->frontier, &root);
    dyno_frontier_root(&walk->frontier, &before);
    if (walk->report->files == 0) {
        walk->frontier = opening->frontier;
        walk->chain = opening->chain;
        walk->epoch = opening->last_epoch;
        walk->seq = opening->last_seq;
        walk->sent_seq = opening->last_sent_seq;
        walk->report->node = opening->node;
        walk->report->first_group = opening->frontier.count;
    } else if (opening->segment != walk->segment + 1 || opening->node != walk->report->node) {
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "it is file %" PRIu32 " of node %" PRIu32
                         ", which does not follow file %" PRIu32 " of node %" PRIu32,
                         opening->segment, opening->node, walk->segment, walk->report->node);
    } else if (opening->frontier.count != walk->frontier.count ||
               !dyno_digest_equal(&root, &before) ||
               !dyno_digest_equal(&opening->chain, &walk->chain) ||
               opening->last_epoch != walk->epoch || opening->last_seq != walk->seq ||
               opening->last_sent_seq != walk->sent_seq) {
        return DYNO_FAIL(err, DYNO_E_CORRUPT,
                         "its opening speaks of other groups before it than the last file has");
    }
    if (opening->time_ns < walk->time_ns)
        return DYNO_FAIL(err, DYNO_E_CORRUPT, "its opening is older than the groups before it");
    walk->time_ns = opening->time_ns;
    walk->segment = opening->segment;
    walk->is_closed = false;
    walk->report->files++;
    dyno_ledger_names_fini(&walk->names);
    return DYNO_OK;
}

/* Heads are found at their places, so one over no place at all must be looked for. */
static enum dyno_status check_heads_at(struct walk *walk, uint64_t *next_place,
                                       struct dyno_err *err)
{
    struct dyno_ledger_head head;
    bool found = false;
    if (*next_place > walk->frontier.count)
        return DYNO_OK;
    DYNO_TRY(dyno_ledger_file_head(walk->file, *next_place, &head, &found, err));
    *next_place = found ? head.head.group_count : UINT64_MAX;
    if (!found || head.head.group_count > walk->frontier.count)
        return DYNO_OK;
    if (head.head.group_count < walk->frontier.count)
        return DYNO_FAIL(err, DYNO_E_CORRUPT,
                         "the head over %" PRIu64 " groups is in a file that begins after them",
                         head.head.group_count);
    *next_place = head.head.group_count + 1;
    return check_head(walk, &head, err);
}

static enum dyno_status walk_file(struct walk *walk, struct dyno_err *err)
{
    uint64_t next_place = 0;
    uint64_t number = 0;
    bool found = true;
    DYNO_TRY(begin_file(walk, err));
    while (found) {
        struct dyno_ledger_group group;
        DYNO_TRY(dyno_ledger_file_group(walk->file, number, &group, &found, err));
        if (!found)
            break;
        number = group.group.number + 1;
        DYNO_TRY(check_group(walk, &group, err));
        DYNO_TRY(check_published(walk, err));
        DYNO_TRY(check_heads_at(walk, &next_place, err));
        if (walk->options->on_step != NULL)
            walk->options->on_step(walk->options->arg, walk->report->records,
                                   dyno_ledger_file_path(walk->file));
    }
    if (next_place != UINT64_MAX) { /* groups may have been taken away, and not their heads */
        struct dyno_ledger_head head;
        DYNO_TRY(dyno_ledger_file_head(walk->file, next_place, &head, &found, err));
        if (found && head.head.group_count > walk->frontier.count)
            return DYNO_FAIL(err, DYNO_E_CORRUPT,
                             "there is a head over %" PRIu64 " groups, and there are %" PRIu64,
                             head.head.group_count, walk->frontier.count);
    }
    return DYNO_OK;
}

static enum dyno_status open_and_walk(struct walk *walk, const char *path, struct dyno_err *err)
{
    DYNO_TRY(dyno_ledger_store_open(walk->options->store, path, &walk->file, err));
    const enum dyno_status status = walk_file(walk, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "\"%s\"", path);
    dyno_ledger_file_close(walk->file);
    walk->file = NULL;
    return status;
}

enum dyno_status dyno_ledger_verify(const char *const *paths, size_t path_count,
                                    const struct dyno_verify_options *options,
                                    struct dyno_verify_report *report_out, struct dyno_err *err)
{
    struct walk walk = {.options = options, .report = report_out};
    enum dyno_status status = DYNO_OK;
    *report_out = (struct dyno_verify_report){0};
    walk.leaves = dyno_alloc_raw(DYNO_GROUP_ITEMS_MAX, sizeof(*walk.leaves));
    if (walk.leaves == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < path_count && status == DYNO_OK; i++)
        status = open_and_walk(&walk, paths[i], err);
    report_out->unconfirmed += walk.seq - walk.sent_seq;
    report_out->has_end = walk.is_closed;
    report_out->is_retired = walk.is_retired;
    report_out->chain = walk.chain;
    dyno_frontier_root(&walk.frontier, &report_out->root);
    if (status == DYNO_OK && report_out->seen_heads < options->head_count)
        status = DYNO_FAIL(err, DYNO_E_MISMATCH,
                           "the head that was given is over %" PRIu64 " groups: of these files "
                           "none ends there, they have the groups %" PRIu64 " to %" PRIu64,
                           options->heads[report_out->seen_heads].group_count,
                           report_out->first_group, walk.frontier.count);
    dyno_ledger_names_fini(&walk.names);
    dyno_free(walk.leaves);
    return status;
}
