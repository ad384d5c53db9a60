/* budget.c - memory inside a budget. */
#include "base/budget.h"

#include "base/mem.h"

#define HEAD_BYTES                                                                \
    ((size_t)DYNO_MEM_ALIGN_BYTES) /* how many were taken stands before the block \
                                    */

void *dyno_budget_alloc(struct dyno_budget *budget, size_t bytes)
{
    size_t total = 0;
    if (__builtin_add_overflow(bytes, HEAD_BYTES, &total) || !dyno_budget_take(budget, total))
        return NULL;
    char *block = dyno_alloc_raw(total, 1);
    if (block == NULL) {
        dyno_budget_give(budget, total);
        return NULL;
    }
    *(size_t *)(void *)block = total;
    return block + HEAD_BYTES;
}

void dyno_budget_free(struct dyno_budget *budget, void *ptr)
{
    if (ptr == NULL)
        return;
    char *block = (char *)ptr - HEAD_BYTES;
    dyno_budget_give(budget, *(const size_t *)(const void *)block);
    dyno_free(block);
}
