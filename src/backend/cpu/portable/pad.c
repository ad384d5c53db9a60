/* pad.c - Pad of any element type, ROW; spatial constant padding in BLOCK. */
#include "backend/cpu/move.h"

#include "ops/move.h"

extern const struct dyno_kernel dyno_kernel_portable_pad;

/* One axis: what remains of the input after negative pads, and where it lies in the output. */
struct pad_axis {
    int64_t from, size, begin;
};

struct pad_state {
    enum dyno_pad_mode mode;
    int64_t elem_bytes;
    struct pad_axis axes[DYNO_RANK_MAX];
};

static int64_t index_at(const struct dyno_buf *buf, int64_t idx)
{
    return dyno_elem_load_i64(buf->dtype, buf->data, (size_t)idx);
}

/* False when the pads do not lead from the input's to the output's sizes. */
static bool find_axes(const struct dyno_site *site, struct pad_axis *axes)
{
    const struct dyno_buf *in = &site->ins[0];
    const struct dyno_buf *out = &site->outs[0];
    const bool named = site->step->own_in_count > 3 && site->ins[3].rank >= 0;
    const int64_t count = named ? dyno_cpu_count(&site->ins[3]) : in->rank;
    bool padded[DYNO_RANK_MAX] = {false};
    if (site->ins[1].data == NULL || dyno_cpu_count(&site->ins[1]) != 2 * count ||
        (named && site->ins[3].data == NULL) || in->rank != out->rank)
        return false;
    for (int i = 0; i < in->rank; i++)
        axes[i] = (struct pad_axis){.size = in->dims[i]};
    for (int64_t i = 0; i < count; i++) {
        int64_t axis = named ? index_at(&site->ins[3], i) : i;
        axis += axis < 0 ? in->rank : 0;
        if (axis < 0 || axis >= in->rank || padded[axis])
            return false;
        padded[axis] = true;
        const int64_t begin = index_at(&site->ins[1], i);
        const int64_t end = index_at(&site->ins[1], count + i);
        struct pad_axis *to = &axes[axis];
        if (begin < -in->dims[axis] || end < -in->dims[axis] || begin > out->dims[axis] ||
            end > out->dims[axis])
            return false;
        to->from = begin < 0 ? -begin : 0;
        to->begin = begin < 0 ? 0 : begin;
        to->size += (begin < 0 ? begin : 0) + (end < 0 ? end : 0);
        if (to->size < 0 || to->begin + to->size + (end < 0 ? 0 : end) != site->outs[0].dims[axis])
            return false;
    }
    for (int i = 0; i < in->rank; i++)
        if (!padded[i] && in->dims[i] != out->dims[i])
            return false;
    return true;
}

static bool pads_in_blocks(const struct dyno_site *site)
{
    const struct dyno_pad_attrs *attrs = site->step->attrs;
    struct pad_axis axes[DYNO_RANK_MAX];
    if (attrs->mode != DYNO_PAD_CONSTANT || !dyno_cpu_blockable(&site->ins[0]))
        return false;
    for (uint32_t i = 1; i < site->step->own_in_count; i++)
        if (site->ins[i].rank >= 0 && !site->in_is_weight[i])
            return false;
    return find_axes(site, axes) && site->ins[0].dims[0] == site->outs[0].dims[0] &&
           site->ins[0].dims[1] == site->outs[0].dims[1] && axes[0].from == 0 &&
           axes[1].from == 0 && axes[0].begin == 0 && axes[1].begin == 0;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    const int64_t elem = dyno_cpu_elem_bytes(site->ins[0].dtype);
    if (site->step->op != DYNO_OP_pad || max < 2)
        return 0;
    const double bytes = 3.0 * (double)elem * (double)dyno_cpu_count(&site->outs[0]);
    const double us = dyno_cpu_move_us(site->target, bytes);
    out[0].est_us = (float)us;
    dyno_cpu_tactic_block(&out[1], site, us);
    return 2;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    const struct dyno_step *step = site->step;
    struct pad_axis axes[DYNO_RANK_MAX];
    const struct dyno_buf *in = &site->ins[0];
    const bool given = step->own_in_count > 2 && site->ins[2].rank >= 0;
    const int64_t elem = dyno_cpu_elem_bytes(in->dtype);
    if (step->op != DYNO_OP_pad || step->tail.instr_count != 0 || elem == 0 || elem > 16 ||
        in->dtype != site->outs[0].dtype || !find_axes(site, axes) ||
        (given && (site->ins[2].dtype != in->dtype || dyno_cpu_count(&site->ins[2]) < 1)))
        return dyno_cpu_refuse(site, err);
    const bool ok = dyno_cpu_asks_block(asked)
                        ? pads_in_blocks(site) && dyno_cpu_settle_block(site, 0, 1, tactic)
                        : dyno_cpu_settle_row(site, 0, tactic);
    return ok ? DYNO_OK : dyno_cpu_refuse(site, err);
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct pad_state *state = state_bytes;
    const struct dyno_pad_attrs *attrs = site->step->attrs;
    *workspace_bytes_out = 0;
    state->mode = (enum dyno_pad_mode)attrs->mode;
    state->elem_bytes = dyno_cpu_elem_bytes(site->ins[0].dtype);
    if (!find_axes(site, state->axes))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "the pads of '%s' do not give its output's shape",
                         site->step->name);
    for (int i = 0; i < site->ins[0].rank; i++)
        if (state->mode != DYNO_PAD_CONSTANT && state->axes[i].size == 0 &&
            site->outs[0].dims[i] != 0)
            return DYNO_FAIL(err, DYNO_E_ARG, "axis %d of '%s' has no element to pad from", i,
                             site->step->name);
    return DYNO_OK;
}

/* Coordinate in the kept part for output coordinate `at`. */
static int64_t source(const struct pad_axis *axis, int64_t at, enum dyno_pad_mode mode)
{
    const int64_t c = at - axis->begin;
    if (c >= 0 && c < axis->size)
        return c;
    if (mode == DYNO_PAD_EDGE)
        return c < 0 ? 0 : axis->size - 1;
    const int64_t period = mode == DYNO_PAD_WRAP ? axis->size : 2 * (axis->size - 1);
    if (period == 0)
        return 0;
    const int64_t r = c % period + (c % period < 0 ? period : 0);
    return r < axis->size ? r : period - r;
}

/* --- constant: fill, then put the kept part into its place --- */

static void fill(const struct dyno_run_args *args, int64_t storage_count)
{
    const struct pad_state *state = args->state;
    static const char zero[16];
    const bool given = args->step->own_in_count > 2 && args->ins[2].rank >= 0;
    struct dyno_cpu_move move = {.elem_bytes = state->elem_bytes};
    dyno_cpu_move_axis(&move, storage_count, 0, 1);
    dyno_cpu_move_run(args, &move, given ? args->ins[2].data : zero, args->outs[0].data);
}

static void run_constant(const struct dyno_run_args *args)
{
    const struct pad_state *state = args->state;
    const struct dyno_buf *in = &args->ins[0];
    const struct dyno_buf *out = &args->outs[0];
    const bool block = dyno_cpu_is_block(in);
    const int64_t lanes = block ? DYNO_CPU_BLOCK : 1;
    struct dyno_cpu_move move = {.elem_bytes = state->elem_bytes};
    int64_t src_stride = lanes, dst_stride = lanes;
    if (block)
        dyno_cpu_move_axis(&move, lanes, 1, 1);
    for (int i = in->rank - 1; i >= (block ? 2 : 0); i--) {
        const struct pad_axis *axis = &state->axes[i];
        dyno_cpu_move_axis(&move, axis->size, src_stride, dst_stride);
        move.src_offset += axis->from * src_stride;
        move.dst_offset += axis->begin * dst_stride;
        src_stride *= in->dims[i];
        dst_stride *= out->dims[i];
    }
    if (!block) {
        fill(args, dyno_cpu_count(out));
        dyno_cpu_move_run(args, &move, in->data, out->data);
        return;
    }
    struct dyno_run_args batch = *args;
    struct dyno_buf batch_out = *out;
    batch.outs = &batch_out;
    dyno_cpu_move_axis(&move, dyno_cpu_blocks(in), src_stride, dst_stride);
    for (int64_t n = 0; n < in->dims[0]; n++) {
        batch_out.data = dyno_cpu_block_at(out, n, 0);
        fill(&batch, dyno_cpu_blocks(in) * dst_stride);
        dyno_cpu_move_run(args, &move, dyno_cpu_block_at(in, n, 0), batch_out.data);
    }
}

/* --- the other modes: line by line, its middle at once --- */

static void do_line(const struct dyno_run_args *args, int64_t line, int thread)
{
    (void)thread;
    const struct pad_state *state = args->state;
    const struct dyno_buf *in = &args->ins[0];
    const struct dyno_buf *out = &args->outs[0];
    const int last = in->rank - 1;
    const int64_t bytes = state->elem_bytes;
    int64_t from = 0;
    int64_t stride = in->dims[last];
    int64_t left = line;
    for (int i = last - 1; i >= 0; i--) {
        const int64_t at = source(&state->axes[i], left % out->dims[i], state->mode);
        from += (at + state->axes[i].from) * stride;
        left /= out->dims[i];
        stride *= in->dims[i];
    }
    const struct pad_axis *axis = &state->axes[last];
    const char *src = (const char *)in->data + (from + axis->from) * bytes;
    char *dst = (char *)out->data + line * out->dims[last] * bytes;
    memcpy(dst + axis->begin * bytes, src, (size_t)(axis->size * bytes));
    for (int64_t i = 0; i < out->dims[last]; i++) {
        if (i == axis->begin)
            i += axis->size;
        if (i < out->dims[last])
            memcpy(dst + i * bytes, src + source(axis, i, state->mode) * bytes, (size_t)bytes);
    }
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct pad_state *state = args->state;
    const struct dyno_buf *out = &args->outs[0];
    const int64_t count = dyno_cpu_count(out);
    if (count == 0)
        return DYNO_OK;
    if (state->mode == DYNO_PAD_CONSTANT || out->rank == 0) {
        run_constant(args);
    } else {
        const int64_t line = out->dims[out->rank - 1];
        dyno_cpu_units(args, count / line, line, do_line);
    }
    return DYNO_OK;
}

const struct dyno_kernel dyno_kernel_portable_pad = {
    .name = "pad_portable",
    .isa_mask = DYNO_ISA_PORTABLE,
    .packing = 1,
    .state_bytes = sizeof(struct pad_state),
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
