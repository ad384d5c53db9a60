/* kernel.h - what the GPU's kernels have in common on the host. */
#ifndef DYNO_BACKEND_CUDA_KERNEL_H
#define DYNO_BACKEND_CUDA_KERNEL_H

#include "backend/backend.h"
#include "backend/cuda/kernels/params.h"

/* Channels last, stored as that type; a block is 16 bytes. */
struct dyno_layout dyno_cuda_last(enum dyno_dtype elem);
/* Rows, an f32 tensor stored as that type. */
struct dyno_layout dyno_cuda_row(enum dyno_dtype elem);

static inline bool dyno_cuda_is_last(struct dyno_layout layout)
{
    return layout.kind == DYNO_LAYOUT_LAST;
}
/* Rows of the tensor's own type, as frameworks have it by default. */
static inline bool dyno_cuda_is_plain(struct dyno_layout layout)
{
    return dyno_layout_same(layout, DYNO_ROW);
}
/* Channels as stored. */
static inline int64_t dyno_cuda_stored(int64_t channels, struct dyno_layout layout)
{
    return dyno_layout_stored(layout, channels);
}

/* Elements between positions of a tensor channels last, for `prepare`: at most INT32_MAX / 16 where
 * dims[1] is. */
static inline int64_t dyno_cuda_ld(const struct dyno_buf *buf, struct dyno_layout layout)
{
    return buf->ld != 0 ? buf->ld : dyno_cuda_stored(buf->dims[1], layout);
}

/* The layouts that a GPU may give or take, `count` of them, rows of f32 first. */
extern const struct dyno_layout dyno_cuda_layouts[];
extern const int dyno_cuda_layout_count;
bool dyno_cuda_layout_known(struct dyno_layout layout);
/* Is it one whose element type the build may use? */
bool dyno_cuda_layout_allowed(struct dyno_layout layout, const struct dyno_target *target);

/* "float", "f16", "bf16": what programs call the stored elements of an f32 tensor. */
const char *dyno_cuda_type(struct dyno_layout layout);

/* Input i can be read there: it is made by a step or the caller, or is a constant.  Contents that
 * follow from shapes alone are on the host. */
bool dyno_cuda_readable(const struct dyno_site *site, uint32_t i);
bool dyno_cuda_is_f32(const struct dyno_buf *buf);
/* Of the op's own inputs: i is not there; it is a constant of f32. */
bool dyno_cuda_is_absent(const struct dyno_site *site, uint32_t i);
bool dyno_cuda_is_constant(const struct dyno_site *site, uint32_t i);

/* Are the axes of `in` before its matrix those of `out`?  Or all 1 (*shared_out)? */
bool dyno_cuda_batch_spreads(const struct dyno_buf *in, const struct dyno_buf *out,
                             bool *shared_out);

int64_t dyno_cuda_count(const struct dyno_buf *buf, int first, int last);
static inline int64_t dyno_cuda_div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* `return dyno_cuda_refuse(site, err);`: not a step, or not parameters, for this kernel. */
enum dyno_status dyno_cuda_refuse(const struct dyno_site *site, struct dyno_err *err);

/* Parameters cfg[used..] are zero. */
bool dyno_cuda_rest_is_zero(const struct dyno_tactic *tactic, int used);

/* Is cfg[0] the number of a layout, of channels last or of rows, and the output to have the same?
 */
bool dyno_cuda_asks_layout(const struct dyno_tactic *asked, bool last);

/* Microseconds for a launch that moves so many bytes. */
double dyno_cuda_move_us(const struct dyno_target *target, double bytes);

/* One launch of the step's program; nothing when the grid is empty.  params[bytes] are copied. */
DYNO_NODISCARD enum dyno_status dyno_cuda_launch(const struct dyno_run_args *args,
                                                 const int64_t grid[3], int threads,
                                                 uint32_t shared_bytes, const void *params,
                                                 size_t bytes);

static inline unsigned long long dyno_cuda_address(const void *data)
{
    return (unsigned long long)(uintptr_t)data;
}

#endif /* DYNO_BACKEND_CUDA_KERNEL_H */
