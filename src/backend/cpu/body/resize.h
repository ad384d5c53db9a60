/* resize.h - Resize of the last two axes of [N, C, (D,) (H,) W] by taps, BLOCK and ROW.
 *
 * Each output row and column is a weighted sum of input rows and columns; indices (clamped) and
 * weights of both axes are worked out at the start of a run.
 */
#include "backend/cpu/body/tail_range.h"
#include "backend/cpu/kernel.h"
#include "backend/cpu/simd.h"
#include "ops/resize.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(resize);

#define PARTS    (DYNO_CPU_BLOCK / LANES) /* vectors a block */
#define TAPS_MAX 32

struct resize_axis {
    int64_t in, out;
    int taps;
    int axis; /* of the tensor; -1: there is none, size 1 */
};

struct resize_state {
    bool block;
    int64_t planes; /* [in.h][in.w] each, of 16 lanes in BLOCK */
    int64_t depth;  /* planes of a channel (block) */
    int64_t block_count;
    struct resize_axis h, w;
    struct dyno_resize_plan plan;
    struct dyno_cpu_tail tail;
};

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    if (site->step->op != DYNO_OP_resize || max < 2)
        return 0;
    const struct dyno_resize_attrs *attrs = site->step->attrs;
    const double outs = (double)dyno_cpu_count(&site->outs[0]);
    const double us =
        dyno_cpu_move_us(site->target, 4.0 * ((double)dyno_cpu_count(&site->ins[0]) + outs));
    const double taps = attrs->mode == DYNO_RESIZE_NEAREST  ? 1.0
                        : attrs->mode == DYNO_RESIZE_LINEAR ? 4.0
                                                            : 16.0;
    out[0].est_us = (float)((us + outs * taps * 0.6e-3) * DYNO_CPU_ISA_COST);
    dyno_cpu_tactic_block(&out[1], site, (us + outs * taps * 0.06e-3) * DYNO_CPU_ISA_COST);
    return 2;
}

/* Only the last two axes change, of which channels are none. */
static bool keeps_others(const struct dyno_buf *x, const struct dyno_buf *y)
{
    for (int i = 0; i < x->rank; i++) {
        if ((i < 2 || i < x->rank - 2) && x->dims[i] != y->dims[i])
            return false;
    }
    return true;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    const struct dyno_resize_attrs *attrs = site->step->attrs;
    const struct dyno_buf *x = &site->ins[0];
    const struct dyno_buf *y = &site->outs[0];
    if (site->step->op != DYNO_OP_resize || !dyno_cpu_is_f32(x) || x->rank < 3 || x->rank > 5 ||
        !dyno_cpu_is_f32(y) || y->rank != x->rank || !keeps_others(x, y) ||
        !dyno_cpu_tail_accepts(site) || attrs->coord == DYNO_RESIZE_TF_CROP_AND_RESIZE ||
        attrs->antialias != 0)
        return dyno_cpu_refuse(site, err);
    const bool ok = dyno_cpu_asks_block(asked) ? dyno_cpu_settle_block(site, 0, 1, tactic)
                                               : dyno_cpu_settle_row(site, 0, tactic);
    return ok ? DYNO_OK : dyno_cpu_refuse(site, err);
}

static struct dyno_tensor as_tensor(const struct dyno_buf *buf)
{
    struct dyno_tensor tensor = {.dtype = buf->dtype, .rank = buf->rank, .data = buf->data};
    memcpy(tensor.dims, buf->dims, sizeof(tensor.dims));
    return tensor;
}

static enum dyno_status plan_resize(const struct dyno_site *site, struct dyno_resize_plan *plan,
                                    struct dyno_err *err)
{
    struct dyno_tensor tensors[4];
    const struct dyno_tensor *ptrs[4] = {NULL};
    for (uint32_t i = 0; i < site->step->own_in_count && i < 4; i++) {
        tensors[i] = as_tensor(&site->ins[i]);
        /* roi is not looked at by the modes that this kernel takes. */
        if (site->ins[i].rank >= 0 && i != 1 && (i == 0 || dyno_tensor_count(&tensors[i]) != 0))
            ptrs[i] = &tensors[i];
        if (i >= 2 && ptrs[i] != NULL && tensors[i].data == NULL)
            return DYNO_FAIL(err, DYNO_E_UNSUPPORTED,
                             "sizes of '%s' are not known when it is bound", site->step->name);
    }
    return dyno_resize_plan(site->step->attrs, ptrs[0], NULL, ptrs[2], ptrs[3], plan, err);
}

static enum dyno_status describe_axis(const struct dyno_site *site,
                                      const struct dyno_resize_plan *plan, int axis,
                                      struct resize_axis *out, struct dyno_err *err)
{
    *out = (struct resize_axis){.in = 1, .out = 1, .taps = 1, .axis = -1};
    if (axis < 2 || axis >= DYNO_RANK_MAX)
        return DYNO_OK;
    out->in = site->ins[0].dims[axis];
    out->out = site->outs[0].dims[axis];
    out->axis = axis;
    out->taps = dyno_resize_taps_max(site->step->attrs, plan, axis);
    if (out->taps < 1 || out->taps > TAPS_MAX || (out->in == 0 && out->out != 0))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "'%s' needs %d taps on axis %d, at most %d are done",
                         site->step->name, out->taps, axis, TAPS_MAX);
    return DYNO_OK;
}

static uint64_t table_bytes(const struct resize_axis *axis)
{
    return ((uint64_t)axis->out * (uint64_t)axis->taps * (sizeof(int64_t) + sizeof(float)) + 63) &
           ~(uint64_t)63;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct resize_state *state = state_bytes;
    const struct dyno_buf *x = &site->ins[0];
    DYNO_TRY(plan_resize(site, &state->plan, err));
    DYNO_TRY(describe_axis(site, &state->plan, x->rank - 2, &state->h, err));
    DYNO_TRY(describe_axis(site, &state->plan, x->rank - 1, &state->w, err));
    state->block = dyno_cpu_is_block(x);
    state->depth = x->rank > 4 ? x->dims[2] : 1;
    state->block_count = dyno_cpu_blocks(x);
    state->planes = x->dims[0] * (state->block ? state->block_count : x->dims[1]) * state->depth;
    *workspace_bytes_out = table_bytes(&state->h) + table_bytes(&state->w);
    return dyno_cpu_tail_prepare(site, DYNO_CPU_TAIL_MERGED, &state->tail, err);
}

/* --- tables --- */

struct table {
    const int64_t *idx; /* [out][taps], clamped */
    const float *weight;
};

static struct table table_at(const struct resize_axis *axis, char *room)
{
    const size_t count = (size_t)axis->out * (size_t)axis->taps;
    return (struct table){(const int64_t *)(void *)room,
                          (const float *)(void *)(room + count * sizeof(int64_t))};
}

static void fill_table(const struct dyno_run_args *args, const struct resize_axis *axis, char *room)
{
    const struct resize_state *state = args->state;
    int64_t *idx = (int64_t *)(void *)room;
    float *weight = (float *)(void *)(room + (size_t)axis->out * (size_t)axis->taps * sizeof(*idx));
    for (int64_t o = 0; o < axis->out; o++) {
        double weights[TAPS_MAX] = {1.0};
        int64_t first = 0;
        int count = 1;
        if (axis->axis >= 0)
            count =
                dyno_resize_taps(args->step->attrs, &state->plan, axis->axis, o, &first, weights);
        for (int t = 0; t < axis->taps; t++) {
            const int64_t at = t < count ? first + t : first;
            idx[o * axis->taps + t] = at < 0 ? 0 : dyno_cpu_min(at, axis->in - 1);
            weight[o * axis->taps + t] = t < count ? (float)weights[t] : 0.0F;
        }
    }
}

static struct table h_table(const struct dyno_run_args *args)
{
    const struct resize_state *state = args->state;
    return table_at(&state->h, args->workspace);
}

static struct table w_table(const struct dyno_run_args *args)
{
    const struct resize_state *state = args->state;
    return table_at(&state->w, (char *)args->workspace + table_bytes(&state->h));
}

/* --- BLOCK --- */

static void nearest_line(const float *line, const struct table *w, int64_t count, float *dst)
{
    for (int64_t o = 0; o < count; o++)
        for (int64_t v = 0; v < PARTS; v++)
            vf_store(dst + o * DYNO_CPU_BLOCK + v * LANES,
                     vf_load(line + w->idx[o] * DYNO_CPU_BLOCK + v * LANES));
}

static void taps_line(const struct resize_state *state, const float *plane, const int64_t *rows,
                      const float *row_weights, const struct table *w, float *dst)
{
    const int taps = state->w.taps;
    for (int64_t o = 0; o < state->w.out; o++) {
        vf acc[PARTS];
        for (int64_t v = 0; v < PARTS; v++)
            acc[v] = vf_zero();
        for (int r = 0; r < state->h.taps; r++) {
            const float *line = plane + rows[r] * state->w.in * DYNO_CPU_BLOCK;
            for (int t = 0; t < taps; t++) {
                const float *src = line + w->idx[o * taps + t] * DYNO_CPU_BLOCK;
                const vf weight = vf_set1(row_weights[r] * w->weight[o * taps + t]);
                for (int64_t v = 0; v < PARTS; v++)
                    acc[v] = vf_fma(weight, vf_load(src + v * LANES), acc[v]);
            }
        }
        for (int64_t v = 0; v < PARTS; v++)
            vf_store(dst + o * DYNO_CPU_BLOCK + v * LANES, acc[v]);
    }
}

static void block_unit(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct resize_state *state = args->state;
    const struct table h = h_table(args);
    const struct table w = w_table(args);
    const int64_t oh = unit % state->h.out;
    const int64_t plane = unit / state->h.out;
    const int64_t d = plane % state->depth;
    const int64_t cb = plane / state->depth % state->block_count;
    const int64_t n = plane / state->depth / state->block_count;
    const float *src =
        dyno_cpu_block_at(&args->ins[0], n, cb) + d * state->h.in * state->w.in * DYNO_CPU_BLOCK;
    const int64_t pos = (d * state->h.out + oh) * state->w.out;
    float *dst = dyno_cpu_block_at(&args->outs[0], n, cb) + pos * DYNO_CPU_BLOCK;
    if (state->h.taps == 1 && state->w.taps == 1)
        nearest_line(src + h.idx[oh] * state->w.in * DYNO_CPU_BLOCK, &w, state->w.out, dst);
    else
        taps_line(state, src, h.idx + oh * state->h.taps, h.weight + oh * state->h.taps, &w, dst);
    if (state->tail.instr_count != 0)
        tail_block(&state->tail, args->ins, dst, dst, n, cb, pos, state->w.out);
}

/* --- ROW --- */

static void row_unit(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct resize_state *state = args->state;
    const struct table h = h_table(args);
    const struct table w = w_table(args);
    const int64_t oh = unit % state->h.out;
    const float *src =
        (const float *)args->ins[0].data + unit / state->h.out * state->h.in * state->w.in;
    float *out = args->outs[0].data;
    float *dst = out + unit * state->w.out;
    const int taps = state->w.taps;
    if (taps == 1 && state->h.taps == 1) {
        const float *line = src + h.idx[oh] * state->w.in;
        for (int64_t o = 0; o < state->w.out; o++)
            dst[o] = line[w.idx[o]];
    } else {
        for (int64_t o = 0; o < state->w.out; o++)
            dst[o] = 0.0F;
        for (int r = 0; r < state->h.taps; r++) {
            const float *line = src + h.idx[oh * state->h.taps + r] * state->w.in;
            const float row_weight = h.weight[oh * state->h.taps + r];
            for (int64_t o = 0; o < state->w.out; o++)
                for (int t = 0; t < taps; t++)
                    dst[o] += row_weight * w.weight[o * taps + t] * line[w.idx[o * taps + t]];
        }
    }
    tail_range(&state->tail, args->ins, out, unit * state->w.out, state->w.out);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct resize_state *state = args->state;
    if (state->planes * state->h.out * state->w.out == 0)
        return DYNO_OK;
    fill_table(args, &state->h, args->workspace);
    fill_table(args, &state->w, (char *)args->workspace + table_bytes(&state->h));
    const int64_t taps = (int64_t)state->h.taps * state->w.taps;
    dyno_cpu_units(args, state->planes * state->h.out, state->w.out * taps * (state->block ? 8 : 1),
                   state->block ? block_unit : row_unit);
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(resize) = {
    .name = DYNO_CPU_KERNEL_NAME("resize"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 1,
    .state_bytes = sizeof(struct resize_state),
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
