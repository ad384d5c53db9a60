/* gather.c - Gather and GatherElements of any element type.
 *
 * Indices arrive with the data, so a wrong one cannot be refused here: it is clamped to the axis
 * (the reference refuses it). */
#include "backend/cpu/move.h"

#include "ops/move.h"

extern const struct dyno_kernel dyno_kernel_portable_gather;

struct gather_state {
    bool elements; /* GatherElements */
    int axis;
    int64_t elem_bytes;
    int64_t outer, size, picked, inner; /* Gather: [outer][size][inner] */
};

static bool is_gather(enum dyno_op_id op)
{
    return op == DYNO_OP_gather || op == DYNO_OP_gather_elements;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    if (max < 1 || !is_gather(site->step->op))
        return 0;
    const double bytes = 2.0 * (double)dyno_cpu_elem_bytes(site->outs[0].dtype) *
                         (double)dyno_cpu_count(&site->outs[0]);
    out[0].est_us = (float)dyno_cpu_move_us(site->target, bytes);
    return 1;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    (void)asked;
    const struct dyno_buf *in = &site->ins[0];
    if (!is_gather(site->step->op) || site->step->tail.instr_count != 0 || in->rank < 1 ||
        in->dtype != site->outs[0].dtype || dyno_cpu_elem_bytes(in->dtype) == 0 ||
        (site->ins[1].dtype != DYNO_I64 && site->ins[1].dtype != DYNO_I32) ||
        !dyno_cpu_settle_row(site, 0, tactic))
        return dyno_cpu_refuse(site, err);
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct gather_state *state = state_bytes;
    const struct dyno_axis_attrs *attrs = site->step->attrs;
    const struct dyno_buf *in = &site->ins[0];
    *workspace_bytes_out = 0;
    state->axis = (int)(attrs->axis < 0 ? attrs->axis + in->rank : attrs->axis);
    state->elements = site->step->op == DYNO_OP_gather_elements;
    state->elem_bytes = dyno_cpu_elem_bytes(in->dtype);
    state->outer = dyno_cpu_product(in->dims, 0, state->axis);
    state->size = in->dims[state->axis];
    state->inner = dyno_cpu_product(in->dims, state->axis + 1, in->rank);
    state->picked = dyno_cpu_count(&site->ins[1]);
    if (state->size == 0 && dyno_cpu_count(&site->outs[0]) != 0)
        return DYNO_FAIL(err, DYNO_E_ARG, "'%s' gathers from an axis without elements",
                         site->step->name);
    for (int i = 0; state->elements && i < in->rank; i++)
        if (i != state->axis && site->ins[1].dims[i] > in->dims[i])
            return DYNO_FAIL(err, DYNO_E_ARG, "indices of '%s' are larger than its data in axis %d",
                             site->step->name, i);
    return DYNO_OK;
}

static int64_t index_at(const struct dyno_run_args *args, int64_t i)
{
    const struct gather_state *state = args->state;
    int64_t idx = 0;
    if (args->ins[1].dtype == DYNO_I64)
        idx = ((const int64_t *)args->ins[1].data)[i];
    else
        idx = ((const int32_t *)args->ins[1].data)[i];
    if (idx < 0)
        idx += state->size;
    return idx < 0 ? 0 : dyno_cpu_min(idx, state->size - 1);
}

/* One (outer, picked) run of `inner` elements. */
static void gather_run(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct gather_state *state = args->state;
    const int64_t outer = unit / state->picked;
    const int64_t from = outer * state->size + index_at(args, unit % state->picked);
    const int64_t bytes = state->inner * state->elem_bytes;
    memcpy((char *)args->outs[0].data + unit * bytes,
           (const char *)args->ins[0].data + from * bytes, (size_t)bytes);
}

/* One line of the last axis. */
static void gather_line(const struct dyno_run_args *args, int64_t line, int thread)
{
    (void)thread;
    const struct gather_state *state = args->state;
    const struct dyno_buf *in = &args->ins[0];
    const struct dyno_buf *out = &args->outs[0];
    const int last = out->rank - 1;
    const int64_t count = out->dims[last];
    int64_t strides[DYNO_RANK_MAX];
    dyno_cpu_row_strides(in->dims, in->rank, strides);
    int64_t base = 0;
    int64_t left = line;
    for (int i = last - 1; i >= 0; i--) {
        base += i == state->axis ? 0 : left % out->dims[i] * strides[i];
        left /= out->dims[i];
    }
    char *dst = (char *)out->data + line * count * state->elem_bytes;
    for (int64_t i = 0; i < count; i++) {
        const int64_t along = index_at(args, line * count + i) * strides[state->axis];
        const int64_t from = base + along + (last == state->axis ? 0 : i);
        memcpy(dst + i * state->elem_bytes, (const char *)in->data + from * state->elem_bytes,
               (size_t)state->elem_bytes);
    }
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct gather_state *state = args->state;
    const struct dyno_buf *out = &args->outs[0];
    const int64_t count = dyno_cpu_count(out);
    if (count == 0)
        return DYNO_OK;
    if (state->elements)
        dyno_cpu_units(args, count / out->dims[out->rank - 1], out->dims[out->rank - 1],
                       gather_line);
    else
        dyno_cpu_units(args, state->outer * state->picked, state->inner, gather_run);
    return DYNO_OK;
}

const struct dyno_kernel dyno_kernel_portable_gather = {
    .name = "gather_portable",
    .isa_mask = DYNO_ISA_PORTABLE,
    .packing = 1,
    .state_bytes = sizeof(struct gather_state),
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
