/* parts.c - files in the order of their groups, and the gaps between them. */
#include "meter/ledger/parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/calendar.h"

#define NS_A_S    UINT64_C(1000000000)
#define TEXT_ROOM 96

/* --- finding them --- */

struct dyno_ledger_part dyno_ledger_part_begin(const struct dyno_ledger_file *file)
{
    const struct dyno_opening *opening = dyno_ledger_file_opening(file);
    return (struct dyno_ledger_part){
        .name = dyno_ledger_file_path(file),
        .node = opening->node,
        .file = opening->segment,
        .first = opening->frontier.count,
        .end = opening->frontier.count,
        .after_ns = opening->time_ns,
    };
}

static enum dyno_status find_one(const struct dyno_ledger_store *store, const char *name,
                                 struct dyno_ledger_part *part_out, struct dyno_err *err)
{
    struct dyno_ledger_file *file = NULL;
    uint64_t last = 0;
    bool found = false;
    DYNO_TRY(dyno_ledger_store_open(store, name, &file, err));
    *part_out = dyno_ledger_part_begin(file);
    part_out->name = name;
    const enum dyno_status status = dyno_ledger_file_last(file, &last, &found, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "\"%s\"", name);
    else if (found)
        part_out->end = last + 1;
    dyno_ledger_file_close(file);
    return status;
}

enum dyno_status dyno_ledger_parts_find(const struct dyno_ledger_store *store,
                                        const char *const *names, size_t count,
                                        struct dyno_arena *arena,
                                        struct dyno_ledger_part **parts_out, struct dyno_err *err)
{
    *parts_out = dyno_arena_alloc(arena, count + 1, sizeof(**parts_out));
    if (*parts_out == NULL)
        return DYNO_NOMEM(err);
    for (size_t i = 0; i < count; i++)
        DYNO_TRY(find_one(store, names[i], &(*parts_out)[i], err));
    return DYNO_OK;
}

/* --- gaps --- */

static int compare(const void *left, const void *right)
{
    const struct dyno_ledger_part *a = left;
    const struct dyno_ledger_part *b = right;
    const uint64_t pairs[][2] = {
        {a->node, b->node}, {a->first, b->first}, {a->end, b->end}, {a->file, b->file}};
    for (size_t i = 0; i < DYNO_COUNT(pairs); i++)
        if (pairs[i][0] != pairs[i][1])
            return pairs[i][0] < pairs[i][1] ? -1 : 1;
    return 0;
}

/* What lies between two parts (before NULL: before the first one), in words: files, or groups,
 * where somebody took the end of a file away. */
static const char *tell_missing(const struct dyno_ledger_part *before,
                                const struct dyno_ledger_part *after, char out[TEXT_ROOM])
{
    const uint32_t next = before != NULL ? before->file + 1 : 1;
    const bool are_files = after->file > next;
    const uint64_t from = are_files ? next : before != NULL ? before->end : 0;
    const uint64_t to = are_files ? after->file - 1U : after->first - 1;
    const char *what = are_files ? "file" : "group";
    if (from == to)
        (void)snprintf(out, TEXT_ROOM, "%s %" PRIu64 " is missing", what, from);
    else
        (void)snprintf(out, TEXT_ROOM, "%ss %" PRIu64 " to %" PRIu64 " are missing", what, from,
                       to);
    return out;
}

void dyno_ledger_parts_sort(struct dyno_ledger_part *parts, size_t count)
{
    if (count > 0)
        qsort(parts, count, sizeof(*parts), compare);
}

enum dyno_status dyno_ledger_parts_check(struct dyno_ledger_part *parts, size_t count,
                                         uint64_t from_ns, bool needs_begin, struct dyno_err *err)
{
    const struct dyno_ledger_part *last = NULL; /* of its node, the one that goes furthest */
    char missing[TEXT_ROOM];
    char when[DYNO_TIME_TEXT_ROOM];
    dyno_ledger_parts_sort(parts, count);
    for (size_t i = 0; i < count; i++) {
        const struct dyno_ledger_part *part = &parts[i];
        if (last != NULL && last->node != part->node)
            last = NULL;
        const bool is_needed = part->after_ns > from_ns;
        if (last != NULL && part->first > last->end && is_needed)
            return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "%s between \"%s\" and \"%s\"",
                             tell_missing(last, part, missing), last->name, part->name);
        if (last == NULL && part->first > 0 && needs_begin && is_needed)
            return DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                             "\"%s\" goes on from %s, and this time needs what is before it: %s",
                             part->name, dyno_time_text((int64_t)(part->after_ns / NS_A_S), when),
                             tell_missing(NULL, part, missing));
        if (last == NULL || part->end > last->end)
            last = part;
    }
    return DYNO_OK;
}
