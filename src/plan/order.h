/* order.h - which steps must follow which, by the memory that they read and write.
 *
 * Two steps keep their order when they touch the same bytes and at least one of them writes there:
 * what was written is read afterwards, and what is read is overwritten afterwards.  Everything else
 * may run at the same time.
 */
#ifndef DYNO_PLAN_ORDER_H
#define DYNO_PLAN_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

#define DYNO_ORDER_STEPS_MAX 8192 /* the relation takes a bit for each pair of steps */

/* Bytes that a step touches: `count` rows of `width` bytes, `stride` apart (1 row: any). */
struct dyno_extent {
    uint64_t first, width, stride, count; /* width or count 0: nothing */
    bool is_written;
};

struct dyno_order_step {
    const struct dyno_extent *extents;
    uint32_t extent_count;
    uint32_t barrier; /* all steps before this one are waited for, whatever they touch */
};

struct dyno_order {
    uint32_t step_count;
    /* Of step s: follows[first[s] .. first[s + 1]), the steps that it waits for.  Those that it
     * waits for anyway, as one of these does, are not among them; nor are those before its barrier.
     */
    uint32_t *first, *follows;
    uint64_t *before; /* bits[step_count] of each step: all that end before it begins */
    uint32_t word_count;
};

/* Have rows of both a byte in common?  True also where only rows past their ends would. */
bool dyno_extent_overlap(const struct dyno_extent *a, const struct dyno_extent *b);

/* All in `arena`; steps in an order that is right.  At most DYNO_ORDER_STEPS_MAX steps. */
DYNO_NODISCARD enum dyno_status dyno_order_make(const struct dyno_order_step *steps,
                                                uint32_t step_count, struct dyno_arena *arena,
                                                struct dyno_order *order_out, struct dyno_err *err);

static inline bool dyno_order_before(const struct dyno_order *order, uint32_t a, uint32_t b)
{
    return (order->before[(size_t)b * order->word_count + a / 64] >> a % 64 & 1U) != 0;
}

#endif /* DYNO_PLAN_ORDER_H */
