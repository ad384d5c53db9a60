/* broadcast.h - operands that spread over an output by ONNX's rule, row by row. */
#ifndef DYNO_BACKEND_CPU_BROADCAST_H
#define DYNO_BACKEND_CPU_BROADCAST_H

#include "backend/cpu/kernel.h"

#define DYNO_CPU_OPERANDS_MAX 3

/* The output as rows x cols; along cols an operand is dense (col 1) or one value (col 0). */
struct dyno_cpu_broadcast {
    int rank; /* axes that make up the rows */
    int64_t dims[DYNO_RANK_MAX];
    int64_t rows, cols;
    int operand_count;
    int64_t strides[DYNO_CPU_OPERANDS_MAX][DYNO_RANK_MAX];
    int64_t col[DYNO_CPU_OPERANDS_MAX];
};

/* strides[out->rank]: of `in` (dense, row-major) over the output's axes, in elements; false when it
 * does not spread over them. */
bool dyno_cpu_broadcast_strides(const struct dyno_buf *in, const struct dyno_buf *out,
                                int64_t *strides);

/* False when an operand does not spread over `out`. */
bool dyno_cpu_broadcast_init(struct dyno_cpu_broadcast *spread, const struct dyno_buf *out,
                             const struct dyno_buf *operands, int operand_count);

/* Where row `row` of each operand begins, in elements. */
void dyno_cpu_broadcast_row(const struct dyno_cpu_broadcast *spread, int64_t row,
                            int64_t at[DYNO_CPU_OPERANDS_MAX]);

#endif /* DYNO_BACKEND_CPU_BROADCAST_H */
