/* segment.h - one file of a ledger, being written.  One thread at a time. */
#ifndef DYNO_METER_LEDGER_SEGMENT_H
#define DYNO_METER_LEDGER_SEGMENT_H

#include "db/db.h"
#include "meter/ledger/head.h"

#define DYNO_LEDGER_SUFFIX     ".ledger"
#define DYNO_SEGMENT_PATH_ROOM 4096

extern const struct dyno_db_kind dyno_ledger_kind;

struct dyno_segment {
    struct dyno_db db;
    struct dyno_stmt put_group, put_head;
    uint32_t number;
    uint64_t group_count;   /* in this file */
    uint64_t unmoved_bytes; /* in the write-ahead log */
    bool was_full;          /* of a close that failed: for want of space */
};

/* "FOLDER/00000007.ledger"; E_LIMIT when that is too long. */
enum dyno_status dyno_segment_path(const char *folder, uint32_t number,
                                   char path_out[DYNO_SEGMENT_PATH_ROOM], struct dyno_err *err);

/* A new file, its opening durable. */
enum dyno_status dyno_segment_create(const char *folder, const struct dyno_opening *opening,
                                     struct dyno_segment *segment_out, struct dyno_err *err);
/* Durable when it returns.  dyno_db_is_full(&segment->db) tells a full disk from others. */
enum dyno_status dyno_segment_put_group(struct dyno_segment *segment, uint64_t number,
                                        const uint8_t *header, const uint8_t *items,
                                        size_t items_bytes, struct dyno_err *err);
enum dyno_status dyno_segment_put_head(struct dyno_segment *segment, uint64_t group_count,
                                       const uint8_t *head, const uint8_t *proof,
                                       size_t proof_bytes, struct dyno_err *err);
/* Move what is in the write-ahead log to its place. */
enum dyno_status dyno_segment_move(struct dyno_segment *segment, struct dyno_err *err);
/* Make it one plain file, and close it.  It is closed in any case; E_BUSY: somebody reads it, and
 * the log stays beside it. */
enum dyno_status dyno_segment_close(struct dyno_segment *segment, struct dyno_err *err);

/* --- what is there --- */

/* Where a ledger ends. */
struct dyno_ledger_end {
    uint32_t segment;     /* of the last file; 0: there is none */
    uint32_t node, epoch; /* of the last group */
    uint64_t seq;         /* of the last record of that epoch */
    uint64_t sent_seq;
    uint64_t time_ns;
    struct dyno_digest chain;
    struct dyno_frontier frontier;
    struct dyno_frontier head_frontier; /* at the last head, or before the last file */
    struct dyno_cover cover;            /* from there on */
};

/* Look at the last file, finish what a crash has left, and tell where it ends.  A file without
 * groups, whose making was broken off, is removed. */
enum dyno_status dyno_ledger_recover(const char *folder, struct dyno_ledger_end *end_out,
                                     struct dyno_err *err);

/* Make plain files of those before file `last` that kept their log because somebody read them when
 * they were closed.  What cannot be done now stays for the next time. */
void dyno_ledger_tidy_old(const char *folder, uint32_t last);

/* Numbers of the files in a folder: the largest, 0 when there are none.  E_IO. */
enum dyno_status dyno_ledger_last_segment(const char *folder, uint32_t *number_out,
                                          struct dyno_err *err);

#endif /* DYNO_METER_LEDGER_SEGMENT_H */
