/* memory.h - offsets for tensors whose lifetimes do not overlap.
 *
 * Greedy by size with best fit among the gaps (the offset form of interval packing; see Pisarchyk
 * and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020, section 4.2).
 */
#ifndef DYNO_PLAN_MEMORY_H
#define DYNO_PLAN_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct dyno_mem_item {
    uint64_t bytes;          /* 0: gets offset 0 and no room */
    uint32_t first_step_idx; /* written by */
    uint32_t last_step_idx;  /* last read by, inclusive */
    uint64_t offset_out;     /* result: multiple of 64 */
};

/* May items a and b share bytes?  One of them is done with before the other begins. */
typedef bool dyno_mem_apart_fn(const void *arg, uint32_t a, uint32_t b);

/* Returns the bytes of the arena in *total_out and the plain sum of sizes in *sum_out. */
enum dyno_status dyno_mem_plan(struct dyno_mem_item *items, uint32_t item_count,
                               uint64_t *total_out, uint64_t *sum_out, struct dyno_err *err);

/* The same where steps do not run one after the other: `apart` says it in place of the steps of the
 * items. */
enum dyno_status dyno_mem_plan_apart(struct dyno_mem_item *items, uint32_t item_count,
                                     dyno_mem_apart_fn *apart, const void *arg, uint64_t *total_out,
                                     uint64_t *sum_out, struct dyno_err *err);

#endif /* DYNO_PLAN_MEMORY_H */
