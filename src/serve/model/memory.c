/* memory.c - promises, and who goes for them. */
#include "serve/model/memory.h"

#include <stdio.h>

static uint64_t bytes_of(struct dyno_variant *variant, int device)
{
    if (device == 0)
        return dyno_variant_bytes(variant);
    return variant->device == device ? dyno_variant_gpu_bytes(variant) : 0;
}

static uint64_t held_bytes(const struct dyno_memory *memory, int device)
{
    uint64_t bytes = 0;
    for (struct dyno_variant *at = memory->held; at != NULL; at = at->next_held)
        bytes += bytes_of(at, device);
    return bytes;
}

uint64_t dyno_memory_used(const struct dyno_memory *memory, int device)
{
    const struct dyno_memory_room *room = &memory->rooms[device];
    return held_bytes(memory, device) + room->promised_bytes + room->leaving_bytes;
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

static struct survey look(const struct dyno_catalog *catalog, const struct dyno_slot *own,
                          int device)
{
    struct survey survey = {0};
    for (size_t i = 0; i < catalog->count; i++)
        for (struct dyno_slot *at = catalog->shelves[i]->slots; at != NULL; at = at->next) {
            if (at->variant == NULL || (device != 0 && at->variant->device != device))
                continue;
            if (at->is_pinned || at == own)
                survey.fixed_bytes += bytes_of(at->variant, device);
            else if (!is_idle(at->variant))
                survey.busy_bytes += bytes_of(at->variant, device);
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

/* " of GPU cuda:1"; of the host nothing is said. */
static const char *where(const struct dyno_memory_room *room, char text[64])
{
    text[0] = 0;
    if (room->name != NULL)
        (void)snprintf(text, 64, " of GPU %.32s", room->name);
    return text;
}

enum dyno_fit dyno_memory_ask(struct dyno_promise *promise, int device, uint64_t bytes,
                              struct dyno_variant **victim_out, struct dyno_err *err)
{
    struct dyno_memory *memory = promise->memory;
    struct dyno_memory_room *room = &memory->rooms[device];
    uint64_t *promised = &promise->bytes[device];
    const uint64_t limit = room->limit_bytes;
    char text[64];
    *victim_out = NULL;
    if (limit != 0 && bytes > limit) {
        (void)DYNO_FAIL(err, DYNO_E_LIMIT,
                        "it needs %llu bytes of memory%s, more than the %llu that all models may "
                        "use",
                        (unsigned long long)bytes, where(room, text), (unsigned long long)limit);
        return DYNO_FIT_NEVER;
    }
    const uint64_t others = room->promised_bytes - *promised;
    const uint64_t used = held_bytes(memory, device) + room->leaving_bytes + others;
    if (limit == 0 || bytes <= *promised || (used <= limit && bytes <= limit - used)) {
        *promised = bytes > *promised ? bytes : *promised;
        room->promised_bytes = others + *promised;
        return DYNO_FIT_YES;
    }
    const struct survey survey = look(promise->catalog, promise->slot, device);
    if (survey.fixed_bytes + others + bytes <= limit && promise->may_evict) {
        if (survey.victim == NULL)
            return DYNO_FIT_WAIT;
        *victim_out = evict(memory, survey.victim);
        return DYNO_FIT_EVICT;
    }
    promise->is_put_off = true;
    (void)DYNO_FAIL(err, DYNO_E_BUSY,
                    "it needs %llu bytes of memory%s, and of the %llu that all models may use "
                    "%llu are in use",
                    (unsigned long long)bytes, where(room, text), (unsigned long long)limit,
                    (unsigned long long)used);
    return DYNO_FIT_NOT_NOW;
}

void dyno_memory_settle(struct dyno_promise *promise, struct dyno_variant *variant)
{
    struct dyno_memory *memory = promise->memory;
    for (int i = 0; i < DYNO_DEVICES_MAX; i++) {
        memory->rooms[i].promised_bytes -= promise->bytes[i];
        promise->bytes[i] = 0;
    }
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
    for (int i = 0; i < DYNO_DEVICES_MAX; i++) {
        const struct dyno_memory_room *room = &memory->rooms[i];
        if (room->limit_bytes == 0 || room->leaving_bytes > 0 ||
            dyno_memory_used(memory, i) <= room->limit_bytes)
            continue;
        const struct survey survey = look(catalog, NULL, i);
        if (survey.victim != NULL)
            return evict(memory, survey.victim);
    }
    return NULL;
}

struct dyno_memory_left dyno_memory_leave(struct dyno_memory *memory, struct dyno_variant *variant)
{
    const struct dyno_memory_left left = {.gpu = variant->device,
                                          .host_bytes = bytes_of(variant, 0),
                                          .gpu_bytes = dyno_variant_gpu_bytes(variant)};
    if (variant->prev_held != NULL)
        variant->prev_held->next_held = variant->next_held;
    else
        memory->held = variant->next_held;
    if (variant->next_held != NULL)
        variant->next_held->prev_held = variant->prev_held;
    memory->rooms[0].leaving_bytes += left.host_bytes;
    if (left.gpu != 0)
        memory->rooms[left.gpu].leaving_bytes += left.gpu_bytes;
    return left;
}

void dyno_memory_left(struct dyno_memory *memory, const struct dyno_memory_left *left)
{
    memory->rooms[0].leaving_bytes -= left->host_bytes;
    if (left->gpu != 0)
        memory->rooms[left->gpu].leaving_bytes -= left->gpu_bytes;
}
