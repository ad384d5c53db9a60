/* counter.c - taking, giving back, posting. */
#include "quota/counter.h"

#define REST_MASK UINT64_C(0xffffffff)

void dyno_slot_begin(struct dyno_budget_slot *slot, int64_t number, int64_t first_day, bool is_hard)
{
    atomic_store(&slot->number, DYNO_SLOT_NONE);
    slot->first_day = first_day;
    atomic_store(&slot->taken, 0);
    atomic_store(&slot->granted, is_hard ? 0 : DYNO_GRANT_SOFT);
    atomic_store(&slot->low, 0);
    atomic_store(&slot->used, 0);
    atomic_store(&slot->others, 0);
    slot->rest = 0;
    slot->is_loaded = slot->is_told = false;
    slot->told_used = slot->told_reserved = slot->told_granted = 0;
    slot->told_rest = 0;
    slot->empty_ns = 0;
    atomic_store(&slot->number, number);
}

struct dyno_budget_slot *dyno_counter_slot(struct dyno_counter *counter, int64_t number)
{
    struct dyno_budget_slot *slot = &counter->slots[(uint64_t)number % DYNO_SLOTS];
    return atomic_load_explicit(&slot->number, memory_order_acquire) == number ? slot : NULL;
}

/* Sequentially consistent on purpose: who lowers `granted` and then reads `taken` sees this, or
 * this sees what was lowered and takes nothing. */
bool dyno_slot_take(struct dyno_budget_slot *slot, int64_t amount)
{
    int_fast64_t taken = atomic_load(&slot->taken);
    do {
        if (taken + amount > atomic_load(&slot->granted))
            return false;
    } while (!atomic_compare_exchange_weak(&slot->taken, &taken, taken + amount));
    if (taken + amount <= atomic_load(&slot->granted))
        return true;
    dyno_slot_give(slot, amount);
    return false;
}

void dyno_slot_give(struct dyno_budget_slot *slot, int64_t amount)
{
    atomic_fetch_sub(&slot->taken, amount);
}

void dyno_slot_post(struct dyno_budget_slot *slot, int64_t taken, dyno_i128 amount)
{
    const dyno_i128 sum = amount + slot->rest;
    /* Rounds down, also below zero: the rest is never negative. */
    const int64_t whole = (int64_t)(sum >> DYNO_SPEND_BITS);
    slot->rest = (uint32_t)((uint64_t)sum & REST_MASK);
    atomic_store(&slot->used, atomic_load(&slot->used) + whole);
    atomic_fetch_add(&slot->taken, whole - taken);
}

int64_t dyno_slot_lower(struct dyno_budget_slot *slot, int64_t granted)
{
    atomic_store(&slot->granted, granted);
    return atomic_load(&slot->taken);
}
