/* progress.c - "label [######......] 12/30 item", redrawn in place. */
#include "base/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define BAR_CHARS   30
#define REDRAW_NS   100000000U
#define ITEM_CHARS  40
#define LABEL_CHARS 30

static void draw(struct dyno_progress *progress, const char *item)
{
    char bar[BAR_CHARS + 1];
    const double share = progress->total_count == 0
                             ? 1.0
                             : (double)progress->done_count / (double)progress->total_count;
    const size_t full = (size_t)((share < 1.0 ? share : 1.0) * BAR_CHARS);
    memset(bar, '.', BAR_CHARS);
    memset(bar, '#', full);
    bar[BAR_CHARS] = 0;
    const uint64_t seconds = (dyno_clock_ns() - progress->start_ns) / 1000000000U;
    (void)fprintf(stderr, "\r\033[K%.*s [%s] %llu/%llu %llus %.*s", LABEL_CHARS, progress->label,
                  bar, (unsigned long long)progress->done_count,
                  (unsigned long long)progress->total_count, (unsigned long long)seconds,
                  ITEM_CHARS, item != NULL ? item : "");
    (void)fflush(stderr);
    progress->drawn_ns = dyno_clock_ns();
}

void dyno_progress_begin(struct dyno_progress *progress, const char *label, uint64_t total_count)
{
    *progress = (struct dyno_progress){.label = label,
                                       .total_count = total_count,
                                       .start_ns = dyno_clock_ns(),
                                       .is_visible = isatty(STDERR_FILENO) == 1};
    if (progress->is_visible)
        draw(progress, NULL);
}

void dyno_progress_step(struct dyno_progress *progress, uint64_t count, const char *item)
{
    progress->done_count += count;
    if (progress->is_visible && dyno_clock_ns() - progress->drawn_ns >= REDRAW_NS)
        draw(progress, item);
}

void dyno_progress_say(const struct dyno_progress *progress, const char *text)
{
    (void)fprintf(stderr, "%s%s\n", progress->is_visible ? "\r\033[K" : "", text);
}

void dyno_progress_end(struct dyno_progress *progress)
{
    if (progress->is_visible) {
        (void)fputs("\r\033[K", stderr);
        (void)fflush(stderr);
    }
    progress->is_visible = false;
}
