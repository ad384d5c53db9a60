/* scan.h - every record of a ledger with its names, and with what became of its answer.
 *
 * Reads the files twice: whether a record counts stands in groups after it.  A file that is being
 * written is read up to where it ended at the first reading.  Hashes are not looked at (verify.h).
 */
#ifndef DYNO_METER_LEDGER_SCAN_H
#define DYNO_METER_LEDGER_SCAN_H

#include "meter/ledger/reader.h"

/* X(symbol, text) */
#define DYNO_RECORD_STATE_MAP(X)                                               \
    X(SENT, "sent")               /* its answer has left, or there was none */ \
    X(UNCONFIRMED, "unconfirmed") /* not known to have left: rated 0 */        \
    X(VOIDED, "voided")           /* a record after it says that it did not leave: rated 0 */

enum dyno_record_state {
#define X(sym, text) DYNO_RECORD_STATE_##sym,
    DYNO_RECORD_STATE_MAP(X)
#undef X
};

const char *dyno_record_state_text(enum dyno_record_state state);

struct dyno_scanned {
    struct dyno_record record;
    const char *names[DYNO_NAME_KINDS]; /* by enum dyno_name_kind - 1; "" for none */
    enum dyno_record_state state;
    uint64_t group;
};

/* Another status than DYNO_OK ends the scan, which returns it.  What `scanned` points to lives
 * during the call. */
typedef enum dyno_status dyno_scan_fn(void *arg, const struct dyno_scanned *scanned,
                                      struct dyno_err *err);

/* Files in any order and of any nodes, each once: a record that comes twice is E_ARG.  E_CORRUPT (a
 * group is missing inside of a file, too), E_FORMAT, E_UNSUPPORTED, E_IO, E_NOMEM, naming file and
 * place. */
enum dyno_status dyno_ledger_scan(const char *const *paths, size_t path_count, dyno_scan_fn *fn,
                                  void *arg, struct dyno_err *err);

/* The same of files that a store has by these names; NULL: they are paths. */
enum dyno_status dyno_ledger_scan_store(const struct dyno_ledger_store *store,
                                        const char *const *paths, size_t path_count,
                                        dyno_scan_fn *fn, void *arg, struct dyno_err *err);

#endif /* DYNO_METER_LEDGER_SCAN_H */
