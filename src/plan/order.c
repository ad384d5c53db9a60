/* order.c - conflicts of memory, reduced. */
#include "plan/order.h"

#include "base/mem.h"

static uint64_t end_of(const struct dyno_extent *extent)
{
    return extent->first + (extent->count - 1) * extent->stride + extent->width;
}

static bool is_nothing(const struct dyno_extent *extent)
{
    return extent->width == 0 || extent->count == 0;
}

bool dyno_extent_overlap(const struct dyno_extent *a, const struct dyno_extent *b)
{
    if (is_nothing(a) || is_nothing(b) || end_of(a) <= b->first || end_of(b) <= a->first)
        return false;
    if (a->count == 1 || b->count == 1 || a->stride != b->stride)
        return true;
    /* Rows equally far apart: ranges of channels beside each other. */
    const struct dyno_extent *low = a->first <= b->first ? a : b;
    const struct dyno_extent *high = a->first <= b->first ? b : a;
    const uint64_t shift = (high->first - low->first) % a->stride;
    return shift < low->width || a->stride - shift < high->width;
}

static bool conflict(const struct dyno_order_step *a, const struct dyno_order_step *b)
{
    for (uint32_t i = 0; i < a->extent_count; i++) {
        for (uint32_t k = 0; k < b->extent_count; k++) {
            if ((a->extents[i].is_written || b->extents[k].is_written) &&
                dyno_extent_overlap(&a->extents[i], &b->extents[k]))
                return true;
        }
    }
    return false;
}

static void set_bits(uint64_t *bits, uint32_t count)
{
    for (uint32_t i = 0; i < count / 64; i++)
        bits[i] = UINT64_MAX;
    if (count % 64 != 0)
        bits[count / 64] |= (UINT64_C(1) << count % 64) - 1;
}

/* What step s waits for, the latest first: a step that one of those waits for is known by then, so
 * that no edge is without need.  Their number. */
static uint32_t follow(const struct dyno_order *order, const struct dyno_order_step *steps,
                       uint32_t s, uint32_t *follows)
{
    uint64_t *before = order->before + (size_t)s * order->word_count;
    uint32_t count = 0;
    set_bits(before, steps[s].barrier);
    for (uint32_t i = s; i-- > steps[s].barrier;) {
        if ((before[i / 64] >> i % 64 & 1U) != 0 || !conflict(&steps[i], &steps[s]))
            continue;
        const uint64_t *theirs = order->before + (size_t)i * order->word_count;
        for (uint32_t w = 0; w < order->word_count; w++)
            before[w] |= theirs[w];
        before[i / 64] |= UINT64_C(1) << i % 64;
        follows[count++] = i;
    }
    return count;
}

enum dyno_status dyno_order_make(const struct dyno_order_step *steps, uint32_t step_count,
                                 struct dyno_arena *arena, struct dyno_order *order_out,
                                 struct dyno_err *err)
{
    DYNO_ASSERT(step_count <= DYNO_ORDER_STEPS_MAX);
    struct dyno_order order = {.step_count = step_count, .word_count = step_count / 64 + 1};
    uint32_t count = 0;
    uint32_t *found = dyno_alloc(step_count + 1U, sizeof(*found));
    order.first = dyno_arena_alloc(arena, step_count + 1U, sizeof(*order.first));
    order.before =
        dyno_arena_alloc(arena, (size_t)(step_count + 1U) * order.word_count, sizeof(uint64_t));
    bool ok = found != NULL && order.first != NULL && order.before != NULL;
    uint32_t capacity = 0;
    for (uint32_t s = 0; ok && s < step_count; s++) {
        DYNO_ASSERT(steps[s].barrier <= s);
        const uint32_t more = follow(&order, steps, s, found);
        if (count + more > capacity) {
            capacity = 2 * (count + more) + 64;
            uint32_t *grown = dyno_arena_alloc(arena, capacity, sizeof(*grown));
            ok = grown != NULL;
            for (uint32_t i = 0; ok && i < count; i++)
                grown[i] = order.follows[i];
            order.follows = grown;
        }
        for (uint32_t i = 0; ok && i < more; i++)
            order.follows[count++] = found[i];
        order.first[s + 1] = count;
    }
    dyno_free(found);
    *order_out = order;
    return ok ? DYNO_OK : DYNO_NOMEM(err);
}
