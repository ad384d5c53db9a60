/* pointwise.h - Dyno's Pointwise, and every operator that is one pointwise instruction, with the
 * tail behind it: one pass over memory. */
#include "backend/cpu/kernel.h"
#include "backend/cpu/simd.h"

extern const struct dyno_kernel DYNO_CPU_KERNEL(pointwise);

#define SEGMENT 8192 /* floats a unit of work */

struct pointwise_state {
    bool block;
    int64_t batch_count, block_count; /* BLOCK */
    int64_t rows, cols;               /* ROW: when flat one row; BLOCK: positions in cols */
    int64_t segments;                 /* of a row */
    struct dyno_cpu_tail tail;
};

static bool is_plain(const struct dyno_step *step)
{
    return step->op == DYNO_OP_pointwise || step->op == DYNO_OP_identity;
}

/* A value that clip wants at hand: a constant of one f32 element, or the fallback when absent. */
static bool scalar_input(const struct dyno_site *site, uint32_t idx, float fallback, float *out)
{
    *out = fallback;
    if (idx >= site->step->own_in_count || site->ins[idx].rank < 0)
        return true;
    const struct dyno_buf *in = &site->ins[idx];
    if (in->dtype != DYNO_F32 || in->data == NULL || !site->in_is_weight[idx] ||
        dyno_cpu_count(in) != 1)
        return false;
    memcpy(out, in->data, sizeof(*out));
    return true;
}

/* How many of the step's inputs become operands; the others are immediates. */
static uint32_t operand_inputs(const struct dyno_site *site, struct dyno_pw_form *form)
{
    const struct dyno_step *step = site->step;
    *form = dyno_op_pw_form(dyno_ops[step->op], step->attrs);
    if (form->pw == DYNO_PW_clip)
        return scalar_input(site, 1, -INFINITY, &form->p) &&
                       scalar_input(site, 2, INFINITY, &form->q)
                   ? 1
                   : 0;
    return step->own_in_count;
}

/* The operator as instructions over its own inputs, then its tail; false when it is too long. */
static bool compose(const struct dyno_site *site, struct dyno_tail *program)
{
    const struct dyno_step *step = site->step;
    *program = step->tail;
    if (is_plain(step))
        return true;
    struct dyno_pw_form form;
    const uint32_t ins = operand_inputs(site, &form);
    if (form.pw < 0 || ins == 0)
        return false;
    const uint32_t want = (uint32_t)dyno_pw_infos[form.pw].operand_count;
    if (want > ins || (want != 2 && want != ins))
        return false;
    const uint32_t first_count = want == 2 ? ins - 1 : 1; /* Sum, Max, Min take any number */
    const bool lone = want == 2 && ins == 1;
    if (lone || first_count + step->tail.instr_count > DYNO_TAIL_INSTRS_MAX)
        return false;
    for (uint32_t i = 0; i < first_count; i++) {
        struct dyno_tail_instr *instr = &program->instrs[i];
        *instr = (struct dyno_tail_instr){.op = (uint8_t)form.pw, .p = form.p, .q = form.q};
        instr->operands[0] = (struct dyno_operand){DYNO_OPERAND_INPUT, 0, 0.0F};
        if (i > 0)
            instr->operands[0] = (struct dyno_operand){DYNO_OPERAND_REG, (uint16_t)i, 0.0F};
        if (want == 2)
            instr->operands[1] = (struct dyno_operand){DYNO_OPERAND_INPUT, (uint16_t)(i + 1), 0.0F};
    }
    for (uint32_t i = 0; i < step->tail.instr_count; i++) {
        struct dyno_tail_instr *instr = &program->instrs[first_count + i];
        *instr = step->tail.instrs[i];
        for (int k = 0; k < 3; k++)
            if (instr->operands[k].kind == DYNO_OPERAND_REG)
                instr->operands[k].idx = (uint16_t)(instr->operands[k].idx + first_count);
    }
    program->instr_count = first_count + step->tail.instr_count;
    return true;
}

static bool is_operand(const struct dyno_step *step, uint32_t operands, uint32_t idx)
{
    return idx < operands || idx >= step->own_in_count;
}

/* False when the step is none for this kernel; else how many own inputs are operands. */
static bool accepts(const struct dyno_site *site, uint32_t *operands_out)
{
    const struct dyno_step *step = site->step;
    struct dyno_tail program;
    struct dyno_pw_form form;
    if ((!is_plain(step) && dyno_ops[step->op]->pw < 0) || step->out_count != 1 ||
        !dyno_cpu_is_f32(&site->outs[0]) || step->own_in_count == 0 ||
        step->in_count > DYNO_CPU_TAIL_INPUTS_MAX || !dyno_cpu_tail_accepts(site) ||
        !compose(site, &program))
        return false;
    *operands_out = is_plain(step) ? 1 : operand_inputs(site, &form);
    for (uint32_t i = 0; i < step->in_count; i++) {
        if (is_operand(step, *operands_out, i) &&
            (!dyno_cpu_is_f32(&site->ins[i]) || site->ins[i].rank > site->outs[0].rank))
            return false;
    }
    return true;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    const struct dyno_step *step = site->step;
    uint32_t operands = 0;
    if (max < 2 || !accepts(site, &operands))
        return 0;
    double bytes = 4.0 * (double)dyno_cpu_count(&site->outs[0]);
    for (uint32_t i = 0; i < step->in_count; i++) {
        if (is_operand(step, operands, i))
            bytes += 4.0 * (double)dyno_cpu_count(&site->ins[i]);
    }
    const double us = dyno_cpu_move_us(site->target, bytes) * DYNO_CPU_ISA_COST;
    out[0].est_us = out[1].est_us = (float)us;
    out[1].out_layout = DYNO_BLOCK16;
    dyno_cpu_tail_layouts_from(site, 0, DYNO_BLOCK16, &out[1]);
    return 2;
}

/* Operands lie as they were asked to where they may. */
static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    const struct dyno_step *step = site->step;
    uint32_t operands = 0;
    if (!accepts(site, &operands))
        return dyno_cpu_refuse(site, err);
    if (!dyno_cpu_asks_block(asked))
        return dyno_cpu_settle_row(site, 0, tactic) ? DYNO_OK : dyno_cpu_refuse(site, err);
    /* Input 0 of a Pointwise is read as it lies. */
    const uint32_t block_ins = is_plain(step) ? 1 : 0;
    if (!dyno_cpu_settle_block(site, 0, block_ins, tactic))
        return dyno_cpu_refuse(site, err);
    for (uint32_t i = block_ins; i < operands; i++) {
        if (asked->in_layouts[i].kind == DYNO_LAYOUT_BLOCK &&
            site->ins[i].rank == site->outs[0].rank)
            tactic->in_layouts[i] = DYNO_BLOCK16;
    }
    return DYNO_OK;
}

/* Storage without gaps between batches. */
static bool is_dense(const struct dyno_buf *buf)
{
    return buf->batch_stride == dyno_cpu_blocks(buf) * dyno_cpu_spatial(buf) * DYNO_CPU_BLOCK;
}

/* A BLOCK step that may as well be one long row: the position is all that matters. */
static bool is_one_run(const struct dyno_site *site, const struct dyno_cpu_tail *tail)
{
    bool dense = tail->flat && is_dense(&site->outs[0]);
    if (is_plain(site->step))
        dense = dense && is_dense(&site->ins[0]);
    for (uint32_t k = 0; k < tail->in_count; k++)
        dense = dense &&
                (tail->ins[k].spread != DYNO_CPU_SAME || is_dense(&site->ins[tail->ins[k].idx]));
    return dense;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct pointwise_state *state = state_bytes;
    struct dyno_tail program;
    if (!compose(site, &program))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "'%s' is not a pointwise step of %d instructions",
                         site->step->name, DYNO_TAIL_INSTRS_MAX);
    DYNO_TRY(
        dyno_cpu_tail_prepare_program(site, &program, DYNO_CPU_TAIL_MERGED, &state->tail, err));
    const struct dyno_buf *out = &site->outs[0];
    const bool one_run = dyno_cpu_is_block(out) && is_one_run(site, &state->tail);
    state->block = dyno_cpu_is_block(out) && !one_run;
    if (one_run) {
        state->rows = 1;
        state->cols = out->dims[0] * out->batch_stride;
        state->segments = dyno_cpu_div_up(state->cols, SEGMENT);
    } else if (state->block) {
        state->batch_count = out->dims[0];
        state->block_count = dyno_cpu_blocks(out);
        state->rows = state->batch_count * state->block_count;
        state->cols = dyno_cpu_spatial(out);
        state->segments = dyno_cpu_div_up(state->cols, SEGMENT / DYNO_CPU_BLOCK);
    } else {
        const int64_t count = dyno_cpu_count(out);
        state->rows = state->tail.flat ? 1 : state->tail.rows;
        state->cols = state->tail.flat ? count : state->tail.cols;
        state->segments = dyno_cpu_div_up(state->cols, SEGMENT);
    }
    *workspace_bytes_out = 0;
    return DYNO_OK;
}

static void do_block(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct pointwise_state *state = args->state;
    const int64_t row = unit / state->segments;
    const int64_t pos = unit % state->segments * (SEGMENT / DYNO_CPU_BLOCK);
    const int64_t count = dyno_cpu_min(state->cols - pos, SEGMENT / DYNO_CPU_BLOCK);
    const int64_t n = row / state->block_count;
    const int64_t cb = row % state->block_count;
    float *dst = dyno_cpu_block_at(&args->outs[0], n, cb) + pos * DYNO_CPU_BLOCK;
    const float *src = NULL;
    if (is_plain(args->step))
        src = dyno_cpu_block_at(&args->ins[0], n, cb) + pos * DYNO_CPU_BLOCK;
    if (state->tail.instr_count == 0)
        memcpy(dst, src, (size_t)count * DYNO_CPU_BLOCK * sizeof(float));
    else
        tail_block(&state->tail, args->ins, src, dst, n, cb, pos, count);
}

static void do_row(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct pointwise_state *state = args->state;
    const int64_t row = unit / state->segments;
    const int64_t col = unit % state->segments * SEGMENT;
    const int64_t count = dyno_cpu_min(state->cols - col, SEGMENT);
    const int64_t first = row * state->cols + col;
    float *dst = (float *)args->outs[0].data + first;
    const float *src = NULL;
    if (is_plain(args->step))
        src = (const float *)args->ins[0].data + first;
    if (state->tail.instr_count == 0)
        memcpy(dst, src, (size_t)count * sizeof(float));
    else if (state->tail.flat)
        tail_flat(&state->tail, args->ins, src, dst, first, count);
    else
        tail_row(&state->tail, args->ins, src, dst, row, col, count);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct pointwise_state *state = args->state;
    const int64_t units = state->rows * state->segments;
    if (units != 0)
        dyno_cpu_units(args, units,
                       state->cols * (state->block ? DYNO_CPU_BLOCK : 1) / state->segments,
                       state->block ? do_block : do_row);
    return DYNO_OK;
}

const struct dyno_kernel DYNO_CPU_KERNEL(pointwise) = {
    .name = DYNO_CPU_KERNEL_NAME("pointwise"),
    .isa_mask = DYNO_CPU_ISA_MASK,
    .packing = 1,
    .state_bytes = sizeof(struct pointwise_state),
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
