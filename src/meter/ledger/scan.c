/* scan.c - two readings: what has left and what is void; then the records. */
#include "meter/ledger/scan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

const char *dyno_record_state_text(enum dyno_record_state state)
{
    static const char *const texts[] = {
#define X(sym, text) text,
        DYNO_RECORD_STATE_MAP(X)
#undef X
    };
    return texts[state];
}

/* --- growing lists --- */

struct list {
    void *items;
    size_t count, room;
};

static void *push(struct list *list, size_t item_bytes)
{
    if (list->count == list->room) {
        const size_t room = list->room == 0 ? 64 : 2 * list->room;
        void *moved = dyno_realloc(list->items, list->count * item_bytes, room, item_bytes);
        if (moved == NULL)
            return NULL;
        list->items = moved;
        list->room = room;
    }
    return (char *)list->items + list->count++ * item_bytes;
}

/* How far the answers of an epoch have left, and which records of it a file has: none, where
 * last_seq is 0. */
struct mark {
    uint32_t node, epoch;
    uint64_t sent_seq, first_seq, last_seq;
};

struct scan {
    const struct dyno_ledger_store *store;
    dyno_scan_fn *fn;
    void *arg;
    struct list marks; /* struct mark, by node and epoch once all are known */
    size_t old_marks;  /* of them, those of other files than that which is read */
    struct list voids; /* struct dyno_record_id, by node, epoch and seq */
    uint64_t *ends;    /* of each file: groups from this number on are not looked at */
    uint64_t mark_seq; /* of the epoch that is being read */
    struct dyno_ledger_names names;
};

static int compare_ids(const void *a, const void *b)
{
    const struct dyno_record_id *x = a;
    const struct dyno_record_id *y = b;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    if (x->epoch != y->epoch)
        return x->epoch < y->epoch ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int compare_marks(const void *a, const void *b)
{
    const struct mark *x = a;
    const struct mark *y = b;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    return x->epoch < y->epoch ? -1 : x->epoch > y->epoch;
}

/* And by records. */
static int compare_parts(const void *a, const void *b)
{
    const struct mark *x = a;
    const struct mark *y = b;
    const int by_epoch = compare_marks(a, b);
    if (by_epoch != 0)
        return by_epoch;
    return x->last_seq < y->last_seq ? -1 : x->last_seq > y->last_seq;
}

/* --- the first reading --- */

static enum dyno_status twice(const struct mark *mark, uint64_t seq, struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_ARG,
                     "record %" PRIu32 "-%" PRIu32 "-%" PRIu64
                     " comes twice: its file is given twice",
                     mark->node, mark->epoch, seq);
}

static enum dyno_status note_mark(struct scan *scan, const struct dyno_group *group,
                                  struct dyno_err *err)
{
    struct mark *last = scan->marks.count > scan->old_marks
                            ? (struct mark *)scan->marks.items + scan->marks.count - 1
                            : NULL;
    if (last == NULL || last->node != group->node || last->epoch != group->epoch) {
        last = push(&scan->marks, sizeof(*last));
        if (last == NULL)
            return DYNO_NOMEM(err);
        *last = (struct mark){.node = group->node, .epoch = group->epoch};
    }
    if (group->sent_seq > last->sent_seq)
        last->sent_seq = group->sent_seq;
    if (group->record_count == 0)
        return DYNO_OK;
    if (group->first_seq <= last->last_seq)
        return twice(last, group->first_seq, err);
    if (last->last_seq == 0)
        last->first_seq = group->first_seq;
    last->last_seq = group->first_seq + group->record_count - 1;
    return DYNO_OK;
}

static enum dyno_status note_voids(struct scan *scan, const struct dyno_items *items,
                                   struct dyno_err *err)
{
    for (uint32_t i = 0; i < items->record_count; i++) {
        const uint8_t *bytes = items->records + (size_t)i * DYNO_RECORD_BYTES;
        struct dyno_record record;
        if (bytes[2] != DYNO_RECORD_VOID) /* the kind lies there; the second reading checks it */
            continue;
        DYNO_TRY(dyno_record_decode(bytes, &record, err));
        struct dyno_record_id *id = push(&scan->voids, sizeof(*id));
        if (id == NULL)
            return DYNO_NOMEM(err);
        *id = record.voids;
    }
    return DYNO_OK;
}

static enum dyno_status read_marks(struct scan *scan, struct dyno_ledger_file *file,
                                   uint64_t *end_out, struct dyno_err *err)
{
    uint64_t number = dyno_ledger_file_opening(file)->frontier.count;
    scan->old_marks = scan->marks.count;
    for (;; number++) {
        struct dyno_ledger_group group;
        bool found = false;
        DYNO_TRY(dyno_ledger_file_group(file, number, &group, &found, err));
        *end_out = number;
        if (!found)
            return DYNO_OK;
        if (group.group.number != number)
            return DYNO_FAIL(err, DYNO_E_CORRUPT, "group %" PRIu64 " is missing", number);
        DYNO_TRY(note_mark(scan, &group.group, err));
        DYNO_TRY(note_voids(scan, &group.items, err));
    }
}

/* An epoch that goes on over several files has a mark for each: together they say it all. */
static enum dyno_status merge_marks(struct scan *scan, struct dyno_err *err)
{
    struct mark *marks = scan->marks.items;
    size_t count = 0;
    if (scan->marks.count == 0)
        return DYNO_OK;
    qsort(marks, scan->marks.count, sizeof(*marks), compare_parts);
    for (size_t i = 1; i < scan->marks.count; i++) {
        if (compare_marks(&marks[count], &marks[i]) != 0) {
            marks[++count] = marks[i];
            continue;
        }
        if (marks[count].last_seq > 0 && marks[i].first_seq <= marks[count].last_seq)
            return twice(&marks[i], marks[i].first_seq, err);
        marks[count].last_seq = marks[i].last_seq;
        if (marks[i].sent_seq > marks[count].sent_seq)
            marks[count].sent_seq = marks[i].sent_seq;
    }
    scan->marks.count = count + 1;
    return DYNO_OK;
}

/* --- the second reading --- */

static enum dyno_record_state state_of(const struct scan *scan, const struct dyno_record *record)
{
    if (scan->voids.count > 0 && bsearch(&record->id, scan->voids.items, scan->voids.count,
                                         sizeof(record->id), compare_ids) != NULL)
        return DYNO_RECORD_STATE_VOIDED;
    /* What has no answer waits for none. */
    return record->kind != DYNO_RECORD_USAGE || record->id.seq <= scan->mark_seq
               ? DYNO_RECORD_STATE_SENT
               : DYNO_RECORD_STATE_UNCONFIRMED;
}

static enum dyno_status show_record(struct scan *scan, const struct dyno_ledger_group *group,
                                    uint32_t i, struct dyno_err *err)
{
    struct dyno_scanned scanned = {.group = group->group.number};
    DYNO_TRY(dyno_record_decode(group->items.records + (size_t)i * DYNO_RECORD_BYTES,
                                &scanned.record, err));
    for (uint32_t kind = 0; kind < DYNO_NAME_KINDS; kind++) {
        scanned.names[kind] = dyno_ledger_names_text(&scan->names, (enum dyno_name_kind)(kind + 1),
                                                     scanned.record.names[kind]);
        if (scanned.names[kind] == NULL)
            return DYNO_FAIL(err, DYNO_E_CORRUPT, "there is no %s %" PRIu32,
                             dyno_name_kind_text(kind + 1), scanned.record.names[kind]);
    }
    scanned.state = state_of(scan, &scanned.record);
    return scan->fn(scan->arg, &scanned, err);
}

static enum dyno_status show_group(struct scan *scan, const struct dyno_ledger_group *group,
                                   struct dyno_err *err)
{
    const struct mark key = {.node = group->group.node, .epoch = group->group.epoch};
    const struct mark *mark =
        bsearch(&key, scan->marks.items, scan->marks.count, sizeof(key), compare_marks);
    scan->mark_seq = mark != NULL ? mark->sent_seq : 0;
    enum dyno_status status = dyno_ledger_names_add(&scan->names, &group->items, err);
    uint32_t i = 0;
    for (; i < group->items.record_count && status == DYNO_OK; i++)
        status = show_record(scan, group, i, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "group %" PRIu64 ", item %" PRIu32, group->group.number, i);
    return status;
}

static enum dyno_status show_file(struct scan *scan, struct dyno_ledger_file *file, uint64_t end,
                                  struct dyno_err *err)
{
    uint64_t number = 0;
    dyno_ledger_names_fini(&scan->names);
    for (;;) {
        struct dyno_ledger_group group;
        bool found = false;
        DYNO_TRY(dyno_ledger_file_group(file, number, &group, &found, err));
        if (!found || group.group.number >= end)
            return DYNO_OK;
        number = group.group.number + 1;
        DYNO_TRY(show_group(scan, &group, err));
    }
}

static enum dyno_status read_file(struct scan *scan, const char *path, uint64_t *end, bool shows,
                                  struct dyno_err *err)
{
    struct dyno_ledger_file *file = NULL;
    DYNO_TRY(dyno_ledger_store_open(scan->store, path, &file, err));
    const enum dyno_status status =
        shows ? show_file(scan, file, *end, err) : read_marks(scan, file, end, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "\"%s\"", path);
    dyno_ledger_file_close(file);
    return status;
}

enum dyno_status dyno_ledger_scan(const char *const *paths, size_t path_count, dyno_scan_fn *fn,
                                  void *arg, struct dyno_err *err)
{
    return dyno_ledger_scan_store(NULL, paths, path_count, fn, arg, err);
}

enum dyno_status dyno_ledger_scan_store(const struct dyno_ledger_store *store,
                                        const char *const *paths, size_t path_count,
                                        dyno_scan_fn *fn, void *arg, struct dyno_err *err)
{
    struct scan scan = {.store = store, .fn = fn, .arg = arg};
    enum dyno_status status = DYNO_OK;
    scan.ends = dyno_alloc(path_count + 1, sizeof(*scan.ends));
    if (scan.ends == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < path_count && status == DYNO_OK; i++)
        status = read_file(&scan, paths[i], &scan.ends[i], false, err);
    if (status == DYNO_OK) {
        status = merge_marks(&scan, err);
        if (status == DYNO_OK && scan.voids.count > 0)
            qsort(scan.voids.items, scan.voids.count, sizeof(struct dyno_record_id), compare_ids);
    }
    for (size_t i = 0; i < path_count && status == DYNO_OK; i++)
        status = read_file(&scan, paths[i], &scan.ends[i], true, err);
    dyno_ledger_names_fini(&scan.names);
    dyno_free(scan.marks.items);
    dyno_free(scan.voids.items);
    dyno_free(scan.ends);
    return status;
}
