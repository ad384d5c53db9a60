/* committer.c - the one thread that writes. */
#include "base/clock.h"
#include "meter/ledger/internal.h"

/* --- waiting --- */

/* When there is something to do even if nobody comes; 0: never. */
static uint64_t next_chore_ns(const struct dyno_ledger *ledger, uint64_t sent_seq)
{
    const struct dyno_ledger_options *options = &ledger->options;
    uint64_t next_ns = 0;
    if (sent_seq > ledger->written_sent_seq)
        next_ns = ledger->written_mono_ns + options->sent_interval_ns;
    if (ledger->frontier.count > ledger->head_frontier.count) {
        const uint64_t head_ns = ledger->head_mono_ns + options->head_interval_ns;
        next_ns = next_ns == 0 || head_ns < next_ns ? head_ns : next_ns;
    }
    if (!ledger->has_reserve) {
        const uint64_t reserve_ns = ledger->reserve_mono_ns + options->retry_interval_ns;
        next_ns = next_ns == 0 || reserve_ns < next_ns ? reserve_ns : next_ns;
    }
    return next_ns;
}

struct work {
    struct dyno_ledger_entry *entries;
    uint64_t sent_seq;
    bool is_closing;
};

static void wait_until(struct dyno_ledger *ledger, uint64_t mono_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(mono_ns / 1000000000U),
                                   .tv_nsec = (long)(mono_ns % 1000000000U)};
    (void)pthread_cond_timedwait(&ledger->wakes, &ledger->lock, &until);
}

static struct work wait_for_work(struct dyno_ledger *ledger)
{
    (void)pthread_mutex_lock(&ledger->lock);
    for (;;) {
        const uint64_t chore_ns = next_chore_ns(ledger, ledger->sent.seq);
        if (ledger->first != NULL || ledger->is_closing ||
            (chore_ns != 0 && chore_ns <= dyno_clock_ns()))
            break;
        ledger->wants_sent = ledger->sent.seq == ledger->written_sent_seq;
        if (chore_ns == 0)
            (void)pthread_cond_wait(&ledger->wakes, &ledger->lock);
        else
            wait_until(ledger, chore_ns);
    }
    const struct work work = {ledger->first, ledger->sent.seq, ledger->is_closing};
    ledger->first = NULL;
    ledger->last_next = &ledger->first;
    ledger->wants_sent = false;
    (void)pthread_mutex_unlock(&ledger->lock);
    return work;
}

/* --- records --- */

static void settle(struct dyno_ledger *ledger, const struct dyno_record *record)
{
    if (record->kind == DYNO_RECORD_USAGE)
        return;
    if (record->kind == DYNO_RECORD_VOID && record->voids.epoch == ledger->epoch)
        dyno_ledger_settle(ledger, record->voids.seq);
    dyno_ledger_settle(ledger, record->id.seq);
}

/* Tell `count` entries; returns those after them. */
static struct dyno_ledger_entry *tell(struct dyno_ledger *ledger, struct dyno_ledger_entry *entry,
                                      uint64_t count, enum dyno_status status)
{
    struct dyno_ledger_entry *together = NULL;
    struct dyno_ledger_entry **last_next = &together;
    for (; count > 0 && entry != NULL; count--) {
        struct dyno_ledger_entry *next = entry->next; /* it is its owner's once it is told */
        entry->status = status;
        entry->durable_ns = ledger->written_mono_ns;
        entry->next = NULL;
        if (status == DYNO_OK)
            settle(ledger, &entry->record);
        if (entry->done != NULL) {
            entry->done(entry);
        } else {
            *last_next = entry;
            last_next = &entry->next;
        }
        entry = next;
    }
    if (together != NULL)
        ledger->options.told(ledger->options.arg, together);
    return entry;
}

/* Tell a group that is durable; returns the entries after it. */
static struct dyno_ledger_entry *tell_group(struct dyno_ledger *ledger,
                                            struct dyno_ledger_entry *entry, uint64_t count)
{
    const struct dyno_ledger_options *options = &ledger->options;
    if (options->group_begins != NULL)
        options->group_begins(options->arg);
    entry = tell(ledger, entry, count, DYNO_OK);
    if (options->group_ends != NULL)
        options->group_ends(options->arg, ledger->next_seq - 1);
    return entry;
}

static bool write_records(struct dyno_ledger *ledger, const struct work *work)
{
    struct dyno_ledger_entry *entry = work->entries;
    while (entry != NULL) {
        const bool is_large = ledger->segment_records >= ledger->options.segment_records_max ||
                              ledger->segment.group_count >= ledger->options.segment_groups_max;
        if (is_large && !dyno_ledger_next_file(ledger, work->sent_seq))
            break;
        const uint32_t count = dyno_ledger_build(ledger, entry, work->sent_seq);
        if (!dyno_ledger_put(ledger))
            break;
        entry = tell_group(ledger, entry, count);
        dyno_ledger_tidy(ledger);
    }
    if (entry == NULL)
        return true;
    (void)tell(ledger, entry, UINT64_MAX, DYNO_E_CANCELLED);
    return false;
}

/* --- the rest --- */

static bool do_chores(struct dyno_ledger *ledger, uint64_t sent_seq)
{
    const struct dyno_ledger_options *options = &ledger->options;
    const uint64_t now_ns = dyno_clock_ns();
    if (sent_seq > ledger->written_sent_seq &&
        now_ns >= ledger->written_mono_ns + options->sent_interval_ns) {
        dyno_ledger_build_bare(ledger, DYNO_GROUP_MARK, sent_seq);
        if (!dyno_ledger_put(ledger))
            return false;
    }
    if (now_ns >= ledger->head_mono_ns + options->head_interval_ns)
        dyno_ledger_make_head(ledger);
    if (!ledger->has_reserve && now_ns >= ledger->reserve_mono_ns + options->retry_interval_ns)
        dyno_ledger_reserve(ledger);
    return true;
}

static uint64_t sent_seq(struct dyno_ledger *ledger)
{
    (void)pthread_mutex_lock(&ledger->lock);
    const uint64_t seq = ledger->sent.seq;
    (void)pthread_mutex_unlock(&ledger->lock);
    return seq;
}

void *dyno_ledger_committer(void *opaque)
{
    struct dyno_ledger *ledger = opaque;
    bool ok = true;
    for (;;) {
        const struct work work = wait_for_work(ledger);
        ok = write_records(ledger, &work) && do_chores(ledger, work.sent_seq);
        if (!ok || work.is_closing) {
            /* What was just told has settled itself since, or was said to have left. */
            ok = ok && dyno_ledger_end_file(ledger, sent_seq(ledger));
            break;
        }
    }
    if (!ok) {
        struct dyno_err ignored = {0};
        ledger->close_status =
            DYNO_FAIL(&ledger->close_err, DYNO_E_IO,
                      "no space is left for the ledger \"%s\": what was pending is not in it",
                      ledger->folder);
        if (ledger->segment.db.handle != NULL)
            (void)dyno_segment_close(&ledger->segment, &ignored);
    }
    return NULL;
}
