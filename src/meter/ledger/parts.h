/* parts.h - which groups each file of a ledger has, and whether any between them are missing.
 *
 * Files lie in several folders once they are archived, and may be moved on: whoever prints what
 * they hold asks first whether it is all of it.  Hashes are not looked at (verify.h).
 */
#ifndef DYNO_METER_LEDGER_PARTS_H
#define DYNO_METER_LEDGER_PARTS_H

#include "meter/ledger/reader.h"

struct dyno_ledger_part {
    const char *name;    /* its path, or its name in its store */
    uint32_t node, file; /* the file's number */
    uint64_t first, end; /* groups first to end - 1 */
    uint64_t after_ns;   /* when the group before the first one was made */
};

/* What the file says that it begins with; `end` is as `first`: nothing was read of it. */
struct dyno_ledger_part dyno_ledger_part_begin(const struct dyno_ledger_file *file);

/* Those of the files (of the store; NULL: paths), as they stand now; they live in the arena.
 * Errors of the reader, with the path. */
enum dyno_status dyno_ledger_parts_find(const struct dyno_ledger_store *store,
                                        const char *const *names, size_t count,
                                        struct dyno_arena *arena,
                                        struct dyno_ledger_part **parts_out, struct dyno_err *err);

/* By node and group: the order in which a ledger was written. */
void dyno_ledger_parts_sort(struct dyno_ledger_part *parts, size_t count);

/* Is every group there that was made from `from_ns` on: between the files of a node, and, with
 * needs_begin, before the first of them?  Sorts the parts by node and group.  E_NOT_FOUND names the
 * files that are missing, and those beside them. */
enum dyno_status dyno_ledger_parts_check(struct dyno_ledger_part *parts, size_t count,
                                         uint64_t from_ns, bool needs_begin, struct dyno_err *err);

#endif /* DYNO_METER_LEDGER_PARTS_H */
