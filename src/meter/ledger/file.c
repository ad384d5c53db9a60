/* file.c - a file of a ledger, wherever it lies. */
#include "meter/ledger/file.h"

#include <inttypes.h>

/* --- what lies there, opened --- */

enum dyno_status dyno_ledger_group_open(uint64_t number, const uint8_t *header, size_t header_bytes,
                                        struct dyno_ledger_group *group_out, struct dyno_err *err)
{
    *group_out = (struct dyno_ledger_group){.header = header};
    enum dyno_status status = dyno_group_decode(header, header_bytes, &group_out->group, err);
    if (status == DYNO_OK && group_out->group.number != number)
        status = DYNO_FAIL(err, DYNO_E_CORRUPT, "its header says that it is group %" PRIu64,
                           group_out->group.number);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "group %" PRIu64, number);
    return status;
}

enum dyno_status dyno_ledger_group_open_items(struct dyno_ledger_group *group, const uint8_t *items,
                                              size_t items_bytes, struct dyno_err *err)
{
    const enum dyno_status status =
        dyno_items_open(&group->group, items, items_bytes, &group->items, err);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "group %" PRIu64, group->group.number);
    return status;
}

enum dyno_status dyno_ledger_head_open(uint64_t group_count, const uint8_t *bytes,
                                       size_t bytes_count, const uint8_t *proof, size_t proof_bytes,
                                       struct dyno_ledger_head *head_out, struct dyno_err *err)
{
    *head_out =
        (struct dyno_ledger_head){.bytes = bytes, .proof = proof, .proof_bytes = proof_bytes};
    enum dyno_status status = dyno_head_decode(bytes, bytes_count, &head_out->head, err);
    if (status == DYNO_OK && head_out->head.group_count != group_count)
        status = DYNO_FAIL(err, DYNO_E_CORRUPT, "it says that it is over %" PRIu64 " groups",
                           head_out->head.group_count);
    if (status != DYNO_OK)
        dyno_err_prefix(err, "the head over %" PRIu64 " groups", group_count);
    return status;
}

/* --- reader.h --- */

enum dyno_status dyno_ledger_store_open(const struct dyno_ledger_store *store, const char *name,
                                        struct dyno_ledger_file **file_out, struct dyno_err *err)
{
    return store != NULL ? store->open(store->arg, name, file_out, err)
                         : dyno_ledger_file_open(name, file_out, err);
}

void dyno_ledger_file_close(struct dyno_ledger_file *file)
{
    if (file != NULL)
        file->ops->close(file);
}

const char *dyno_ledger_file_path(const struct dyno_ledger_file *file)
{
    return file->name;
}

const struct dyno_opening *dyno_ledger_file_opening(const struct dyno_ledger_file *file)
{
    return &file->opening;
}

enum dyno_status dyno_ledger_file_group(struct dyno_ledger_file *file, uint64_t number,
                                        struct dyno_ledger_group *group_out, bool *found_out,
                                        struct dyno_err *err)
{
    return file->ops->group(file, number, true, group_out, found_out, err);
}

enum dyno_status dyno_ledger_file_header(struct dyno_ledger_file *file, uint64_t number,
                                         struct dyno_ledger_group *group_out, bool *found_out,
                                         struct dyno_err *err)
{
    return file->ops->group(file, number, false, group_out, found_out, err);
}

enum dyno_status dyno_ledger_file_last(struct dyno_ledger_file *file, uint64_t *number_out,
                                       bool *found_out, struct dyno_err *err)
{
    return file->ops->last(file, number_out, found_out, err);
}

enum dyno_status dyno_ledger_file_head(struct dyno_ledger_file *file, uint64_t group_count,
                                       struct dyno_ledger_head *head_out, bool *found_out,
                                       struct dyno_err *err)
{
    return file->ops->head(file, group_count, head_out, found_out, err);
}
