/* verify.h - is a ledger what it was when it was written?
 *
 * Every group is hashed again: links, trees, heads with their proofs and signatures, names,
 * records, and that nothing is missing between the first and the last.  What was cut off behind the
 * last head that somebody else has kept cannot be seen from the files alone: `heads` are for that.
 */
#ifndef DYNO_METER_LEDGER_VERIFY_H
#define DYNO_METER_LEDGER_VERIFY_H

#include "meter/ledger/reader.h"

struct dyno_verify_options {
    const struct dyno_ledger_store *store; /* NULL: the names are paths */
    const uint8_t *key; /* DYNO_KEY_BYTES; every head must be signed by it; NULL: by any */
    /* Published ones, by the groups that they are over, rising: the ledger must have had their
     * roots when it was as large, and end with one that is the last. */
    const struct dyno_head *heads;
    size_t head_count;
    void (*on_step)(void *arg, uint64_t records,
                    const char *path); /* after each group; may be NULL */
    void *arg;
};

struct dyno_verify_report {
    uint32_t node;
    uint64_t files, groups, records, epochs, heads, signed_heads;
    uint64_t usage, voids, unconfirmed; /* records; voids of records that are voided */
    uint64_t first_group;               /* 0: from the beginning */
    dyno_u128 device_ns, reference_ns;  /* of usage */
    bool has_end;                       /* the last file was closed in order */
    bool is_retired;                    /* one of options.heads is the last one */
    size_t seen_heads;                  /* of options.heads: all, when it is good */
    struct dyno_digest chain, root;     /* at the end */
};

/* The files in their order, one after another in a ledger.  The first thing that is wrong is a
 * sentence with file and place: E_CORRUPT (also E_FORMAT, E_UNSUPPORTED, E_IO, E_NOMEM,
 * E_NOT_FOUND). E_MISMATCH: files that do not follow one another, another key, a head that is of no
 * such ledger. The report holds what was seen until then. */
enum dyno_status dyno_ledger_verify(const char *const *paths, size_t path_count,
                                    const struct dyno_verify_options *options,
                                    struct dyno_verify_report *report_out, struct dyno_err *err);

#endif /* DYNO_METER_LEDGER_VERIFY_H */
