/* kernel.h - what the CPU kernels' enumerate, prepare and run functions have in common. */
#ifndef DYNO_BACKEND_CPU_KERNEL_H
#define DYNO_BACKEND_CPU_KERNEL_H

#include <string.h>

#include "backend/cpu/tail.h"

/* Elements worth a task of their own in kernels that only pass over memory (about 10 us). */
#define DYNO_CPU_TASK_ELEMS 32768

static inline int64_t dyno_cpu_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t dyno_cpu_div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Product of dims[first..last-1]. */
static inline int64_t dyno_cpu_product(const int64_t *dims, int first, int last)
{
    int64_t product = 1;
    for (int i = first; i < last; i++)
        product *= dims[i];
    return product;
}

static inline int64_t dyno_cpu_count(const struct dyno_buf *buf)
{
    return dyno_cpu_product(buf->dims, 0, buf->rank);
}

static inline bool dyno_cpu_is_f32(const struct dyno_buf *buf)
{
    return buf->rank >= 0 && buf->dtype == DYNO_F32;
}

static inline bool dyno_cpu_is_block(const struct dyno_buf *buf)
{
    return buf->layout.kind == DYNO_LAYOUT_BLOCK;
}

/* Can be in BLOCK layout: f32, batch and channels. */
static inline bool dyno_cpu_blockable(const struct dyno_buf *buf)
{
    return dyno_cpu_is_f32(buf) && buf->rank >= 2;
}

/* Channel blocks and positions of a tensor in BLOCK layout. */
static inline int64_t dyno_cpu_blocks(const struct dyno_buf *buf)
{
    return dyno_cpu_div_up(buf->dims[1], DYNO_CPU_BLOCK);
}
static inline int64_t dyno_cpu_spatial(const struct dyno_buf *buf)
{
    return dyno_cpu_product(buf->dims, 2, buf->rank);
}

/* First float of channel block cb of batch n. */
static inline float *dyno_cpu_block_at(const struct dyno_buf *buf, int64_t n, int64_t cb)
{
    float *data = buf->data;
    return data + n * buf->batch_stride + cb * dyno_cpu_spatial(buf) * DYNO_CPU_BLOCK;
}

/* For `enumerate`: a candidate with output 0 in BLOCK and the tail's inputs as they spread over it.
 */
void dyno_cpu_tactic_block(struct dyno_tactic *tactic, const struct dyno_site *site, double est_us);

/* For `settle`: every tensor is in ROW layout, as a baseline may do it / output 0 and own inputs
 * [0, block_in_count) are in BLOCK.  cfg_count of the parameters mean something, the others are 0.
 * False when that is not what was asked for. */
bool dyno_cpu_settle_row(const struct dyno_site *site, int cfg_count, struct dyno_tactic *tactic);
bool dyno_cpu_settle_block(const struct dyno_site *site, int cfg_count, uint32_t block_in_count,
                           struct dyno_tactic *tactic);
static inline bool dyno_cpu_asks_block(const struct dyno_tactic *asked)
{
    return asked->out_layout.kind == DYNO_LAYOUT_BLOCK;
}

/* `return dyno_cpu_refuse(site, err);`: not a step, or not parameters, for this kernel. */
enum dyno_status dyno_cpu_refuse(const struct dyno_site *site, struct dyno_err *err);

/* Microseconds to move that many bytes on one thread, with what a launch costs. */
double dyno_cpu_move_us(const struct dyno_target *target, double bytes);

/* Tasks for `count` units of `elems` elements each: as many as pay, a few a thread at most. */
int dyno_cpu_tasks(const struct dyno_pool *pool, int64_t count, int64_t elems);

/* Call fn for every unit 0..count-1, in tasks of neighbours; elems: elements a unit touches. */
typedef void dyno_cpu_unit_fn(const struct dyno_run_args *args, int64_t unit, int thread);
void dyno_cpu_units(const struct dyno_run_args *args, int64_t count, int64_t elems,
                    dyno_cpu_unit_fn *fn);

/* The units of task `task` of `task_count`: [first, last). */
static inline void dyno_cpu_share(int64_t count, int task_count, int task, int64_t *first_out,
                                  int64_t *last_out)
{
    const int64_t size = count / task_count;
    const int64_t more = count % task_count;
    *first_out = task * size + dyno_cpu_min(task, more);
    *last_out = *first_out + size + (task < more ? 1 : 0);
}

#endif /* DYNO_BACKEND_CPU_KERNEL_H */
