/* tail.c - look at a tail once: how inputs spread, where registers live, what is simple. */
#include "backend/cpu/tail.h"

#include <string.h>

#include "backend/cpu/broadcast.h"

static bool same_dims(const struct dyno_buf *a, const struct dyno_buf *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i])
            return false;
    return true;
}

static bool all_ones(const struct dyno_buf *in)
{
    for (int i = 0; i < in->rank; i++)
        if (in->dims[i] != 1)
            return false;
    return true;
}

bool dyno_cpu_tail_accepts(const struct dyno_site *site)
{
    const struct dyno_step *step = site->step;
    if (step->tail.instr_count == 0)
        return true;
    if (site->outs[0].dtype != DYNO_F32 || step->tail.instr_count > DYNO_TAIL_INSTRS_MAX ||
        step->in_count - step->own_in_count > DYNO_CPU_TAIL_INPUTS_MAX)
        return false;
    for (uint32_t i = step->own_in_count; i < step->in_count; i++)
        if (site->ins[i].rank < 0 || site->ins[i].dtype != DYNO_F32 ||
            site->ins[i].rank > site->outs[0].rank)
            return false;
    return true;
}

void dyno_cpu_tail_layouts_from(const struct dyno_site *site, uint32_t first,
                                struct dyno_layout out_layout, struct dyno_tactic *tactic)
{
    const struct dyno_step *step = site->step;
    const struct dyno_buf *out = &site->outs[0];
    for (uint32_t i = first; i < step->in_count && i < DYNO_STEP_INS_MAX; i++) {
        const struct dyno_buf *in = &site->ins[i];
        const bool block = out_layout.kind == DYNO_LAYOUT_BLOCK && in->rank == out->rank &&
                           in->dims[1] == out->dims[1] && !site->in_is_weight[i];
        tactic->in_layouts[i] = block ? out_layout : DYNO_ROW;
    }
}

/* --- spread --- */

/* Axis i of the output joins the axes after it (their product is `inner`) when every input steps
 * through both as through one. */
static bool joins(const struct dyno_cpu_tail *tail, int64_t strides[][DYNO_RANK_MAX], int axis,
                  int group, int64_t inner)
{
    for (uint32_t k = 0; k < tail->in_count; k++)
        if (strides[k][axis] != tail->ins[k].strides[group] * inner)
            return false;
    return true;
}

/* Merge the output's axes [0, last) from the right into tail->dims, in order; the strides land in
 * ins[].strides.  Axes of one element vanish. */
static void merge_axes(struct dyno_cpu_tail *tail, int64_t strides[][DYNO_RANK_MAX],
                       const int64_t *dims, int axis_count)
{
    int count = 0; /* groups so far, innermost first */
    for (int axis = axis_count - 1; axis >= 0; axis--) {
        if (dims[axis] == 1)
            continue;
        if (count > 0 && joins(tail, strides, axis, count - 1, tail->dims[count - 1])) {
            tail->dims[count - 1] *= dims[axis];
            continue;
        }
        for (uint32_t k = 0; k < tail->in_count; k++)
            tail->ins[k].strides[count] = strides[k][axis];
        tail->dims[count++] = dims[axis];
    }
    for (int i = 0; i < count / 2; i++) {
        const int j = count - 1 - i;
        const int64_t dim = tail->dims[i];
        tail->dims[i] = tail->dims[j];
        tail->dims[j] = dim;
        for (uint32_t k = 0; k < tail->in_count; k++) {
            const int64_t stride = tail->ins[k].strides[i];
            tail->ins[k].strides[i] = tail->ins[k].strides[j];
            tail->ins[k].strides[j] = stride;
        }
    }
    tail->rank = count;
}

/* tail->dims[rank] and strides[rank] describe the columns after this. */
static void split_columns(struct dyno_cpu_tail *tail, int64_t strides[][DYNO_RANK_MAX],
                          const struct dyno_buf *out, enum dyno_cpu_tail_shape shape)
{
    if (shape == DYNO_CPU_TAIL_MERGED) {
        merge_axes(tail, strides, out->dims, out->rank);
        if (tail->rank == 0) {
            tail->dims[0] = 1;
            for (uint32_t k = 0; k < tail->in_count; k++)
                tail->ins[k].strides[0] = 0;
        } else {
            tail->rank--;
        }
        return;
    }
    const int last = out->rank - 1;
    merge_axes(tail, strides, out->dims, last < 0 ? 0 : last);
    tail->dims[tail->rank] = last < 0 ? 1 : out->dims[last];
    for (uint32_t k = 0; k < tail->in_count; k++)
        tail->ins[k].strides[tail->rank] = last < 0 ? 0 : strides[k][last];
}

static void classify_row(struct dyno_cpu_tail *tail, const struct dyno_site *site,
                         struct dyno_cpu_tail_in *in)
{
    const struct dyno_buf *buf = &site->ins[in->idx];
    bool rows_zero = true;
    bool rows_dense = true;
    int64_t dense = 1;
    for (int i = tail->rank - 1; i >= 0; i--) {
        rows_zero = rows_zero && in->strides[i] == 0;
        rows_dense = rows_dense && in->strides[i] == dense;
        dense *= tail->dims[i];
    }
    const bool along = in->strides[tail->rank] != 0;
    if (same_dims(buf, &site->outs[0]))
        in->spread = DYNO_CPU_SAME;
    else if (all_ones(buf))
        in->spread = DYNO_CPU_SCALAR;
    else if (rows_zero && along)
        in->spread = DYNO_CPU_LAST;
    else if (rows_dense && !along)
        in->spread = DYNO_CPU_ROWS;
    else
        in->spread = DYNO_CPU_GENERAL;
}

static enum dyno_status spread_rows(struct dyno_cpu_tail *tail, const struct dyno_site *site,
                                    enum dyno_cpu_tail_shape shape, struct dyno_err *err)
{
    const struct dyno_buf *out = &site->outs[0];
    int64_t strides[DYNO_CPU_TAIL_INPUTS_MAX][DYNO_RANK_MAX];
    memset(strides, 0, sizeof(strides));
    for (uint32_t k = 0; k < tail->in_count; k++) {
        const struct dyno_buf *in = &site->ins[tail->ins[k].idx];
        if (in->layout.kind != DYNO_LAYOUT_ROW || !dyno_cpu_broadcast_strides(in, out, strides[k]))
            return DYNO_FAIL(err, DYNO_E_FORMAT, "input %u of '%s' does not spread over its output",
                             tail->ins[k].idx, site->step->name);
    }
    split_columns(tail, strides, out, shape);
    tail->cols = tail->dims[tail->rank];
    tail->rows = 1;
    for (int i = 0; i < tail->rank; i++)
        tail->rows *= tail->dims[i];
    for (uint32_t k = 0; k < tail->in_count; k++)
        classify_row(tail, site, &tail->ins[k]);
    return DYNO_OK;
}

/* A BLOCK output: batch and channels have strides of their own, dims are the spatial axes. */
static bool spread_block(struct dyno_cpu_tail *tail, const struct dyno_site *site,
                         struct dyno_cpu_tail_in *in)
{
    const struct dyno_buf *out = &site->outs[0];
    const struct dyno_buf *buf = &site->ins[in->idx];
    int64_t strides[DYNO_RANK_MAX] = {0};
    if (!dyno_cpu_broadcast_strides(buf, out, strides))
        return false;
    in->block = buf->layout.kind == DYNO_LAYOUT_BLOCK;
    if (in->block && (buf->layout.block != DYNO_CPU_BLOCK || buf->rank != out->rank))
        return false;
    bool sp_zero = true;
    for (int i = 0; i < tail->rank; i++) {
        in->strides[i] = strides[i + 2] * (in->block ? DYNO_CPU_BLOCK : 1);
        sp_zero = sp_zero && in->strides[i] == 0;
    }
    in->batch_stride = strides[0];
    in->chan_stride = strides[1];
    if (in->block) {
        int64_t spatial = 1;
        for (int i = 2; i < buf->rank; i++)
            spatial *= buf->dims[i];
        in->batch_stride = buf->dims[0] == 1 ? 0 : buf->batch_stride;
        in->chan_stride = buf->dims[1] == 1 ? 0 : spatial * DYNO_CPU_BLOCK;
    }
    if (all_ones(buf))
        in->spread = DYNO_CPU_SCALAR;
    else if (in->block && same_dims(buf, out))
        in->spread = DYNO_CPU_SAME;
    else if (sp_zero)
        in->spread = DYNO_CPU_CHANNEL;
    else
        in->spread = DYNO_CPU_GENERAL;
    return true;
}

static enum dyno_status spread_blocks(struct dyno_cpu_tail *tail, const struct dyno_site *site,
                                      struct dyno_err *err)
{
    const struct dyno_buf *out = &site->outs[0];
    tail->rank = out->rank - 2;
    tail->channels = out->dims[1];
    tail->spatial = 1;
    for (int i = 0; i < tail->rank; i++) {
        tail->dims[i] = out->dims[i + 2];
        tail->spatial *= tail->dims[i];
    }
    for (uint32_t k = 0; k < tail->in_count; k++)
        if (!spread_block(tail, site, &tail->ins[k]))
            return DYNO_FAIL(err, DYNO_E_FORMAT, "input %u of '%s' does not spread over its output",
                             tail->ins[k].idx, site->step->name);
    return DYNO_OK;
}

/* --- registers --- */

/* Give each instruction a scratch slot that no live register holds.  Works backwards on last uses.
 */
static void assign_slots(struct dyno_cpu_tail *tail, const struct dyno_tail *from)
{
    uint32_t last_use[DYNO_TAIL_INSTRS_MAX + 1] = {0};
    for (uint32_t i = 0; i < from->instr_count; i++)
        for (int k = 0; k < dyno_pw_infos[from->instrs[i].op].operand_count; k++)
            if (from->instrs[i].operands[k].kind == DYNO_OPERAND_REG)
                last_use[from->instrs[i].operands[k].idx] = i;
    uint8_t slot_of[DYNO_TAIL_INSTRS_MAX + 1] = {DYNO_CPU_SLOT_SRC};
    for (uint32_t i = 0; i < from->instr_count; i++) {
        uint32_t busy = 0;
        for (uint32_t r = 1; r <= i; r++)
            if (last_use[r] > i)
                busy |= 1U << slot_of[r];
        uint8_t slot = 0;
        while ((busy >> slot & 1U) != 0)
            slot++;
        slot_of[i + 1] = slot;
        struct dyno_cpu_tail_instr *instr = &tail->instrs[i];
        instr->slot = slot;
        for (int k = 0; k < instr->operand_count; k++)
            if (instr->operands[k].kind == DYNO_OPERAND_REG)
                instr->operands[k].slot = slot_of[from->instrs[i].operands[k].idx];
    }
}

/* The entry of tail->ins for that input, made when it is new. */
static bool input_slot(struct dyno_cpu_tail *tail, uint32_t idx, uint8_t *slot_out)
{
    for (uint32_t k = 0; k < tail->in_count; k++)
        if (tail->ins[k].idx == idx) {
            *slot_out = (uint8_t)k;
            return true;
        }
    if (tail->in_count == DYNO_CPU_TAIL_INPUTS_MAX)
        return false;
    tail->ins[tail->in_count].idx = idx;
    *slot_out = (uint8_t)tail->in_count++;
    return true;
}

static enum dyno_status copy_program(struct dyno_cpu_tail *tail, const struct dyno_site *site,
                                     const struct dyno_tail *from, struct dyno_err *err)
{
    DYNO_ASSERT(from->instr_count <= DYNO_TAIL_INSTRS_MAX);
    tail->instr_count = from->instr_count;
    for (uint32_t i = 0; i < from->instr_count; i++) {
        const struct dyno_tail_instr *in = &from->instrs[i];
        DYNO_ASSERT(in->op < DYNO_PW_COUNT);
        struct dyno_cpu_tail_instr *out = &tail->instrs[i];
        *out = (struct dyno_cpu_tail_instr){.op = in->op, .p = in->p, .q = in->q};
        out->operand_count = (uint8_t)dyno_pw_infos[in->op].operand_count;
        for (int k = 0; k < out->operand_count; k++) {
            out->operands[k].kind = in->operands[k].kind;
            out->operands[k].value = in->operands[k].value;
            if (in->operands[k].kind != DYNO_OPERAND_INPUT)
                continue;
            DYNO_ASSERT(in->operands[k].idx < site->step->in_count);
            if (!input_slot(tail, in->operands[k].idx, &out->operands[k].slot))
                return DYNO_FAIL(err, DYNO_E_LIMIT, "the tail of '%s' reads more than %d inputs",
                                 site->step->name, DYNO_CPU_TAIL_INPUTS_MAX);
        }
    }
    assign_slots(tail, from);
    /* x^2 is what models mean by Pow; the product is the same number. */
    for (uint32_t i = 0; i < tail->instr_count; i++) {
        struct dyno_cpu_tail_instr *instr = &tail->instrs[i];
        if (instr->op == DYNO_PW_pow && instr->operands[1].kind == DYNO_OPERAND_CONST &&
            instr->operands[1].value == 2.0F) {
            instr->op = DYNO_PW_mul;
            instr->operands[1] = instr->operands[0];
        }
    }
    return DYNO_OK;
}

/* --- simple programs --- */

static bool is_activation(const struct dyno_cpu_tail_instr *instr, uint8_t slot, bool *relu_out)
{
    *relu_out = instr->op == DYNO_PW_relu;
    return (*relu_out || (instr->op == DYNO_PW_clip && instr->p <= instr->q)) &&
           instr->operands[0].kind == DYNO_OPERAND_REG && instr->operands[0].slot == slot;
}

static bool is_add_same(const struct dyno_cpu_tail *tail, const struct dyno_cpu_tail_instr *instr,
                        uint8_t *in_out)
{
    if (instr->op != DYNO_PW_add)
        return false;
    for (int k = 0; k < 2; k++) {
        const struct dyno_cpu_tail_operand *reg = &instr->operands[k];
        const struct dyno_cpu_tail_operand *in = &instr->operands[1 - k];
        if (reg->kind == DYNO_OPERAND_REG && reg->slot == DYNO_CPU_SLOT_SRC &&
            in->kind == DYNO_OPERAND_INPUT && tail->ins[in->slot].spread == DYNO_CPU_SAME) {
            *in_out = in->slot;
            return true;
        }
    }
    return false;
}

static void find_simple(struct dyno_cpu_tail *tail)
{
    struct dyno_cpu_simple *simple = &tail->simple;
    const struct dyno_cpu_tail_instr *first = &tail->instrs[0];
    bool relu = false;
    uint8_t in = 0;
    if (tail->instr_count == 1 && is_activation(first, DYNO_CPU_SLOT_SRC, &relu)) {
        simple->kind = relu ? DYNO_CPU_SIMPLE_RELU : DYNO_CPU_SIMPLE_CLIP;
        simple->p = first->p;
        simple->q = first->q;
    } else if (tail->instr_count >= 1 && tail->instr_count <= 2 && is_add_same(tail, first, &in)) {
        simple->idx = tail->ins[in].idx;
        simple->batch_stride = tail->ins[in].batch_stride;
        const struct dyno_cpu_tail_instr *second = &tail->instrs[1];
        if (tail->instr_count == 1) {
            simple->kind = DYNO_CPU_SIMPLE_ADD;
        } else if (is_activation(second, first->slot, &relu)) {
            simple->kind = relu ? DYNO_CPU_SIMPLE_ADD_RELU : DYNO_CPU_SIMPLE_ADD_CLIP;
            simple->p = second->p;
            simple->q = second->q;
        }
    }
}

enum dyno_status dyno_cpu_tail_prepare_program(const struct dyno_site *site,
                                               const struct dyno_tail *program,
                                               enum dyno_cpu_tail_shape shape,
                                               struct dyno_cpu_tail *tail_out, struct dyno_err *err)
{
    memset(tail_out, 0, sizeof(*tail_out));
    DYNO_TRY(copy_program(tail_out, site, program, err));
    if (site->outs[0].layout.kind == DYNO_LAYOUT_BLOCK)
        DYNO_TRY(spread_blocks(tail_out, site, err));
    else
        DYNO_TRY(spread_rows(tail_out, site, shape, err));
    tail_out->flat = true;
    for (uint32_t k = 0; k < tail_out->in_count; k++)
        if (tail_out->ins[k].spread != DYNO_CPU_SAME && tail_out->ins[k].spread != DYNO_CPU_SCALAR)
            tail_out->flat = false;
    find_simple(tail_out);
    return DYNO_OK;
}

enum dyno_status dyno_cpu_tail_prepare(const struct dyno_site *site, enum dyno_cpu_tail_shape shape,
                                       struct dyno_cpu_tail *tail_out, struct dyno_err *err)
{
    return dyno_cpu_tail_prepare_program(site, &site->step->tail, shape, tail_out, err);
}
