/* budget.h - a number of bytes that several takers share, as that of a server's bytes in flight.
 *
 * Any thread.  What was taken is given back by whoever frees the memory, exactly.
 */
#ifndef DYNO_BASE_BUDGET_H
#define DYNO_BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dyno_budget {
    uint64_t limit_bytes;
    atomic_uint_fast64_t used_bytes;
};

/* False, and nothing taken, when that many are not left. */
static inline bool dyno_budget_take(struct dyno_budget *budget, uint64_t bytes)
{
    const uint64_t before =
        atomic_fetch_add_explicit(&budget->used_bytes, bytes, memory_order_relaxed);
    if (bytes <= budget->limit_bytes && before <= budget->limit_bytes - bytes)
        return true;
    atomic_fetch_sub_explicit(&budget->used_bytes, bytes, memory_order_relaxed);
    return false;
}

static inline void dyno_budget_give(struct dyno_budget *budget, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&budget->used_bytes, bytes, memory_order_relaxed);
}

/* Memory inside the budget, 64-byte aligned, not zeroed; NULL when the budget or memory is spent.
 */
void *dyno_budget_alloc(struct dyno_budget *budget, size_t bytes);
void dyno_budget_free(struct dyno_budget *budget, void *ptr); /* accepts NULL */

#endif /* DYNO_BASE_BUDGET_H */
