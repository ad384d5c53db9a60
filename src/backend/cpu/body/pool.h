/* pool.h - MaxPool, AveragePool and the global poolings, BLOCK and ROW. */
#include "backend/cpu/body/tail_range.h"
#include "backend/cpu/kernel.h"
#include "backend/cpu/simd.h"
#include "ops/pool.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(pool);

#define PARTS (DYNO_CPU_BLOCK / LANES) /* vectors a block */

struct pool_state {
    bool block, average, include_pad, global;
    int64_t planes; /* ROW: batch * channels; BLOCK: batch * channel blocks */
    int64_t block_count;
    int64_t in_spatial, out_spatial;
    struct dyno_window window; /* three axes */
    struct dyno_cpu_tail tail;
};

static bool is_global(enum dyno_op_id op)
{
    return op == DYNO_OP_global_average_pool || op == DYNO_OP_global_max_pool;
}

static bool is_pool(enum dyno_op_id op)
{
    return op == DYNO_OP_max_pool || op == DYNO_OP_average_pool || is_global(op);
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    const enum dyno_op_id op = site->step->op;
    const struct dyno_buf *x = &site->ins[0];
    if (max < 2 || !is_pool(op))
        return 0;
    double taps = 1.0;
    if (!is_global(op)) {
        const struct dyno_pooling_attrs *attrs = site->step->attrs;
        for (uint32_t i = 0; i < attrs->kernel_shape.count; i++)
            taps *= (double)attrs->kernel_shape.at[i];
    }
    const double outs = (double)dyno_cpu_count(&site->outs[0]);
    const double bytes = 4.0 * ((double)dyno_cpu_count(x) + outs);
    const double us = dyno_cpu_move_us(site->target, bytes);
    out[0].est_us = (float)((us + outs * taps * 0.6e-3) * DYNO_CPU_ISA_COST);
    dyno_cpu_tactic_block(&out[1], site, (us + outs * taps * 0.06e-3) * DYNO_CPU_ISA_COST);
    return 2;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    const struct dyno_buf *x = &site->ins[0];
    if (!is_pool(site->step->op) || site->step->out_count != 1 || !dyno_cpu_is_f32(x) ||
        x->rank < 3 || x->rank > 5 || !dyno_cpu_is_f32(&site->outs[0]) ||
        !dyno_cpu_tail_accepts(site))
        return dyno_cpu_refuse(site, err);
    const bool ok = dyno_cpu_asks_block(asked) ? dyno_cpu_settle_block(site, 0, 1, tactic)
                                               : dyno_cpu_settle_row(site, 0, tactic);
    return ok ? DYNO_OK : dyno_cpu_refuse(site, err);
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct pool_state *state = state_bytes;
    const struct dyno_step *step = site->step;
    const struct dyno_buf *x = &site->ins[0];
    *workspace_bytes_out = 0;
    state->global = is_global(step->op);
    state->average = step->op == DYNO_OP_average_pool || step->op == DYNO_OP_global_average_pool;
    state->block = dyno_cpu_is_block(x);
    state->in_spatial = dyno_cpu_spatial(x);
    state->out_spatial = dyno_cpu_spatial(&site->outs[0]);
    state->block_count = dyno_cpu_blocks(x);
    state->planes = x->dims[0] * (state->block ? state->block_count : x->dims[1]);
    if (!state->global) {
        const struct dyno_pooling_attrs *attrs = step->attrs;
        struct dyno_window window;
        DYNO_TRY(dyno_pooling_window(attrs, x->rank, x->dims, &window, err));
        state->window = dyno_window_as_3d(&window);
        state->include_pad = attrs->count_include_pad != 0;
    }
    return dyno_cpu_tail_prepare(site, DYNO_CPU_TAIL_MERGED, &state->tail, err);
}

/* --- windows --- */

/* Taps [first, last) of output o on an axis that lie inside, and how many the average counts. */
struct taps {
    int64_t first, last;
    int64_t counted;
    int64_t start; /* input index of tap 0 */
};

static struct taps axis_taps(const struct pool_state *state, int axis, int64_t o)
{
    const struct dyno_window *w = &state->window;
    const int64_t dilation = w->dilation[axis];
    struct taps taps = {.first = 0, .last = w->kernel[axis]};
    taps.start = o * w->stride[axis] - w->pad_begin[axis];
    if (taps.start < 0)
        taps.first = dyno_cpu_div_up(-taps.start, dilation);
    if (taps.start + (taps.last - 1) * dilation >= w->in[axis])
        taps.last =
            w->in[axis] <= taps.start ? 0 : dyno_cpu_div_up(w->in[axis] - taps.start, dilation);
    if (taps.last < taps.first)
        taps.last = taps.first;
    taps.counted = taps.last - taps.first;
    if (state->include_pad) {
        const int64_t end = w->in[axis] + w->pad_end[axis] - taps.start;
        taps.counted = dyno_cpu_min(w->kernel[axis], end <= 0 ? 0 : dyno_cpu_div_up(end, dilation));
    }
    return taps;
}

/* One output of 16 channels: the plane of a block, the taps of the three axes. */
static inline void block_output(const struct pool_state *state, const float *plane,
                                const struct taps *d, const struct taps *h, const struct taps *w,
                                float *dst)
{
    const struct dyno_window *window = &state->window;
    vf acc[PARTS];
    for (int64_t v = 0; v < PARTS; v++)
        acc[v] = state->average ? vf_zero() : vf_set1(-INFINITY);
    for (int64_t kd = d->first; kd < d->last; kd++)
        for (int64_t kh = h->first; kh < h->last; kh++) {
            const int64_t row = ((d->start + kd * window->dilation[0]) * window->in[1] + h->start +
                                 kh * window->dilation[1]) *
                                window->in[2];
            const float *src =
                plane + (row + w->start + w->first * window->dilation[2]) * DYNO_CPU_BLOCK;
            for (int64_t kw = w->first; kw < w->last; kw++) {
                for (int64_t v = 0; v < PARTS; v++) {
                    const vf x = vf_load(src + v * LANES);
                    acc[v] = state->average ? vf_add(acc[v], x) : vf_max(x, acc[v]);
                }
                src += window->dilation[2] * DYNO_CPU_BLOCK;
            }
        }
    const float factor = 1.0F / (float)(d->counted * h->counted * w->counted);
    for (int64_t v = 0; v < PARTS; v++)
        vf_store(dst + v * LANES, state->average ? vf_mul(acc[v], vf_set1(factor)) : acc[v]);
}

/* A row of outputs (od, oh) of a channel block. */
static void block_unit(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct pool_state *state = args->state;
    const struct dyno_window *window = &state->window;
    const int64_t row = unit % (window->out[0] * window->out[1]);
    const int64_t plane = unit / (window->out[0] * window->out[1]);
    const int64_t n = plane / state->block_count;
    const int64_t cb = plane % state->block_count;
    const float *src = dyno_cpu_block_at(&args->ins[0], n, cb);
    float *dst = dyno_cpu_block_at(&args->outs[0], n, cb) + row * window->out[2] * DYNO_CPU_BLOCK;
    const struct taps d = axis_taps(state, 0, row / window->out[1]);
    const struct taps h = axis_taps(state, 1, row % window->out[1]);
    const int64_t reach = (window->kernel[2] - 1) * window->dilation[2];
    for (int64_t ow = 0; ow < window->out[2]; ow++) {
        const int64_t start = ow * window->stride[2] - window->pad_begin[2];
        struct taps w = {0, window->kernel[2], window->kernel[2], start};
        if (start < 0 || start + reach >= window->in[2])
            w = axis_taps(state, 2, ow);
        block_output(state, src, &d, &h, &w, dst + ow * DYNO_CPU_BLOCK);
    }
    if (state->tail.instr_count != 0)
        tail_block(&state->tail, args->ins, dst, dst, n, cb, row * window->out[2], window->out[2]);
}

/* dst[o] takes src[o * stride] for o in [first, last): the loops that the compiler makes vectors
 * of. */
static void add_row(float *dst, const float *src, int64_t stride, int64_t first, int64_t last)
{
    if (stride == 1) {
        for (int64_t o = first; o < last; o++)
            dst[o] += src[o];
    } else {
        for (int64_t o = first; o < last; o++)
            dst[o] += src[o * stride];
    }
}

static void max_row(float *dst, const float *src, int64_t stride, int64_t first, int64_t last)
{
    if (stride == 1) {
        for (int64_t o = first; o < last; o++)
            dst[o] = src[o] > dst[o] ? src[o] : dst[o];
    } else {
        for (int64_t o = first; o < last; o++)
            dst[o] = src[o * stride] > dst[o] ? src[o * stride] : dst[o];
    }
}

static void average_row(const struct pool_state *state, float *dst, int64_t counted)
{
    const struct dyno_window *window = &state->window;
    for (int64_t ow = 0; ow < window->out[2]; ow++) {
        const struct taps w = axis_taps(state, 2, ow);
        dst[ow] /= (float)(counted * w.counted);
    }
}

static void row_unit(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct pool_state *state = args->state;
    const struct dyno_window *window = &state->window;
    const int64_t row = unit % (window->out[0] * window->out[1]);
    const int64_t plane = unit / (window->out[0] * window->out[1]);
    const float *src = (const float *)args->ins[0].data + plane * state->in_spatial;
    float *out = args->outs[0].data;
    float *dst = out + unit * window->out[2];
    const struct taps d = axis_taps(state, 0, row / window->out[1]);
    const struct taps h = axis_taps(state, 1, row % window->out[1]);
    for (int64_t ow = 0; ow < window->out[2]; ow++)
        dst[ow] = state->average ? 0.0F : -INFINITY;
    for (int64_t kd = d.first; kd < d.last; kd++)
        for (int64_t kh = h.first; kh < h.last; kh++) {
            const float *line = src + ((d.start + kd * window->dilation[0]) * window->in[1] +
                                       h.start + kh * window->dilation[1]) *
                                          window->in[2];
            for (int64_t kw = 0; kw < window->kernel[2]; kw++) {
                /* outputs whose tap kw is inside the line */
                const int64_t shift = kw * window->dilation[2] - window->pad_begin[2];
                const int64_t stride = window->stride[2];
                const int64_t first = shift >= 0 ? 0 : dyno_cpu_div_up(-shift, stride);
                const int64_t room = window->in[2] - shift;
                const int64_t last =
                    dyno_cpu_min(window->out[2], room <= 0 ? 0 : dyno_cpu_div_up(room, stride));
                if (state->average)
                    add_row(dst, line + shift, stride, first, last);
                else
                    max_row(dst, line + shift, stride, first, last);
            }
        }
    if (state->average)
        average_row(state, dst, d.counted * h.counted);
    tail_range(&state->tail, args->ins, out, unit * window->out[2], window->out[2]);
}

/* --- global --- */

/* Sums run over short stretches whose results are summed: a map of 160x160 added up in one chain
 * loses four digits. */
#define STRETCH 128

/* A stretch of `count` positions of one channel block into total[PARTS]. */
static void global_block_stretch(const float *src, int64_t count, bool average, vf *total)
{
    vf acc[2][PARTS]; /* two chains, for latency */
    for (int64_t v = 0; v < PARTS; v++)
        acc[0][v] = acc[1][v] = average ? vf_zero() : vf_set1(-INFINITY);
    for (int64_t i = 0; i < count; i++)
        for (int64_t v = 0; v < PARTS; v++) {
            const vf x = vf_load(src + i * DYNO_CPU_BLOCK + v * LANES);
            vf *to = &acc[i & 1][v];
            *to = average ? vf_add(*to, x) : vf_max(x, *to);
        }
    for (int64_t v = 0; v < PARTS; v++)
        total[v] = average ? vf_add(total[v], vf_add(acc[0][v], acc[1][v]))
                           : vf_max(vf_max(acc[0][v], acc[1][v]), total[v]);
}

static void global_block_unit(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct pool_state *state = args->state;
    const int64_t n = unit / state->block_count;
    const int64_t cb = unit % state->block_count;
    const float *src = dyno_cpu_block_at(&args->ins[0], n, cb);
    float *dst = dyno_cpu_block_at(&args->outs[0], n, cb);
    vf total[PARTS];
    for (int64_t v = 0; v < PARTS; v++)
        total[v] = state->average ? vf_zero() : vf_set1(-INFINITY);
    for (int64_t at = 0; at < state->in_spatial; at += STRETCH) {
        const int64_t left = state->in_spatial - at;
        global_block_stretch(src + at * DYNO_CPU_BLOCK, left < STRETCH ? left : STRETCH,
                             state->average, total);
    }
    const vf factor = vf_set1(1.0F / (float)state->in_spatial);
    for (int64_t v = 0; v < PARTS; v++)
        vf_store(dst + v * LANES, state->average ? vf_mul(total[v], factor) : total[v]);
    if (state->tail.instr_count != 0)
        tail_block(&state->tail, args->ins, dst, dst, n, cb, 0, 1);
}

/* The sum or the maximum of count values, at most STRETCH vectors. */
static float global_row_stretch(const float *src, int64_t count, bool average)
{
    vf acc[2];
    acc[0] = acc[1] = average ? vf_zero() : vf_set1(-INFINITY);
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        vf *to = &acc[i / LANES & 1];
        *to = average ? vf_add(*to, vf_load(src + i)) : vf_max(vf_load(src + i), *to);
    }
    float value = average ? vf_hsum(vf_add(acc[0], acc[1])) : vf_hmax(vf_max(acc[0], acc[1]));
    for (; i < count; i++)
        value = average ? value + src[i] : (src[i] > value ? src[i] : value);
    return value;
}

static void global_row_unit(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct pool_state *state = args->state;
    const float *src = (const float *)args->ins[0].data + unit * state->in_spatial;
    float *dst = args->outs[0].data;
    float value = state->average ? 0.0F : -INFINITY;
    for (int64_t at = 0; at < state->in_spatial; at += STRETCH * LANES) {
        const int64_t left = state->in_spatial - at;
        const float part = global_row_stretch(
            src + at, left < STRETCH * LANES ? left : STRETCH * LANES, state->average);
        value = state->average ? value + part : (part > value ? part : value);
    }
    dst[unit] = state->average ? value / (float)state->in_spatial : value;
    tail_range(&state->tail, args->ins, dst, unit, 1);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct pool_state *state = args->state;
    if (state->global) {
        dyno_cpu_units(args, state->planes, state->in_spatial * (state->block ? DYNO_CPU_BLOCK : 1),
                       state->block ? global_block_unit : global_row_unit);
        return DYNO_OK;
    }
    const struct dyno_window *window = &state->window;
    const int64_t taps = window->kernel[0] * window->kernel[1] * window->kernel[2];
    const int64_t rows = window->out[0] * window->out[1];
    dyno_cpu_units(args, state->planes * rows, window->out[2] * taps * (state->block ? 4 : 1),
                   state->block ? block_unit : row_unit);
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(pool) = {
    .name = DYNO_CPU_KERNEL_NAME("pool"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 1,
    .state_bytes = sizeof(struct pool_state),
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
