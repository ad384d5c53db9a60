/* write.c - groups, heads and files on the disk. */
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "meter/ledger/internal.h"

#define LOG_BYTES_MAX   (UINT64_C(8) << 20) /* of the write-ahead log, before it is moved */
#define LOG_BYTES_AGAIN (UINT64_C(1) << 20) /* more, before it is tried again */
#define SPACE_BYTES_MIN (UINT64_C(1) << 20) /* less is a full disk */
#define TRIES_MAX       10

/* --- groups --- */

enum dyno_status dyno_ledger_try_put(struct dyno_ledger *ledger, struct dyno_err *err)
{
    const struct dyno_group *group = &ledger->group;
    DYNO_TRY(dyno_segment_put_group(&ledger->segment, group->number, ledger->header, ledger->items,
                                    ledger->items_bytes, err));
    dyno_group_hash(ledger->header, &ledger->chain);
    dyno_frontier_add(&ledger->frontier, &ledger->chain);
    dyno_cover_add(&ledger->cover, &ledger->chain);
    ledger->next_seq += group->record_count;
    ledger->segment_records += group->record_count;
    ledger->written_sent_seq = group->sent_seq;
    ledger->time_ns = group->time_ns;
    ledger->written_mono_ns = dyno_clock_ns();
    atomic_store_explicit(&ledger->durable_seq, ledger->next_seq - 1, memory_order_release);
    return DYNO_OK;
}

bool dyno_ledger_put(struct dyno_ledger *ledger)
{
    for (uint32_t tries = 0;;) {
        struct dyno_err err = {0};
        const enum dyno_status status = dyno_ledger_try_put(ledger, &err);
        if (status == DYNO_OK)
            return true;
        if (status != DYNO_E_NOMEM && !dyno_db_is_full(&ledger->segment.db))
            dyno_ledger_end_process(ledger, &err);
        const bool had_reserve = ledger->has_reserve;
        dyno_ledger_release(ledger);
        if (!had_reserve && !dyno_ledger_wait_for_space(ledger, &tries))
            return false;
    }
}

/* --- heads --- */

enum dyno_status dyno_ledger_try_head(struct dyno_ledger *ledger, struct dyno_err *err)
{
    uint8_t bytes[DYNO_HEAD_BYTES];
    uint8_t proof[DYNO_HEAD_PROOF_MAX];
    struct dyno_head head = {
        .node = ledger->options.node,
        .segment = ledger->segment.number,
        .epoch = ledger->epoch,
        .seq = ledger->next_seq - 1,
        .group_count = ledger->frontier.count,
        .time_ns = ledger->time_ns,
        .chain = ledger->chain,
    };
    dyno_frontier_root(&ledger->frontier, &head.root);
    DYNO_TRY(dyno_head_encode(&head, ledger->signer, bytes, err));
    const size_t proof_bytes =
        dyno_head_proof_encode(&ledger->head_frontier, &ledger->cover, proof);
    DYNO_TRY(
        dyno_segment_put_head(&ledger->segment, head.group_count, bytes, proof, proof_bytes, err));
    ledger->head_frontier = ledger->frontier;
    dyno_cover_init(&ledger->cover, ledger->frontier.count);
    if (ledger->options.on_head != NULL)
        ledger->options.on_head(ledger->options.arg, &head, bytes, proof, proof_bytes);
    return DYNO_OK;
}

void dyno_ledger_make_head(struct dyno_ledger *ledger)
{
    struct dyno_err err = {0};
    ledger->head_mono_ns = dyno_clock_ns();
    if (ledger->frontier.count == ledger->head_frontier.count)
        return;
    const enum dyno_status status = dyno_ledger_try_head(ledger, &err);
    if (status == DYNO_E_UNSUPPORTED || status == DYNO_E_NOMEM)
        dyno_log(DYNO_LOG_WARN, "a head of the ledger was not made: %s", err.text);
    else if (status != DYNO_OK && dyno_db_is_full(&ledger->segment.db))
        dyno_ledger_release(ledger);
    else if (status != DYNO_OK)
        dyno_ledger_end_process(ledger, &err);
}

void dyno_ledger_tidy(struct dyno_ledger *ledger)
{
    struct dyno_err err = {0};
    if (ledger->segment.unmoved_bytes < LOG_BYTES_MAX)
        return;
    const enum dyno_status status = dyno_segment_move(&ledger->segment, &err);
    if (status == DYNO_OK)
        return;
    /* The log holds it as safely. */
    ledger->segment.unmoved_bytes = LOG_BYTES_MAX - LOG_BYTES_AGAIN;
    if (dyno_db_is_full(&ledger->segment.db))
        dyno_ledger_release(ledger);
    else if (status != DYNO_E_BUSY && status != DYNO_E_NOMEM)
        dyno_ledger_end_process(ledger, &err);
}

/* --- files --- */

enum dyno_status dyno_ledger_begin_file(struct dyno_ledger *ledger, uint32_t number,
                                        uint32_t last_epoch, uint64_t last_seq, uint64_t sent_seq,
                                        struct dyno_err *err)
{
    struct dyno_opening opening = {
        .node = ledger->options.node,
        .segment = number,
        .time_ns = ledger->time_ns,
        .last_epoch = last_epoch,
        .last_seq = last_seq,
        .last_sent_seq = sent_seq,
        .chain = ledger->chain,
        .frontier = ledger->frontier,
    };
    DYNO_TRY(dyno_segment_create(ledger->folder, &opening, &ledger->segment, err));
    ledger->segment_records = 0;
    for (size_t i = 0; i < DYNO_NAME_KINDS; i++)
        ledger->segment_names[i] = 0;
    return DYNO_OK;
}

bool dyno_ledger_end_file(struct dyno_ledger *ledger, uint64_t sent_seq)
{
    struct dyno_err err = {0};
    dyno_ledger_build_bare(ledger, DYNO_GROUP_CLOSE, sent_seq);
    if (!dyno_ledger_put(ledger))
        return false;
    dyno_ledger_make_head(ledger);
    const enum dyno_status status = dyno_segment_close(&ledger->segment, &err);
    if (status == DYNO_OK)
        return true;
    if (status != DYNO_E_BUSY && status != DYNO_E_NOMEM && !ledger->segment.was_full)
        dyno_ledger_end_process(ledger, &err);
    /* All is in the log, which stays beside the file, and which every reader reads. */
    dyno_log(DYNO_LOG_WARN, "a file of the ledger keeps its log: %s", err.text);
    return true;
}

static bool is_disk_full(const struct dyno_ledger *ledger)
{
    struct statvfs info;
    return statvfs(ledger->folder, &info) == 0 &&
           (uint64_t)info.f_bavail * info.f_frsize < SPACE_BYTES_MIN;
}

bool dyno_ledger_next_file(struct dyno_ledger *ledger, uint64_t sent_seq)
{
    const uint32_t number = ledger->segment.number + 1;
    uint32_t failures = 0;
    char path[DYNO_SEGMENT_PATH_ROOM];
    if (!dyno_ledger_end_file(ledger, sent_seq))
        return false;
    for (uint32_t tries = 0;;) {
        struct dyno_err err = {0};
        if (dyno_ledger_begin_file(ledger, number, ledger->epoch, ledger->next_seq - 1, sent_seq,
                                   &err) == DYNO_OK)
            return true;
        /* Nothing of it was told anybody: it is made again from nothing. */
        if (dyno_segment_path(ledger->folder, number, path, NULL) == DYNO_OK)
            (void)unlink(path);
        if (!is_disk_full(ledger) && ++failures == TRIES_MAX)
            dyno_ledger_end_process(ledger, &err);
        dyno_ledger_release(ledger);
        if (!dyno_ledger_wait_for_space(ledger, &tries))
            return false;
    }
}
