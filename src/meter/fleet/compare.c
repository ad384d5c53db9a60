/* compare.c - a node's file beside the fleet's copy of it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "meter/fleet/internal.h"

#define NAME_ROOM 48

static enum dyno_status differs(const char *what, uint64_t number, struct dyno_err *err)
{
    return DYNO_FAIL(err, DYNO_E_MISMATCH, "%s %" PRIu64 " is another one in the fleet", what,
                     number);
}

static bool same_items(const struct dyno_items *a, const struct dyno_items *b)
{
    const size_t bytes =
        (size_t)DYNO_SEED_BYTES + a->entries_bytes + (size_t)a->record_count * DYNO_RECORD_BYTES;
    if (a->entries_bytes != b->entries_bytes || a->record_count != b->record_count ||
        (a->seed == NULL) != (b->seed == NULL))
        return false;
    return a->seed == NULL || memcmp(a->seed, b->seed, bytes) == 0;
}

static enum dyno_status compare_groups(struct dyno_ledger_file *ours,
                                       struct dyno_ledger_file *theirs, uint64_t *records_out,
                                       struct dyno_err *err)
{
    *records_out = 0;
    for (uint64_t number = 0;;) {
        struct dyno_ledger_group a;
        struct dyno_ledger_group b;
        bool has_a = false;
        bool has_b = false;
        DYNO_TRY(dyno_ledger_file_group(ours, number, &a, &has_a, err));
        DYNO_TRY(dyno_ledger_file_group(theirs, number, &b, &has_b, err));
        if (!has_a && !has_b)
            return DYNO_OK;
        if (has_a && (!has_b || b.group.number != a.group.number))
            return DYNO_FAIL(err, DYNO_E_NOT_FOUND, "the fleet has no group %" PRIu64 " yet",
                             a.group.number);
        if (!has_a || memcmp(a.header, b.header, DYNO_GROUP_HEADER_BYTES) != 0 ||
            !same_items(&a.items, &b.items))
            return differs("group", b.group.number, err);
        *records_out += a.group.record_count;
        number = a.group.number + 1;
    }
}

static enum dyno_status compare_heads(struct dyno_ledger_file *ours,
                                      struct dyno_ledger_file *theirs, struct dyno_err *err)
{
    for (uint64_t place = 0;;) {
        struct dyno_ledger_head a;
        struct dyno_ledger_head b;
        bool has_a = false;
        bool has_b = false;
        DYNO_TRY(dyno_ledger_file_head(ours, place, &a, &has_a, err));
        DYNO_TRY(dyno_ledger_file_head(theirs, place, &b, &has_b, err));
        if (!has_a && !has_b)
            return DYNO_OK;
        if (has_a && !has_b)
            return DYNO_FAIL(err, DYNO_E_NOT_FOUND,
                             "the fleet has no head over %" PRIu64 " groups yet",
                             a.head.group_count);
        if (!has_a || memcmp(a.bytes, b.bytes, DYNO_HEAD_BYTES) != 0 ||
            a.proof_bytes != b.proof_bytes || memcmp(a.proof, b.proof, a.proof_bytes) != 0)
            return differs("the head over groups", b.head.group_count, err);
        place = a.head.group_count + 1;
    }
}

static enum dyno_status compare(struct dyno_ledger_file *ours, struct dyno_ledger_file *theirs,
                                uint64_t *records_out, struct dyno_err *err)
{
    uint8_t a[DYNO_OPENING_BYTES_MAX];
    uint8_t b[DYNO_OPENING_BYTES_MAX];
    const size_t bytes = dyno_opening_encode(dyno_ledger_file_opening(ours), a);
    if (bytes != dyno_opening_encode(dyno_ledger_file_opening(theirs), b) ||
        memcmp(a, b, bytes) != 0)
        return DYNO_FAIL(err, DYNO_E_MISMATCH, "its opening is another one in the fleet");
    DYNO_TRY(compare_groups(ours, theirs, records_out, err));
    return compare_heads(ours, theirs, err);
}

enum dyno_status dyno_fleet_compare(struct dyno_fleet *fleet, const char *path,
                                    uint64_t *records_out, struct dyno_err *err)
{
    struct dyno_ledger_file *ours = NULL;
    struct dyno_ledger_file *theirs = NULL;
    char name[NAME_ROOM];
    DYNO_TRY(dyno_ledger_file_open(path, &ours, err));
    const struct dyno_opening *opening = dyno_ledger_file_opening(ours);
    (void)snprintf(name, sizeof(name), "node %" PRIu32 ", file %" PRIu32, opening->node,
                   opening->segment);
    enum dyno_status status = dyno_fleet_file_open(fleet, name, &theirs, err);
    if (status == DYNO_OK)
        status = compare(ours, theirs, records_out, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "\"%s\"", path);
    dyno_ledger_file_close(theirs);
    dyno_ledger_file_close(ours);
    return status;
}
