/* tail_range.h - a tail over any stretch of a ROW output; the tail was prepared with any shape. */
#ifndef DYNO_BACKEND_CPU_BODY_TAIL_RANGE_H
#define DYNO_BACKEND_CPU_BODY_TAIL_RANGE_H

#include "backend/cpu/simd.h"
#include "backend/cpu/tail.h"

/* In place on elements [first, first + count) of the output whose storage begins at `out`. */
static inline void tail_range(const struct dyno_cpu_tail *tail, const struct dyno_buf *ins,
                              float *out, int64_t first, int64_t count)
{
    if (tail->instr_count == 0)
        return;
    if (tail->flat) {
        tail_flat(tail, ins, out + first, out + first, first, count);
        return;
    }
    while (count > 0) {
        const int64_t row = first / tail->cols;
        const int64_t col = first % tail->cols;
        const int64_t size = count < tail->cols - col ? count : tail->cols - col;
        tail_row(tail, ins, out + first, out + first, row, col, size);
        first += size;
        count -= size;
    }
}

#endif /* DYNO_BACKEND_CPU_BODY_TAIL_RANGE_H */
