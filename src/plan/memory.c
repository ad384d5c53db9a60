/* memory.c - greedy-by-size offsets, best fit among the gaps. */
#include "plan/memory.h"

#include <stdlib.h>

#include "base/mem.h"

#define ALIGN_BYTES UINT64_C(64)

static int larger_first(const void *a, const void *b)
{
    const struct dyno_mem_item *x = *(struct dyno_mem_item *const *)a;
    const struct dyno_mem_item *y = *(struct dyno_mem_item *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x < y ? -1 : x > y;
}

static int lower_first(const void *a, const void *b)
{
    const struct dyno_mem_item *x = *(struct dyno_mem_item *const *)a;
    const struct dyno_mem_item *y = *(struct dyno_mem_item *const *)b;
    if (x->offset_out != y->offset_out)
        return x->offset_out < y->offset_out ? -1 : 1;
    return x < y ? -1 : x > y;
}

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + ALIGN_BYTES - 1) & ~(ALIGN_BYTES - 1);
}

/* The smallest gap that holds `item` among those placed that live at the same time. */
static uint64_t best_gap(struct dyno_mem_item *const *busy, uint32_t busy_count, uint64_t bytes)
{
    uint64_t best = UINT64_MAX;
    uint64_t best_bytes = UINT64_MAX;
    uint64_t end = 0;
    for (uint32_t i = 0; i < busy_count; i++) {
        if (busy[i]->offset_out > end) {
            const uint64_t gap = busy[i]->offset_out - end;
            if (gap >= bytes && gap < best_bytes) {
                best = end;
                best_bytes = gap;
            }
        }
        const uint64_t item_end = busy[i]->offset_out + round_up(busy[i]->bytes);
        end = item_end > end ? item_end : end;
    }
    return best != UINT64_MAX ? best : end;
}

enum dyno_status dyno_mem_plan_apart(struct dyno_mem_item *items, uint32_t item_count,
                                     dyno_mem_apart_fn *apart, const void *arg, uint64_t *total_out,
                                     uint64_t *sum_out, struct dyno_err *err)
{
    enum dyno_status status = DYNO_OK;
    struct dyno_mem_item **order = dyno_alloc(item_count + 1U, sizeof(*order));
    struct dyno_mem_item **busy = dyno_alloc(item_count + 1U, sizeof(*busy));
    uint64_t total = 0;
    uint64_t sum = 0;
    if (order == NULL || busy == NULL) {
        status = DYNO_NOMEM(err);
        goto out;
    }
    for (uint32_t i = 0; i < item_count; i++) {
        order[i] = &items[i];
        items[i].offset_out = 0;
        if (items[i].bytes > UINT64_MAX / 4 ||
            __builtin_add_overflow(sum, round_up(items[i].bytes), &sum)) {
            status = DYNO_FAIL(err, DYNO_E_LIMIT, "the sizes of the activations overflow 64 bits");
            goto out;
        }
    }
    qsort(order, item_count, sizeof(*order), larger_first);
    for (uint32_t i = 0; i < item_count && order[i]->bytes != 0; i++) {
        struct dyno_mem_item *item = order[i];
        uint32_t busy_count = 0;
        for (uint32_t k = 0; k < i; k++) {
            if (!apart(arg, (uint32_t)(order[k] - items), (uint32_t)(item - items)))
                busy[busy_count++] = order[k];
        }
        qsort(busy, busy_count, sizeof(*busy), lower_first);
        item->offset_out = best_gap(busy, busy_count, round_up(item->bytes));
        const uint64_t end = item->offset_out + round_up(item->bytes);
        total = end > total ? end : total;
    }
    *total_out = total;
    *sum_out = sum;
out:
    dyno_free(busy);
    dyno_free(order);
    return status;
}

/* One step after the other. */
static bool live_apart(const void *arg, uint32_t a, uint32_t b)
{
    const struct dyno_mem_item *items = arg;
    return items[a].first_step_idx > items[b].last_step_idx ||
           items[a].last_step_idx < items[b].first_step_idx;
}

enum dyno_status dyno_mem_plan(struct dyno_mem_item *items, uint32_t item_count,
                               uint64_t *total_out, uint64_t *sum_out, struct dyno_err *err)
{
    return dyno_mem_plan_apart(items, item_count, live_apart, items, total_out, sum_out, err);
}
