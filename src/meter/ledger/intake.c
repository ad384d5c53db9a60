/* intake.c - what other threads say to a ledger: names, entries, answers that have left. */
#include <string.h>

#include "base/mem.h"
#include "meter/ledger/internal.h"

/* --- names --- */

struct dyno_ledger_name *dyno_ledger_name_at(struct dyno_ledger *ledger, uint32_t handle)
{
    const uint32_t index = handle - 1;
    const uint32_t chunk = 31 - (uint32_t)__builtin_clz(index / DYNO_NAME_CHUNK + 1);
    return &ledger->name_chunks[chunk][index - DYNO_NAME_CHUNK * ((1U << chunk) - 1)];
}

static bool add_name(struct dyno_ledger *ledger, const char *key, size_t key_bytes)
{
    const uint32_t handle = ledger->name_count + 1;
    const uint32_t chunk = 31 - (uint32_t)__builtin_clz((handle - 1) / DYNO_NAME_CHUNK + 1);
    if (chunk >= DYNO_NAME_CHUNKS)
        return false;
    if (ledger->name_chunks[chunk] == NULL)
        ledger->name_chunks[chunk] =
            dyno_alloc((size_t)DYNO_NAME_CHUNK << chunk, sizeof(struct dyno_ledger_name));
    char *copy = dyno_alloc(key_bytes, 1);
    if (copy != NULL)
        memcpy(copy, key, key_bytes);
    if (copy == NULL || ledger->name_chunks[chunk] == NULL ||
        !dyno_map_put(&ledger->handles, copy, key_bytes, handle)) {
        dyno_free(copy);
        return false;
    }
    *dyno_ledger_name_at(ledger, handle) =
        (struct dyno_ledger_name){.key = copy, .text_bytes = (uint32_t)key_bytes - 1};
    ledger->name_count = handle;
    return true;
}

enum dyno_status dyno_ledger_name(struct dyno_ledger *ledger, enum dyno_name_kind kind,
                                  const char *text, uint32_t *handle_out, struct dyno_err *err)
{
    char key[1 + DYNO_NAME_BYTES_MAX];
    uint64_t handle = 0;
    const size_t bytes = strnlen(text, DYNO_NAME_BYTES_MAX + 1);
    *handle_out = 0;
    if (!dyno_name_ok(text, bytes))
        return DYNO_FAIL(err, DYNO_E_ARG,
                         "the %s '%.64s' is no text of 1 to %u bytes of UTF-8 without control "
                         "characters",
                         dyno_name_kind_text(kind), text, DYNO_NAME_BYTES_MAX);
    key[0] = (char)kind;
    memcpy(key + 1, text, bytes);
    (void)pthread_mutex_lock(&ledger->lock);
    bool ok = dyno_map_find(&ledger->handles, key, bytes + 1, &handle);
    if (!ok) {
        ok = add_name(ledger, key, bytes + 1);
        handle = ledger->name_count;
    }
    (void)pthread_mutex_unlock(&ledger->lock);
    *handle_out = ok ? (uint32_t)handle : 0;
    return ok ? DYNO_OK : DYNO_NOMEM(err);
}

/* --- entries --- */

void dyno_ledger_append(struct dyno_ledger *ledger, struct dyno_ledger_entry *entries)
{
    struct dyno_err err = {0};
    struct dyno_ledger_entry *last = entries;
    for (struct dyno_ledger_entry *entry = entries; entry != NULL; entry = entry->next) {
        entry->record.id = (struct dyno_record_id){ledger->options.node, ledger->epoch, 0};
        entry->record.voids.node = ledger->options.node;
        const bool is_right = dyno_record_check(&entry->record, &err) == DYNO_OK;
        DYNO_ASSERT(is_right && (entry->done != NULL || ledger->options.told != NULL));
        last = entry;
    }
    (void)pthread_mutex_lock(&ledger->lock);
    DYNO_ASSERT(!ledger->is_closing);
    for (struct dyno_ledger_entry *entry = entries; entry != NULL; entry = entry->next) {
        for (size_t i = 0; i < DYNO_NAME_KINDS; i++)
            DYNO_ASSERT(entry->record.names[i] <= ledger->name_count);
        entry->record.id.seq = ++ledger->appended_seq;
    }
    *ledger->last_next = entries;
    ledger->last_next = &last->next;
    (void)pthread_mutex_unlock(&ledger->lock);
    (void)pthread_cond_signal(&ledger->wakes); /* nothing, unless the committer sleeps */
}

/* --- answers that have left --- */

static bool has_bit(const struct dyno_ledger_sent *sent, uint64_t seq)
{
    const uint64_t bit = seq % sent->room;
    return (sent->words[bit / 64] >> (bit % 64) & 1) != 0;
}

static void flip_bit(struct dyno_ledger_sent *sent, uint64_t seq)
{
    const uint64_t bit = seq % sent->room;
    sent->words[bit / 64] ^= (uint64_t)1 << (bit % 64);
}

/* Room for a bit of `seq`. */
static bool grow_sent(struct dyno_ledger_sent *sent, uint64_t seq)
{
    struct dyno_ledger_sent larger = {.seq = sent->seq, .room = sent->room};
    if (seq - sent->seq <= sent->room)
        return true;
    if (larger.room == 0)
        larger.room = 1024;
    while (larger.room < seq - sent->seq)
        larger.room *= 2;
    larger.words = dyno_alloc(larger.room / 64, sizeof(*larger.words));
    if (larger.words == NULL)
        return false;
    for (uint64_t i = 1; i <= sent->room; i++)
        if (has_bit(sent, sent->seq + i))
            flip_bit(&larger, sent->seq + i);
    dyno_free(sent->words);
    *sent = larger;
    return true;
}

static bool note_sent(struct dyno_ledger_sent *sent, uint64_t seq)
{
    if (seq <= sent->seq)
        return true;
    if (seq == sent->seq + 1) {
        sent->seq++;
        while (sent->room > 0 && has_bit(sent, sent->seq + 1)) {
            flip_bit(sent, sent->seq + 1);
            sent->seq++;
        }
        return true;
    }
    if (!grow_sent(sent, seq))
        return false;
    if (!has_bit(sent, seq))
        flip_bit(sent, seq);
    return true;
}

enum dyno_status dyno_ledger_sent(struct dyno_ledger *ledger, const uint64_t *seqs, size_t count,
                                  struct dyno_err *err)
{
    const uint64_t durable_seq = dyno_ledger_durable_seq(ledger);
    bool ok = true;
    (void)pthread_mutex_lock(&ledger->lock);
    for (size_t i = 0; i < count; i++) {
        DYNO_ASSERT(seqs[i] <= durable_seq);
        ok = note_sent(&ledger->sent, seqs[i]) && ok;
    }
    if (ledger->wants_sent && count > 0) {
        ledger->wants_sent = false;
        (void)pthread_cond_signal(&ledger->wakes);
    }
    (void)pthread_mutex_unlock(&ledger->lock);
    return ok ? DYNO_OK : DYNO_NOMEM(err);
}

uint64_t dyno_ledger_sent_seq(struct dyno_ledger *ledger)
{
    (void)pthread_mutex_lock(&ledger->lock);
    const uint64_t seq = ledger->sent.seq;
    (void)pthread_mutex_unlock(&ledger->lock);
    return seq;
}

/* Without memory the watermark stays where it is until it is said again, which nobody does for
 * these: what comes after would be unconfirmed after a crash, which costs no customer anything. */
void dyno_ledger_settle(struct dyno_ledger *ledger, uint64_t seq)
{
    (void)pthread_mutex_lock(&ledger->lock);
    (void)note_sent(&ledger->sent, seq);
    (void)pthread_mutex_unlock(&ledger->lock);
}

void dyno_ledger_intake_fini(struct dyno_ledger *ledger)
{
    for (uint32_t handle = 1; handle <= ledger->name_count; handle++)
        dyno_free(dyno_ledger_name_at(ledger, handle)->key);
    for (size_t i = 0; i < DYNO_NAME_CHUNKS; i++)
        dyno_free(ledger->name_chunks[i]);
    dyno_map_fini(&ledger->handles);
    dyno_free(ledger->sent.words);
}
