/* progress.h - a progress bar on stderr when that is a terminal, no bar when it is not.
 *
 * One bar at a time, one thread.  Redrawn at most ten times a second.
 */
#ifndef DYNO_BASE_PROGRESS_H
#define DYNO_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct dyno_progress {
    const char *label; /* borrowed */
    uint64_t done_count;
    uint64_t total_count;
    uint64_t start_ns;
    uint64_t drawn_ns;
    bool is_visible;
};

void dyno_progress_begin(struct dyno_progress *progress, const char *label, uint64_t total_count);
/* `count` more are done; `item` (may be NULL) is shown behind the bar. */
void dyno_progress_step(struct dyno_progress *progress, uint64_t count, const char *item);
/* A line above the bar, or alone where there is none; `text` ends without a newline. */
void dyno_progress_say(const struct dyno_progress *progress, const char *text);
/* Wipe the bar. */
void dyno_progress_end(struct dyno_progress *progress);

#endif /* DYNO_BASE_PROGRESS_H */
