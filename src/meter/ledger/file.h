/* file.h - what reader.h is made of: a file of a ledger that can be read, wherever it lies.
 *
 * Whoever makes one puts this struct first in his own, fills in `ops`, `name` and `opening`, and
 * gives it out as dyno_ledger_file_open does.  The functions promise what reader.h says of the
 * calls of their names.
 */
#ifndef DYNO_METER_LEDGER_FILE_H
#define DYNO_METER_LEDGER_FILE_H

#include "meter/ledger/reader.h"

struct dyno_ledger_file_ops {
    /* dyno_ledger_file_header, or with has_items dyno_ledger_file_group */
    enum dyno_status (*group)(struct dyno_ledger_file *file, uint64_t number, bool has_items,
                              struct dyno_ledger_group *group_out, bool *found_out,
                              struct dyno_err *err);
    enum dyno_status (*last)(struct dyno_ledger_file *file, uint64_t *number_out, bool *found_out,
                             struct dyno_err *err);
    enum dyno_status (*head)(struct dyno_ledger_file *file, uint64_t group_count,
                             struct dyno_ledger_head *head_out, bool *found_out,
                             struct dyno_err *err);
    void (*close)(struct dyno_ledger_file *file); /* frees it, but not `name` */
};

struct dyno_ledger_file {
    const struct dyno_ledger_file_ops *ops;
    const char *name; /* lives as long as the file */
    struct dyno_opening opening;
};

#define DYNO_ITEMS_BYTES_MAX \
    (DYNO_SEED_BYTES + DYNO_ENTRIES_BYTES_MAX + (size_t)DYNO_GROUP_RECORDS_MAX * DYNO_RECORD_BYTES)

/* What lies there as group `number`: E_CORRUPT (it says that it is another one), E_FORMAT, ...,
 * naming the group.  group_out points into the bytes. */
enum dyno_status dyno_ledger_group_open(uint64_t number, const uint8_t *header, size_t header_bytes,
                                        struct dyno_ledger_group *group_out, struct dyno_err *err);
enum dyno_status dyno_ledger_group_open_items(struct dyno_ledger_group *group, const uint8_t *items,
                                              size_t items_bytes, struct dyno_err *err);
/* The same for the head over so many groups. */
enum dyno_status dyno_ledger_head_open(uint64_t group_count, const uint8_t *bytes,
                                       size_t bytes_count, const uint8_t *proof, size_t proof_bytes,
                                       struct dyno_ledger_head *head_out, struct dyno_err *err);

#endif /* DYNO_METER_LEDGER_FILE_H */
