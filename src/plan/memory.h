/* memory.h - offsets for tensors whose lifetimes do not overlap.
 *
 * Greedy by size with best fit among the gaps (the offset form of interval packing; see Pisarchyk
 * and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020, section 4.2).
 */
#ifndef DYNO_PLAN_MEMORY_H
#define DYNO_PLAN_MEMORY_H

#include <stdint.h>

#include "base/err.h"

struct dyno_mem_item {
    uint64_t bytes;          /* 0: gets offset 0 and no room */
    uint32_t first_step_idx; /* written by */
    uint32_t last_step_idx;  /* last read by, inclusive */
    uint64_t offset_out;     /* result: multiple of 64 */
};

/* Returns the bytes of the arena in *total_out and the plain sum of sizes in *sum_out. */
enum dyno_status dyno_mem_plan(struct dyno_mem_item *items, uint32_t item_count,
                               uint64_t *total_out, uint64_t *sum_out, struct dyno_err *err);

#endif /* DYNO_PLAN_MEMORY_H */
