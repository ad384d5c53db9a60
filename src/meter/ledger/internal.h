/* internal.h - a ledger that is being written: what intake and committer share.
 *
 * Intake is called by any thread, under the lock; the committer's own fields are its thread's alone
 * (and the opening thread's, before that one is there).
 */
#ifndef DYNO_METER_LEDGER_INTERNAL_H
#define DYNO_METER_LEDGER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/map.h"
#include "meter/ledger/ledger.h"
#include "meter/ledger/segment.h"

#define DYNO_NAME_CHUNKS 26
#define DYNO_NAME_CHUNK  64U /* names in the first chunk; each next one has twice as many */

/* A name that was asked for; it stays where it is. */
struct dyno_ledger_name {
    char *key; /* the kind as a byte, then the text; owned */
    uint32_t text_bytes;
    uint32_t segment, id; /* committer: its number in the file of that number */
};

/* Which answers have left: all up to `seq`, and those whose bit is set after it. */
struct dyno_ledger_sent {
    uint64_t seq;
    uint64_t *words; /* a ring: bit (n % room) stands for record n */
    uint64_t room;   /* bits; a power of two, or 0 */
};

struct dyno_ledger {
    struct dyno_ledger_options options; /* with defaults filled in */
    char *folder;
    struct dyno_signer *signer;
    pthread_t thread;

    /* --- under the lock --- */
    pthread_mutex_t lock;
    pthread_cond_t wakes;
    struct dyno_ledger_entry *first, **last_next; /* pending */
    uint64_t appended_seq;                        /* the last id that was given */
    struct dyno_ledger_sent sent;
    struct dyno_map handles; /* key -> handle */
    struct dyno_ledger_name *name_chunks[DYNO_NAME_CHUNKS];
    uint32_t name_count;
    bool is_closing;
    bool wants_sent; /* the committer sleeps until a watermark moves */

    /* --- any thread --- */
    atomic_bool admits;
    atomic_uint_fast64_t durable_seq;

    /* --- the committer's --- */
    struct dyno_segment segment;
    uint64_t segment_records;
    uint32_t segment_names[DYNO_NAME_KINDS]; /* given out in this file */
    uint32_t epoch;
    uint64_t next_seq, written_sent_seq, time_ns;
    uint64_t written_mono_ns, head_mono_ns; /* when the last group and head were made */
    struct dyno_digest chain;
    struct dyno_frontier frontier, head_frontier;
    struct dyno_cover cover; /* since the last head */
    struct dyno_group group; /* being made */
    uint8_t header[DYNO_GROUP_HEADER_BYTES];
    uint8_t *items; /* of the group being made */
    size_t items_bytes;
    struct dyno_digest *leaves;
    bool has_reserve;
    int lock_fd;
    uint64_t reserve_mono_ns; /* when it was tried last */
    struct dyno_err close_err;
    enum dyno_status close_status;
};

/* --- intake.c --- */

/* Of a handle that was given out before an entry with it was appended: no lock is needed. */
struct dyno_ledger_name *dyno_ledger_name_at(struct dyno_ledger *ledger, uint32_t handle);

/* Committer: note that the answer of `seq` has left.  Takes the lock. */
void dyno_ledger_settle(struct dyno_ledger *ledger, uint64_t seq);
void dyno_ledger_intake_fini(struct dyno_ledger *ledger);

/* --- build.c: a group in memory --- */

/* Makes ledger->group, header and items out of the first entries of the list, and returns how many
 * they are. */
uint32_t dyno_ledger_build(struct dyno_ledger *ledger, struct dyno_ledger_entry *entries,
                           uint64_t sent_seq);
void dyno_ledger_build_bare(struct dyno_ledger *ledger, enum dyno_group_kind kind,
                            uint64_t sent_seq);

/* --- write.c: groups, heads and files on the disk --- */

/* Write the group that was built: once, or until there is space for it (false: the ledger is being
 * closed, and there is none).  What is no want of space ends the process in the second. */
enum dyno_status dyno_ledger_try_put(struct dyno_ledger *ledger, struct dyno_err *err);
bool dyno_ledger_put(struct dyno_ledger *ledger);
/* A head over what is written: once; or, when there is no space, the next time. */
enum dyno_status dyno_ledger_try_head(struct dyno_ledger *ledger, struct dyno_err *err);
void dyno_ledger_make_head(struct dyno_ledger *ledger);
/* Begin file `number`: its opening, and no group. */
enum dyno_status dyno_ledger_begin_file(struct dyno_ledger *ledger, uint32_t number,
                                        uint32_t last_epoch, uint64_t last_seq, uint64_t sent_seq,
                                        struct dyno_err *err);
/* Close this file in order, with a head; begin the next. */
bool dyno_ledger_end_file(struct dyno_ledger *ledger, uint64_t sent_seq);
bool dyno_ledger_next_file(struct dyno_ledger *ledger, uint64_t sent_seq);
/* Move the log when it has grown. */
void dyno_ledger_tidy(struct dyno_ledger *ledger);

/* --- space.c --- */

void dyno_ledger_reserve(struct dyno_ledger *ledger); /* make it, if it can be; then admit again */
void dyno_ledger_release(struct dyno_ledger *ledger); /* admit nothing, and give it free */
void dyno_ledger_drop_reserve(struct dyno_ledger *ledger);
/* Wait a while for space; false: the ledger is being closed, and it was long enough. */
bool dyno_ledger_wait_for_space(struct dyno_ledger *ledger, uint32_t *tries);
_Noreturn void dyno_ledger_end_process(struct dyno_ledger *ledger, const struct dyno_err *err);

/* --- committer.c --- */

void *dyno_ledger_committer(void *opaque);

#endif /* DYNO_METER_LEDGER_INTERNAL_H */
