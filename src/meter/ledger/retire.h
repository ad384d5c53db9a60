/* retire.h - the end of a ledger whose node never comes back: its last head.
 *
 * A node that died made no head over what it wrote last, so nobody can tell from its ledger that
 * nothing comes after.  Whoever runs the fleet says so, once, with a head that is marked as the
 * last (docs/ledger-format.md, "Retirement"): over all groups that there are, with a proof that it
 * goes on from the head before, signed with the same key.  Nothing may come after it.  It is kept
 * beside the files, or in the fleet's database (meter/fleet), as a line of heads.h.
 */
#ifndef DYNO_METER_LEDGER_RETIRE_H
#define DYNO_METER_LEDGER_RETIRE_H

#include "meter/ledger/heads.h"
#include "meter/ledger/reader.h"

#define DYNO_RETIREMENT_FILE "retired" /* in the folder of a ledger */

/* A node that lives makes a head every hour: before so long after its last group it may live. */
#define DYNO_RETIRE_AFTER_NS (UINT64_C(3600) * 1000000000U)

/* The last head of the ledger that these files are (of the store; NULL: paths), which the caller
 * has verified.  E_BUSY: its last group is not old enough, and it did not end in order; E_DENIED:
 * its heads are signed, and the signer (NULL: none) has another key; errors of reader.h. */
enum dyno_status dyno_retirement_make(const struct dyno_ledger_store *store,
                                      const char *const *paths, size_t path_count,
                                      struct dyno_signer *signer, uint64_t now_ns,
                                      struct dyno_head_line *line_out, struct dyno_err *err);

/* Of a folder; *found_out false: it is not retired.  E_FORMAT, E_CORRUPT, E_IO. */
enum dyno_status dyno_retirement_read(const char *folder, struct dyno_head_line *line_out,
                                      bool *found_out, struct dyno_err *err);
/* Durable when it returns.  The caller holds the folder's lock (dyno_ledger_lock). */
enum dyno_status dyno_retirement_write(const char *folder, const struct dyno_head_line *line,
                                       struct dyno_err *err);

/* A stored one: is it the last head of a ledger, and its signature right?  E_FORMAT, E_CORRUPT. */
enum dyno_status dyno_retirement_check(const struct dyno_head_line *line, struct dyno_err *err);

/* E_DENIED, saying that this ledger does not go on. */
enum dyno_status dyno_retirement_refuse(const struct dyno_head *last, struct dyno_err *err);

#endif /* DYNO_METER_LEDGER_RETIRE_H */
