/* memory.c - promises, and who goes for them. */
#include "serve/model/memory.h"

static uint64_t held_bytes(const struct dyno_memory *memory)
{
    uint64_t bytes = 0;
    for (struct dyno_variant *at = memory->held; at != NULL; at = at->next_held)
        bytes += dyno_variant_bytes(at);
    return bytes;
}

uint64_t dyno_memory_used(const struct dyno_memory *memory)
{
    return held_bytes(memory) + memory->promised_bytes + memory->leaving_bytes;
}

/* Nobody but the catalog holds it: whoever took a reference did so under the lock that we hold. */
static bool is_idle(const struct dyno_variant *variant)
{
    return atomic_load_explicit(&variant->ref_count, memory_order_acquire) == 1;
}

/* Of what is ready, the bytes that cannot go: pinned, or answering until its successor does. */
struct survey {
    struct dyno_slot *victim; /* NULL: none that is idle */
    uint64_t fixed_bytes, busy_bytes;
};

static struct survey look(const struct dyno_catalog *catalog, const struct dyno_slot *own)
{
    struct survey survey = {0};
    for (size_t i = 0; i < catalog->count; i++)
        for (struct dyno_slot *at = catalog->shelves[i]->slots; at != NULL; at = at->next) {
            if (at->variant == NULL)
                continue;
            if (at->is_pinned || at == own)
                survey.fixed_bytes += dyno_variant_bytes(at->variant);
            else if (!is_idle(at->variant))
                survey.busy_bytes += dyno_variant_bytes(at->variant);
            else if (survey.victim == NULL || at->used_tick < survey.victim->used_tick)
                survey.victim = at;
        }
    return survey;
}

static struct dyno_variant *evict(struct dyno_memory *memory, struct dyno_slot *slot)
{
    struct dyno_variant *old = dyno_slot_empty(slot, "evicted: others needed its memory");
    memory->eviction_count++;
    slot->is_evicted = true;
    return old;
}

enum dyno_fit dyno_memory_ask(struct dyno_promise *promise, uint64_t bytes,
                              struct dyno_variant **victim_out, struct dyno_err *err)
{
    struct dyno_memory *memory = promise->memory;
    const uint64_t limit = memory->limit_bytes;
    *victim_out = NULL;
    if (limit != 0 && bytes > limit) {
        (void)DYNO_FAIL(err, DYNO_E_LIMIT,
                        "it needs %llu bytes of memory, more than the %llu that all models may use",
                        (unsigned long long)bytes, (unsigned long long)limit);
        return DYNO_FIT_NEVER;
    }
    const uint64_t others = memory->promised_bytes - promise->bytes;
    const uint64_t used = held_bytes(memory) + memory->leaving_bytes + others;
    if (limit == 0 || bytes <= promise->bytes || (used <= limit && bytes <= limit - used)) {
        memory->promised_bytes = others + (bytes > promise->bytes ? bytes : promise->bytes);
        promise->bytes = bytes > promise->bytes ? bytes : promise->bytes;
        return DYNO_FIT_YES;
    }
    const struct survey survey = look(promise->catalog, promise->slot);
    if (survey.fixed_bytes + others + bytes <= limit && promise->may_evict) {
        if (survey.victim == NULL)
            return DYNO_FIT_WAIT;
        *victim_out = evict(memory, survey.victim);
        return DYNO_FIT_EVICT;
    }
    promise->is_put_off = true;
    (void)DYNO_FAIL(err, DYNO_E_BUSY,
                    "it needs %llu bytes of memory, and of the %llu that all models may use %llu "
                    "are in use",
                    (unsigned long long)bytes, (unsigned long long)limit, (unsigned long long)used);
    return DYNO_FIT_NOT_NOW;
}

void dyno_memory_settle(struct dyno_promise *promise, struct dyno_variant *variant)
{
    struct dyno_memory *memory = promise->memory;
    memory->promised_bytes -= promise->bytes;
    promise->bytes = 0;
    if (variant == NULL)
        return;
    variant->prev_held = NULL;
    variant->next_held = memory->held;
    if (memory->held != NULL)
        memory->held->prev_held = variant;
    memory->held = variant;
}

struct dyno_variant *dyno_memory_trim(struct dyno_memory *memory, struct dyno_catalog *catalog)
{
    if (memory->limit_bytes == 0 || dyno_memory_used(memory) <= memory->limit_bytes ||
        memory->leaving_bytes > 0)
        return NULL;
    const struct survey survey = look(catalog, NULL);
    return survey.victim != NULL ? evict(memory, survey.victim) : NULL;
}

uint64_t dyno_memory_leave(struct dyno_memory *memory, struct dyno_variant *variant)
{
    const uint64_t bytes = dyno_variant_bytes(variant);
    if (variant->prev_held != NULL)
        variant->prev_held->next_held = variant->next_held;
    else
        memory->held = variant->next_held;
    if (variant->next_held != NULL)
        variant->next_held->prev_held = variant->prev_held;
    memory->leaving_bytes += bytes;
    return bytes;
}

void dyno_memory_left(struct dyno_memory *memory, uint64_t bytes)
{
    memory->leaving_bytes -= bytes;
}
