/* move.h - copies between two strided views of up to DYNO_CPU_MOVE_RANK axes: what transposes,
 * slices, concatenations, expansions and pads come down to. */
#ifndef DYNO_BACKEND_CPU_MOVE_H
#define DYNO_BACKEND_CPU_MOVE_H

#include "backend/cpu/kernel.h"

#define DYNO_CPU_MOVE_RANK 16

/* For every index i inside dims: dst[dst_offset + i . dst_strides] = src[src_offset + i .
 * src_strides], in elements of elem_bytes.  dst places are distinct; the two do not overlap. */
struct dyno_cpu_move {
    int rank;
    int64_t dims[DYNO_CPU_MOVE_RANK];
    int64_t src_strides[DYNO_CPU_MOVE_RANK]; /* 0: repeated; negative: backwards */
    int64_t dst_strides[DYNO_CPU_MOVE_RANK]; /* positive */
    int64_t src_offset, dst_offset;
    int64_t elem_bytes; /* 1, 2, 4, 8 or 16 */
};

void dyno_cpu_move_axis(struct dyno_cpu_move *move, int64_t dim, int64_t src_stride,
                        int64_t dst_stride);

/* Row-major strides of dims[0..rank-1]. */
void dyno_cpu_row_strides(const int64_t *dims, int rank, int64_t *strides_out);

/* An axis as attributes name it: from the end when negative. */
static inline int dyno_cpu_axis(int64_t axis, int rank)
{
    return (int)(axis < 0 ? axis + rank : axis);
}

/* Operators whose output is the input under another shape. */
bool dyno_cpu_is_view(enum dyno_op_id op);

/* For `settle` of the kernel `move`: operator, types, and what shape rules leave open when sizes
 * come with the data; layouts are not looked at. */
enum dyno_status dyno_cpu_move_check(const struct dyno_site *site, struct dyno_err *err);

/* First element and step of a Slice on each axis, from the data of the step's inputs and the
 * output's size; false where they lead outside the input. */
bool dyno_cpu_slice_axes(const struct dyno_step *step, const struct dyno_buf *ins,
                         const struct dyno_buf *out, int64_t *start_out, int64_t *step_out);

/* Element size in whole bytes; 0 for packed 4-bit and 2-bit types. */
int64_t dyno_cpu_elem_bytes(enum dyno_dtype dtype);

/* All of it, on the pool of args when it pays. */
void dyno_cpu_move_run(const struct dyno_run_args *args, const struct dyno_cpu_move *from,
                       const void *src, void *dst);

#endif /* DYNO_BACKEND_CPU_MOVE_H */
