/* build.c - a group in memory: numbers of names, hashes. */
#include <string.h>
#include <sys/random.h>

#include "meter/ledger/internal.h"

/* --- names --- */

/* The number of a name in this file; writes its entry when it is new. */
static uint32_t number_of(struct dyno_ledger *ledger, uint32_t handle)
{
    struct dyno_group *group = &ledger->group;
    if (handle == 0)
        return 0;
    struct dyno_ledger_name *name = dyno_ledger_name_at(ledger, handle);
    if (name->segment == ledger->segment.number)
        return name->id;
    const enum dyno_name_kind kind = (enum dyno_name_kind)name->key[0];
    name->segment = ledger->segment.number;
    name->id = ++ledger->segment_names[kind - 1];
    group->entries_bytes +=
        dyno_entry_encode(kind, name->id, name->key + 1, name->text_bytes,
                          ledger->items + DYNO_SEED_BYTES + group->entries_bytes);
    group->entry_count++;
    return name->id;
}

/* Is there room for all names of one more record? */
static bool has_room(const struct dyno_group *group)
{
    return group->entry_count + DYNO_NAME_KINDS <= DYNO_GROUP_ENTRIES_MAX &&
           group->entries_bytes + DYNO_NAME_KINDS * (DYNO_ENTRY_HEAD_BYTES + DYNO_NAME_BYTES_MAX) <=
               DYNO_ENTRIES_BYTES_MAX;
}

/* --- the group --- */

static uint64_t later(struct dyno_ledger *ledger)
{
    const uint64_t now_ns = ledger->options.now_ns(ledger->options.arg);
    return now_ns > ledger->time_ns ? now_ns : ledger->time_ns;
}

static void begin(struct dyno_ledger *ledger, enum dyno_group_kind kind, uint64_t sent_seq)
{
    ledger->group = (struct dyno_group){
        .kind = kind,
        .segment = ledger->segment.number,
        .node = ledger->options.node,
        .epoch = ledger->epoch,
        .number = ledger->frontier.count,
        .first_seq = ledger->next_seq,
        .sent_seq = sent_seq,
        .time_ns = later(ledger),
        .before = ledger->chain,
    };
}

/* Random numbers that the kernel has always ready are had without a failure. */
static void put_seed(uint8_t *seed)
{
    size_t at = 0;
    while (at < DYNO_SEED_BYTES) {
        const ssize_t got = getrandom(seed + at, DYNO_SEED_BYTES - at, 0);
        at += got > 0 ? (size_t)got : 0;
    }
}

static void seal(struct dyno_ledger *ledger)
{
    struct dyno_group *group = &ledger->group;
    struct dyno_items items;
    ledger->items_bytes = 0;
    if (group->record_count > 0) {
        put_seed(ledger->items);
        ledger->items_bytes = DYNO_SEED_BYTES + (size_t)group->entries_bytes +
                              (size_t)group->record_count * DYNO_RECORD_BYTES;
    }
    const enum dyno_status opened =
        dyno_items_open(group, ledger->items, ledger->items_bytes, &items, NULL);
    DYNO_ASSERT(opened == DYNO_OK);
    const enum dyno_status hashed = dyno_items_leaves(&items, ledger->leaves, NULL);
    DYNO_ASSERT(hashed == DYNO_OK);
    dyno_merkle_root(ledger->leaves, (size_t)group->entry_count + group->record_count,
                     &group->items_root);
    dyno_group_encode(group, ledger->header);
}

void dyno_ledger_build_bare(struct dyno_ledger *ledger, enum dyno_group_kind kind,
                            uint64_t sent_seq)
{
    begin(ledger, kind, sent_seq);
    seal(ledger);
}

uint32_t dyno_ledger_build(struct dyno_ledger *ledger, struct dyno_ledger_entry *entries,
                           uint64_t sent_seq)
{
    struct dyno_group *group = &ledger->group;
    begin(ledger, DYNO_GROUP_RECORDS, sent_seq);
    /* Names come before records, whose place is known when all names are. */
    for (struct dyno_ledger_entry *entry = entries;
         entry != NULL && group->record_count < ledger->options.group_records_max &&
         has_room(group);
         entry = entry->next) {
        DYNO_ASSERT(entry->record.id.seq == group->first_seq + group->record_count);
        group->record_count++;
        for (size_t i = 0; i < DYNO_NAME_KINDS; i++)
            (void)number_of(ledger, entry->record.names[i]);
    }
    uint8_t *at = ledger->items + DYNO_SEED_BYTES + group->entries_bytes;
    const struct dyno_ledger_entry *entry = entries;
    for (uint32_t i = 0; i < group->record_count; i++, entry = entry->next) {
        struct dyno_record record = entry->record;
        for (size_t k = 0; k < DYNO_NAME_KINDS; k++)
            record.names[k] = number_of(ledger, record.names[k]);
        dyno_record_encode(&record, at + (size_t)i * DYNO_RECORD_BYTES);
    }
    seal(ledger);
    return group->record_count;
}
