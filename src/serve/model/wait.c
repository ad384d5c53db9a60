/* wait.c - requests that wait for a slot. */
#include "base/clock.h"
#include "serve/model/catalog.h"

#define FULL_RETRY_NS UINT64_C(1000000000) /* what a client is told who finds no place */

bool dyno_slot_comes(const struct dyno_catalog *catalog, const struct dyno_slot *slot)
{
    return slot->variant == NULL && slot->path != NULL && !slot->is_gone &&
           (catalog->on_demand || slot->is_evicted || slot->is_ordered);
}

enum dyno_status dyno_slot_wait(struct dyno_catalog *catalog, struct dyno_slot *slot,
                                struct dyno_wait *wait, struct dyno_err *err)
{
    const uint64_t now_ns = dyno_clock_ns();
    const bool is_loading =
        slot->is_ordered || slot->state == DYNO_SLOT_LOADING || slot->state == DYNO_SLOT_WARMING;
    if (slot->state == DYNO_SLOT_FAILED && now_ns < slot->retry_ns) {
        wait->retry_ns = slot->retry_ns - now_ns;
        return DYNO_FAIL(err, DYNO_E_BUSY, "model '%s' version %s could not be loaded: %.700s",
                         slot->shelf->name, slot->version,
                         slot->reason != NULL ? slot->reason : "out of memory");
    }
    if (slot->wait_count >= catalog->wait_max) {
        wait->retry_ns = FULL_RETRY_NS;
        return DYNO_FAIL(err, DYNO_E_BUSY,
                         "Exceeds maximum queue size: %u requests wait for model '%s' to be loaded",
                         (unsigned)slot->wait_count, slot->shelf->name);
    }
    if (!is_loading && !catalog->want(catalog->want_arg, slot, false))
        return DYNO_NOMEM(err);
    if (slot->waits == NULL)
        slot->wait_ns = now_ns;
    wait->slot = slot;
    wait->prev = NULL;
    wait->next = slot->waits;
    if (slot->waits != NULL)
        slot->waits->prev = wait;
    slot->waits = wait;
    slot->wait_count++;
    return DYNO_OK;
}

bool dyno_catalog_unwait(struct dyno_catalog *catalog, struct dyno_wait *wait)
{
    (void)pthread_mutex_lock(&catalog->lock);
    struct dyno_slot *slot = wait->slot;
    if (slot != NULL) {
        if (wait->prev != NULL)
            wait->prev->next = wait->next;
        else
            slot->waits = wait->next;
        if (wait->next != NULL)
            wait->next->prev = wait->prev;
        slot->wait_count--;
        wait->slot = NULL;
    }
    (void)pthread_mutex_unlock(&catalog->lock);
    return slot != NULL;
}

/* They were put in front: the first is the last of the list. */
struct dyno_wait *dyno_slot_take_waits(struct dyno_slot *slot, enum dyno_status status,
                                       const char *reason, uint64_t retry_ns)
{
    struct dyno_wait *first = NULL;
    for (struct dyno_wait *at = slot->waits; at != NULL;) {
        struct dyno_wait *next = at->next;
        at->slot = NULL;
        at->status = status;
        at->retry_ns = retry_ns;
        at->variant = status == DYNO_OK ? slot->variant : NULL;
        if (at->variant != NULL)
            dyno_variant_ref(at->variant);
        if (status != DYNO_OK)
            (void)DYNO_FAIL(at->err, status, "model '%s' version %s could not be loaded: %.700s",
                            slot->shelf->name, slot->version, reason);
        at->next = first;
        first = at;
        at = next;
    }
    slot->waits = NULL;
    slot->wait_count = 0;
    return first;
}

void dyno_waits_wake(struct dyno_wait *waits)
{
    while (waits != NULL) {
        struct dyno_wait *next = waits->next;
        waits->done(waits);
        waits = next;
    }
}
