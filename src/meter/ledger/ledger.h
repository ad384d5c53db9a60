/* ledger.h - the ledger of a node, being written: usage records become durable, in groups.
 *
 * A ledger is a folder of files, each a SQLite database (docs/ledger-format.md).  One process at a
 * time writes it; anybody may read the files meanwhile (meter/ledger/reader.h).  Each start makes a
 * new file and a new epoch, which is durable before the first record.
 *
 * Any thread hands over entries, and each has its id then.  One thread, the committer, commits them
 * in the order of their ids, a group at a time, and tells each entry when it is on the disk: then
 * its answer may leave.  When it has left, say so (dyno_ledger_sent): after a crash records whose
 * answer is not known to have left are unconfirmed, and rated 0.
 *
 * A failed write or sync ends the process; it is never tried again, for nobody knows what is on the
 * disk.  Only a full disk is waited for: no new work is admitted (dyno_ledger_admits), entries
 * wait, a reserve that was kept is given free for them, and all goes on when there is space again.
 */
#ifndef DYNO_METER_LEDGER_LEDGER_H
#define DYNO_METER_LEDGER_LEDGER_H

#include "meter/ledger/head.h"

struct dyno_ledger;
struct dyno_ledger_entry;

struct dyno_ledger_options {
    const char *folder;           /* made when it is not there */
    uint32_t node;                /* of all records; a folder belongs to one */
    uint32_t group_records_max;   /* 0: DYNO_GROUP_RECORDS_MAX */
    uint64_t segment_records_max; /* a file is closed after so many; 0: 4,000,000 */
    uint64_t segment_groups_max;  /* or after so many groups, which a start reads; 0: 1,000,000 */
    uint64_t head_interval_ns;    /* 0: an hour */
    uint64_t sent_interval_ns;  /* how late the watermark may be when nothing else is written; 0: a
                                   second */
    uint64_t retry_interval_ns; /* of a full disk; 0: a second */
    uint64_t reserve_bytes;     /* 0: 16 MiB */
    const char *key_path;       /* signs heads; NULL: they are not signed */

    /* The system's clock, ns since 1970; NULL: CLOCK_REALTIME.  Called by the committer. */
    uint64_t (*now_ns)(void *arg);
    /* A head was made; `bytes` and `proof` (head.h) live during the call.  By the committer; may be
     * NULL. */
    void (*on_head)(void *arg, const struct dyno_head *head, const uint8_t *bytes,
                    const uint8_t *proof, size_t proof_bytes);
    /* Entries without a `done` of their own, in a list, when their status is known: a call for
     * those of a group.  By the committer; must be short and must not append.  NULL: every entry
     * has a `done`. */
    void (*told)(void *arg, struct dyno_ledger_entry *entries);
    /* Around the telling of a group that is durable, `last_seq` being its last record's.  By the
     * committer; may be NULL. */
    void (*group_begins)(void *arg);
    void (*group_ends)(void *arg, uint64_t last_seq);
    /* The disk failed; does not return.  NULL: the sentence is logged, and abort() called. */
    void (*on_failure)(void *arg, const struct dyno_err *err);
    void *arg;
};

/* E_BUSY: another process writes it; E_MISMATCH: of another node; E_DENIED: it was retired;
 * E_CORRUPT, E_FORMAT: the last
 * file is damaged, and a person must look; E_IO, E_NOMEM, E_UNSUPPORTED. */
enum dyno_status dyno_ledger_open(const struct dyno_ledger_options *options,
                                  struct dyno_ledger **ledger_out, struct dyno_err *err);

/* What whoever writes a ledger holds: the lock of its folder; close(2) lets it go.  E_BUSY, E_IO,
 * E_LIMIT. */
enum dyno_status dyno_ledger_lock(const char *folder, int *fd_out, struct dyno_err *err);

/* Commits what is pending, closes the file in order and makes a last head.  Nobody appends any
 * more. E_IO when the disk stays full: what is still pending is told E_CANCELLED.  Accepts NULL. */
enum dyno_status dyno_ledger_close(struct dyno_ledger *ledger, struct dyno_err *err);

/* Should new work be admitted?  Any thread; cheap. */
bool dyno_ledger_admits(const struct dyno_ledger *ledger);
uint32_t dyno_ledger_epoch(const struct dyno_ledger *ledger);
/* The last record that is durable; 0: none of this epoch yet.  Any thread. */
uint64_t dyno_ledger_durable_seq(const struct dyno_ledger *ledger);

/* A handle for a name, for the names of records: the same for the same kind and text, as long as
 * the ledger is open; from 1 on.  Any thread; takes a lock: ask once, not a request.  E_ARG: no
 * name. */
enum dyno_status dyno_ledger_name(struct dyno_ledger *ledger, enum dyno_name_kind kind,
                                  const char *text, uint32_t *handle_out, struct dyno_err *err);

/* One record on its way.  The caller's, and not to be touched from append until `done`. */
struct dyno_ledger_entry {
    struct dyno_record record; /* names are handles; id (and the node of `voids`) is written by
                                  append */
    /* By the committer, when `status` is known: DYNO_OK, the record is durable, or E_CANCELLED.
     * Must be short and must not append; the entry is the caller's again.  NULL: options.told. */
    void (*done)(struct dyno_ledger_entry *entry);
    enum dyno_status status;
    uint64_t durable_ns;            /* of dyno_clock_ns, with DYNO_OK: when it was written */
    struct dyno_ledger_entry *next; /* in a list; NULL: the last, and when it was told */
};

/* One or more, as a list.  Any thread; never waits for the disk.  The records must pass
 * dyno_record_check, handles be of dyno_ledger_name: what is wrong here is an error of ours. */
void dyno_ledger_append(struct dyno_ledger *ledger, struct dyno_ledger_entry *entries);

/* The answers of the usage records `seqs` of this epoch have left.  (Records of other kinds have
 * none; a void settles the one that it is of.)  Any thread.  E_NOMEM: it may be said again. */
enum dyno_status dyno_ledger_sent(struct dyno_ledger *ledger, const uint64_t *seqs, size_t count,
                                  struct dyno_err *err);

/* Up to which record of this epoch all answers have left, or were voided.  Any thread. */
uint64_t dyno_ledger_sent_seq(struct dyno_ledger *ledger);

#endif /* DYNO_METER_LEDGER_LEDGER_H */
