/* ship.c - from the files of a ledger into deliveries. */
#include "meter/fleet/ship.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"
#include "meter/ledger/segment.h"

#define GROUPS_MAX 2048U
#define HEADS_MAX  32U
#define BYTES_MAX  ((size_t)1 << 20)

struct dyno_shipper {
    struct dyno_arena *names; /* what was given */
    const char **given;
    size_t given_count;
    const char *folder; /* where further files may begin; NULL: nowhere */
    struct dyno_arena *list;
    const char **paths;
    size_t path_count;

    /* Number at_file of the paths.  It is open while it is read and no longer, for its writer
     * closes it in order when nobody else has it open. */
    struct dyno_ledger_file *file;
    size_t at_file;
    bool has_begun;
    struct dyno_opening opening; /* of it */
    char path[DYNO_SEGMENT_PATH_ROOM];
    bool has_more;       /* files after it, so that it changes no more */
    bool moves_on;       /* all of it is in the fleet */
    uint64_t number;     /* of the next group */
    uint64_t head_place; /* groups under the next head, at least */
    struct dyno_shipped shipped;

    /* The next delivery. */
    struct dyno_arena *batch;
    struct dyno_fleet_group groups[GROUPS_MAX];
    struct dyno_ledger_head heads[HEADS_MAX];
    size_t group_count, head_count, bytes;
    uint64_t records;
    struct dyno_group last; /* of them */
    bool is_end;            /* the file has no more of either */
};

/* --- files --- */

static enum dyno_status list_files(struct dyno_shipper *shipper, struct dyno_err *err)
{
    dyno_arena_reset(shipper->list);
    return dyno_ledger_paths(shipper->given, shipper->given_count, shipper->list, &shipper->paths,
                             &shipper->path_count, err);
}

enum dyno_status dyno_shipper_create(const char *const *given, size_t given_count,
                                     struct dyno_shipper **shipper_out, struct dyno_err *err)
{
    struct stat info;
    *shipper_out = NULL;
    DYNO_ASSERT(given_count > 0);
    struct dyno_shipper *shipper = dyno_alloc(1, sizeof(*shipper));
    if (shipper == NULL)
        return DYNO_NOMEM(err);
    shipper->names = dyno_arena_create();
    shipper->list = dyno_arena_create();
    shipper->batch = dyno_arena_create();
    const bool has_arenas =
        shipper->names != NULL && shipper->list != NULL && shipper->batch != NULL;
    if (has_arenas)
        shipper->given = dyno_arena_alloc(shipper->names, given_count, sizeof(*shipper->given));
    enum dyno_status status = shipper->given != NULL ? DYNO_OK : DYNO_NOMEM(err);
    for (size_t i = 0; i < given_count && status == DYNO_OK; i++) {
        shipper->given[i] = dyno_arena_strdup(shipper->names, given[i]);
        status = shipper->given[i] != NULL ? DYNO_OK : DYNO_NOMEM(err);
    }
    shipper->given_count = given_count;
    if (status == DYNO_OK && stat(given[given_count - 1], &info) == 0 && S_ISDIR(info.st_mode))
        shipper->folder = shipper->given[given_count - 1];
    if (status == DYNO_OK)
        status = list_files(shipper, err);
    if (status != DYNO_OK) {
        dyno_shipper_destroy(shipper);
        return status;
    }
    *shipper_out = shipper;
    return DYNO_OK;
}

static void close_file(struct dyno_shipper *shipper)
{
    dyno_ledger_file_close(shipper->file);
    shipper->file = NULL;
}

void dyno_shipper_destroy(struct dyno_shipper *shipper)
{
    if (shipper == NULL)
        return;
    close_file(shipper);
    dyno_arena_destroy(shipper->names);
    dyno_arena_destroy(shipper->list);
    dyno_arena_destroy(shipper->batch);
    dyno_free(shipper);
}

const struct dyno_shipped *dyno_shipper_shipped(const struct dyno_shipper *shipper)
{
    return &shipper->shipped;
}

/* Is there a file after this one, with a group?  Then this one changes no more. */
static enum dyno_status has_next(struct dyno_shipper *shipper, bool *has_out, struct dyno_err *err)
{
    char path[DYNO_SEGMENT_PATH_ROOM];
    *has_out = shipper->at_file + 1 < shipper->path_count;
    if (*has_out || shipper->folder == NULL)
        return DYNO_OK;
    DYNO_TRY(dyno_segment_path(shipper->folder, shipper->opening.segment + 1, path, err));
    if (access(path, F_OK) != 0)
        return DYNO_OK;
    const char *now = shipper->path;
    DYNO_TRY(list_files(shipper, err));
    shipper->at_file = 0; /* older ones may be gone */
    while (shipper->at_file < shipper->path_count &&
           strcmp(shipper->paths[shipper->at_file], now) != 0)
        shipper->at_file++;
    *has_out = shipper->at_file + 1 < shipper->path_count;
    return shipper->at_file < shipper->path_count
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_NOT_FOUND, "\"%s\" is gone", now);
}

/* The file that is open is the one that is shipped. */
static enum dyno_status take_file(struct dyno_shipper *shipper, size_t at, struct dyno_err *err)
{
    const int bytes = snprintf(shipper->path, sizeof(shipper->path), "%s", shipper->paths[at]);
    shipper->at_file = at;
    shipper->opening = *dyno_ledger_file_opening(shipper->file);
    return bytes >= 0 && (size_t)bytes < sizeof(shipper->path)
               ? DYNO_OK
               : DYNO_FAIL(err, DYNO_E_LIMIT, "the path of a ledger is longer than %zu bytes",
                           sizeof(shipper->path) - 1);
}

static enum dyno_status move_on(struct dyno_shipper *shipper, struct dyno_err *err)
{
    const uint32_t node = shipper->opening.node;
    const size_t next = shipper->at_file + 1;
    close_file(shipper);
    DYNO_TRY(dyno_ledger_file_open(shipper->paths[next], &shipper->file, err));
    const struct dyno_opening *opening = dyno_ledger_file_opening(shipper->file);
    if (opening->frontier.count != shipper->number || opening->node != node)
        return DYNO_FAIL(err, DYNO_E_MISMATCH,
                         "\"%s\" is of node %" PRIu32 " and begins after %" PRIu64
                         " groups, wants the file of node %" PRIu32 " that begins after %" PRIu64,
                         shipper->paths[next], opening->node, opening->frontier.count, node,
                         shipper->number);
    return take_file(shipper, next, err);
}

/* --- the place --- */

/* The file whose groups the fleet has in part, or all of but none of the next one's. */
static enum dyno_status find_file(struct dyno_shipper *shipper, struct dyno_fleet *fleet,
                                  struct dyno_fleet_mark *mark, struct dyno_err *err)
{
    bool has_mark = false;
    uint32_t node = 0;
    for (size_t i = shipper->path_count; i-- > 0;) {
        close_file(shipper);
        DYNO_TRY(dyno_ledger_file_open(shipper->paths[i], &shipper->file, err));
        const struct dyno_opening *opening = dyno_ledger_file_opening(shipper->file);
        const uint64_t first = opening->frontier.count;
        if (!has_mark)
            DYNO_TRY(dyno_fleet_mark(fleet, opening->node, mark, err));
        if (has_mark && opening->node != node)
            return DYNO_FAIL(err, DYNO_E_MISMATCH,
                             "\"%s\" is of node %" PRIu32 ", not of node %" PRIu32
                             ": ship the ledgers of two nodes one by one",
                             shipper->paths[i], opening->node, node);
        node = opening->node;
        has_mark = true;
        if (first < mark->group_count || (first == mark->group_count && i == 0))
            return take_file(shipper, i, err);
    }
    return DYNO_FAIL(err, DYNO_E_MISMATCH,
                     "the fleet has %" PRIu64 " groups of node %" PRIu32
                     ", and \"%s\" begins after %" PRIu64 ": the files between are wanted, too",
                     mark->group_count, node, shipper->paths[0],
                     dyno_ledger_file_opening(shipper->file)->frontier.count);
}

/* These files end before the fleet's copy does.  Is it of them? */
static enum dyno_status refuse_old(struct dyno_shipper *shipper, struct dyno_fleet *fleet,
                                   uint64_t fleet_count, struct dyno_err *err)
{
    struct dyno_ledger_group group;
    uint8_t header[DYNO_GROUP_HEADER_BYTES];
    uint64_t last = 0;
    bool found = false;
    const uint32_t node = dyno_ledger_file_opening(shipper->file)->node;
    DYNO_TRY(dyno_ledger_file_last(shipper->file, &last, &found, err));
    if (found)
        DYNO_TRY(dyno_ledger_file_header(shipper->file, last, &group, &found, err));
    if (!found)
        return DYNO_FAIL(err, DYNO_E_FORMAT, "\"%s\" has no groups",
                         dyno_ledger_file_path(shipper->file));
    DYNO_TRY(dyno_fleet_header(fleet, node, last, header, &found, err));
    if (!found || memcmp(header, group.header, sizeof(header)) != 0)
        return dyno_fleet_refuse_node(node, err);
    return DYNO_FAIL(err, DYNO_E_MISMATCH,
                     "the fleet has %" PRIu64 " groups of node %" PRIu32
                     ", and these files end after %" PRIu64 ": they are an older copy",
                     fleet_count, node, last + 1);
}

/* The fleet has this much, whoever sent it. */
static void note(struct dyno_shipper *shipper, uint32_t epoch, uint64_t seq, uint64_t sent_seq)
{
    shipper->shipped.epoch = epoch;
    shipper->shipped.seq = seq;
    shipper->shipped.sent_seq = sent_seq;
}

static enum dyno_status check_place(struct dyno_shipper *shipper, struct dyno_fleet *fleet,
                                    const struct dyno_fleet_mark *mark, struct dyno_err *err)
{
    const struct dyno_opening *opening = dyno_ledger_file_opening(shipper->file);
    struct dyno_digest chain = opening->chain;
    note(shipper, opening->last_epoch, opening->last_seq, opening->last_sent_seq);
    if (mark->group_count > opening->frontier.count) {
        struct dyno_ledger_group group;
        bool found = false;
        DYNO_TRY(
            dyno_ledger_file_header(shipper->file, mark->group_count - 1, &group, &found, err));
        if (!found)
            return refuse_old(shipper, fleet, mark->group_count, err);
        note(shipper, group.group.epoch, group.group.first_seq + group.group.record_count - 1,
             group.group.sent_seq);
        dyno_group_hash(group.header, &chain);
    }
    return dyno_digest_equal(&chain, &mark->chain) ? DYNO_OK
                                                   : dyno_fleet_refuse_node(opening->node, err);
}

/* A ledger that was retired may be shipped again, and goes on no more. */
static enum dyno_status check_retired(struct dyno_shipper *shipper, struct dyno_fleet *fleet,
                                      const struct dyno_fleet_mark *mark, struct dyno_err *err)
{
    struct dyno_ledger_group group;
    bool goes_on = shipper->at_file + 1 < shipper->path_count;
    if (!mark->is_retired)
        return DYNO_OK;
    if (!goes_on)
        DYNO_TRY(dyno_ledger_file_header(shipper->file, mark->group_count, &group, &goes_on, err));
    return goes_on ? dyno_fleet_refuse_retired(fleet, dyno_ledger_file_opening(shipper->file)->node,
                                               err)
                   : DYNO_OK;
}

enum dyno_status dyno_shipper_begin(struct dyno_shipper *shipper, struct dyno_fleet *fleet,
                                    struct dyno_err *err)
{
    struct dyno_fleet_mark mark = {0};
    shipper->has_begun = shipper->moves_on = false;
    DYNO_TRY(list_files(shipper, err));
    enum dyno_status status = find_file(shipper, fleet, &mark, err);
    if (status == DYNO_OK)
        status = check_place(shipper, fleet, &mark, err);
    if (status == DYNO_OK)
        status = check_retired(shipper, fleet, &mark, err);
    close_file(shipper);
    if (status != DYNO_OK)
        return status;
    shipper->has_begun = true;
    shipper->number = mark.group_count;
    shipper->head_place = mark.head_count + 1;
    shipper->shipped.node = shipper->opening.node;
    return DYNO_OK;
}

/* --- a delivery --- */

static enum dyno_status keep_group(struct dyno_shipper *shipper,
                                   const struct dyno_ledger_group *group, struct dyno_err *err)
{
    const struct dyno_items *items = &group->items;
    struct dyno_fleet_group *kept = &shipper->groups[shipper->group_count];
    *kept = (struct dyno_fleet_group){0};
    if (items->seed != NULL)
        kept->items_bytes = DYNO_SEED_BYTES + (size_t)items->entries_bytes +
                            (size_t)items->record_count * DYNO_RECORD_BYTES;
    kept->header = dyno_arena_memdup(shipper->batch, group->header, DYNO_GROUP_HEADER_BYTES);
    if (kept->items_bytes > 0)
        kept->items = dyno_arena_memdup(shipper->batch, items->seed, kept->items_bytes);
    if (kept->header == NULL || (kept->items == NULL && kept->items_bytes > 0))
        return DYNO_NOMEM(err);
    shipper->group_count++;
    shipper->bytes += DYNO_GROUP_HEADER_BYTES + kept->items_bytes;
    shipper->records += group->group.record_count;
    shipper->last = group->group;
    return DYNO_OK;
}

static enum dyno_status collect_groups(struct dyno_shipper *shipper, uint64_t *oldest_ns,
                                       struct dyno_err *err)
{
    while (shipper->group_count < GROUPS_MAX && shipper->bytes < BYTES_MAX) {
        const uint64_t number = shipper->number + shipper->group_count;
        struct dyno_ledger_group group;
        bool found = false;
        DYNO_TRY(dyno_ledger_file_group(shipper->file, number, &group, &found, err));
        if (!found)
            return DYNO_OK;
        if (group.group.number != number)
            return DYNO_FAIL(err, DYNO_E_CORRUPT, "\"%s\": group %" PRIu64 " is missing",
                             dyno_ledger_file_path(shipper->file), number);
        if (shipper->group_count == 0)
            *oldest_ns = group.group.time_ns;
        DYNO_TRY(keep_group(shipper, &group, err));
    }
    shipper->is_end = false;
    return DYNO_OK;
}

/* Those over groups that the fleet will have. */
static enum dyno_status collect_heads(struct dyno_shipper *shipper, struct dyno_err *err)
{
    uint64_t place = shipper->head_place;
    while (shipper->head_count < HEADS_MAX) {
        struct dyno_ledger_head head;
        bool found = false;
        DYNO_TRY(dyno_ledger_file_head(shipper->file, place, &head, &found, err));
        if (!found || head.head.group_count > shipper->number + shipper->group_count)
            return DYNO_OK;
        place = head.head.group_count + 1;
        head.bytes = dyno_arena_memdup(shipper->batch, head.bytes, DYNO_HEAD_BYTES);
        head.proof = dyno_arena_memdup(shipper->batch, head.proof, head.proof_bytes);
        if (head.bytes == NULL || head.proof == NULL)
            return DYNO_NOMEM(err);
        shipper->heads[shipper->head_count++] = head;
    }
    shipper->is_end = false;
    return DYNO_OK;
}

static enum dyno_status collect(struct dyno_shipper *shipper, struct dyno_err *err)
{
    dyno_arena_reset(shipper->batch);
    shipper->group_count = shipper->head_count = shipper->bytes = 0;
    shipper->records = 0;
    shipper->is_end = true;
    DYNO_TRY(collect_groups(shipper, &shipper->shipped.oldest_ns, err));
    return collect_heads(shipper, err);
}

static enum dyno_status read_some(struct dyno_shipper *shipper, struct dyno_err *err)
{
    if (shipper->moves_on)
        DYNO_TRY(move_on(shipper, err));
    shipper->moves_on = false;
    /* Before it is read: what it has got until then counts. */
    DYNO_TRY(has_next(shipper, &shipper->has_more, err));
    if (shipper->file == NULL)
        DYNO_TRY(dyno_ledger_file_open(shipper->path, &shipper->file, err));
    return collect(shipper, err);
}

enum dyno_status dyno_shipper_read(struct dyno_shipper *shipper, struct dyno_err *err)
{
    DYNO_ASSERT(shipper->has_begun);
    const enum dyno_status status = read_some(shipper, err);
    close_file(shipper);
    return status;
}

/* *is_theirs_out: somebody else ships these files, too, and it is begun again. */
static enum dyno_status deliver(struct dyno_shipper *shipper, struct dyno_fleet *fleet,
                                bool *is_theirs_out, struct dyno_err *err)
{
    const struct dyno_fleet_delivery delivery = {.node = shipper->opening.node,
                                                 .groups = shipper->groups,
                                                 .group_count = shipper->group_count,
                                                 .openings = &shipper->opening,
                                                 .opening_count = 1,
                                                 .heads = shipper->heads,
                                                 .head_count = shipper->head_count};
    struct dyno_fleet_mark mark;
    struct dyno_shipped *shipped = &shipper->shipped;
    DYNO_TRY(dyno_fleet_deliver(fleet, &delivery, &mark, err));
    *is_theirs_out = mark.group_count != shipper->number + shipper->group_count;
    if (*is_theirs_out)
        return dyno_shipper_begin(shipper, fleet, err);
    shipper->number = mark.group_count;
    shipper->head_place = mark.head_count + 1;
    if (shipper->group_count == 0)
        return DYNO_OK;
    shipped->groups += shipper->group_count;
    shipped->records += shipper->records;
    note(shipper, shipper->last.epoch, shipper->last.first_seq + shipper->last.record_count - 1,
         shipper->last.sent_seq);
    shipped->oldest_ns = shipper->last.time_ns;
    return DYNO_OK;
}

enum dyno_status dyno_shipper_send(struct dyno_shipper *shipper, struct dyno_fleet *fleet,
                                   bool *is_all_out, struct dyno_err *err)
{
    bool is_theirs = false;
    *is_all_out = false;
    if (shipper->group_count > 0 || shipper->head_count > 0)
        DYNO_TRY(deliver(shipper, fleet, &is_theirs, err));
    if (is_theirs || !shipper->is_end)
        return DYNO_OK;
    shipper->moves_on = shipper->has_more;
    *is_all_out = !shipper->has_more;
    if (*is_all_out)
        shipper->shipped.oldest_ns = 0;
    return DYNO_OK;
}
