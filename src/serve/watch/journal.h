/* journal.h - lines to a file, from threads that must not wait for it.
 *
 * Each writing thread has a buffer of its own, and one thread more empties them all into the file.
 * When the file takes no more, or takes it too slowly, lines are dropped and counted.
 */
#ifndef DYNO_SERVE_WATCH_JOURNAL_H
#define DYNO_SERVE_WATCH_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct dyno_journal;

struct dyno_journal_options {
    const char *path; /* "-": standard error; outlives the journal */
    int thread_count;
    bool may_wait; /* no failure when the file cannot be opened now: it is tried again */
};

/* Opens the file, for appending, and starts the thread.  E_IO names the file. */
enum dyno_status dyno_journal_create(const struct dyno_journal_options *options,
                                     struct dyno_journal **journal_out, struct dyno_err *err);
/* Writes what there is, for two seconds at most.  No thread adds any more.  Accepts NULL. */
void dyno_journal_destroy(struct dyno_journal *journal);

/* A line of thread `thread`, without its end; NULL: there was no memory for it.  Takes its time for
 * copying and no more. */
void dyno_journal_add(struct dyno_journal *journal, int thread, const char *text, size_t bytes);

/* The file was renamed: go on in a new one of the old name.  Any thread; it happens soon. */
void dyno_journal_reopen(struct dyno_journal *journal);

/* Lines that were dropped.  Any thread. */
uint64_t dyno_journal_dropped(const struct dyno_journal *journal);

#endif /* DYNO_SERVE_WATCH_JOURNAL_H */
