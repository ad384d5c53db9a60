/* tail.c - tails for GPU programs. */
#include "backend/cuda/tail.h"

#include <string.h>

/* The operand's axis that meets axis `axis` of the output; negative: it has none. */
static int meets(const struct dyno_buf *in, const struct dyno_buf *out, int axis)
{
    return axis - (out->rank - in->rank);
}

/* Its size: 1 where it has none. */
static int64_t aligned_dim(const struct dyno_buf *in, const struct dyno_buf *out, int axis)
{
    const int at = meets(in, out, axis);
    return at < 0 ? 1 : in->dims[at];
}

/* At every shape of the profile?  Programs are for all of them. */
static bool is_always_one(const struct dyno_buf *in, const struct dyno_buf *out, int axis)
{
    const int at = meets(in, out, axis);
    return at < 0 || (in->dims[at] == 1 && in->open[at] == 0);
}
static bool is_always_same(const struct dyno_buf *in, const struct dyno_buf *out, int axis)
{
    const int at = meets(in, out, axis);
    return aligned_dim(in, out, axis) == out->dims[axis] &&
           (at < 0 ? 0 : in->open[at]) == out->open[axis];
}

static bool spreads(const struct dyno_buf *in, const struct dyno_buf *out)
{
    for (int i = 0; i < out->rank; i++) {
        const int64_t dim = aligned_dim(in, out, i);
        if (dim != 1 && dim != out->dims[i])
            return false;
    }
    return in->rank <= out->rank;
}

static bool same_shape(const struct dyno_buf *in, const struct dyno_buf *out)
{
    for (int i = 0; i < out->rank; i++) {
        if (aligned_dim(in, out, i) != out->dims[i])
            return false;
    }
    return true;
}

static bool is_always_same_shape(const struct dyno_buf *in, const struct dyno_buf *out)
{
    for (int i = 0; i < out->rank; i++) {
        if (!is_always_same(in, out, i))
            return false;
    }
    return true;
}

/* Only this axis may be other than 1; -1: none. */
static bool along(const struct dyno_buf *in, const struct dyno_buf *out, int axis)
{
    for (int i = 0; i < out->rank; i++) {
        if (i == axis ? !is_always_same(in, out, i) : !is_always_one(in, out, i))
            return false;
    }
    return true;
}

/* One value for each item and channel; the operand has the output's rank. */
static bool by_item(const struct dyno_buf *in, const struct dyno_buf *out)
{
    bool ok = in->rank == out->rank && is_always_same(in, out, 0) && is_always_same(in, out, 1);
    for (int i = 2; ok && i < in->rank; i++)
        ok = is_always_one(in, out, i);
    return ok;
}

/* An open size that may be 1, or the output's, or now one and now the other. */
static bool is_undecided(const struct dyno_buf *in, const struct dyno_buf *out)
{
    for (int i = 0; i < out->rank; i++) {
        if (!is_always_one(in, out, i) && !is_always_same(in, out, i))
            return true;
    }
    return false;
}

/* False when there is no way.  An operand that several fit gets the one that fits other sizes of
 * the batch, too. */
static bool spread_of(const struct dyno_site *site, uint32_t i, struct dyno_layout layout,
                      struct dyno_layout out_layout, uint8_t *spread_out)
{
    const struct dyno_buf *in = &site->ins[i];
    const struct dyno_buf *out = &site->outs[0];
    const bool last = dyno_cuda_is_last(out_layout);
    if (!dyno_cuda_is_f32(in) || !dyno_cuda_readable(site, i) || !spreads(in, out))
        return false;
    if (along(in, out, -1) && !dyno_cuda_is_last(layout)) {
        *spread_out = DYNO_CUDA_SCALAR;
        return true;
    }
    if (last && dyno_cuda_is_last(layout)) {
        const bool is_same = is_always_same_shape(in, out);
        *spread_out = is_same ? DYNO_CUDA_SAME : DYNO_CUDA_ITEM;
        return is_same || by_item(in, out);
    }
    if (dyno_cuda_is_last(layout))
        return false;
    const int fastest = last ? 1 : out->rank - 1;
    if (fastest >= 0 && along(in, out, fastest) && (site->in_is_weight[i] || !last)) {
        *spread_out = DYNO_CUDA_COLUMN;
        return true;
    }
    if (last || out->rank > DYNO_GPU_TAIL_AXES)
        return false;
    if (is_undecided(in, out))
        *spread_out = DYNO_CUDA_ANY;
    else
        *spread_out = is_always_same_shape(in, out) ? DYNO_CUDA_SAME : DYNO_CUDA_STRIDES;
    return true;
}

bool dyno_cuda_tail_plan(const struct dyno_site *site, const struct dyno_tactic *tactic,
                         struct dyno_cuda_tail *tail_out)
{
    return dyno_cuda_tail_plan_from(site, tactic, site->step->own_in_count, tail_out);
}

enum dyno_status dyno_cuda_settle_input(const struct dyno_site *site, struct dyno_layout in,
                                        struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct dyno_cuda_tail tail;
    tactic->in_layouts[0] = in;
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    tactic->flags = dyno_cuda_is_plain(in) ? DYNO_TACTIC_BASELINE : 0;
    return DYNO_OK;
}

bool dyno_cuda_tail_plan_from(const struct dyno_site *site, const struct dyno_tactic *tactic,
                              uint32_t first, struct dyno_cuda_tail *tail_out)
{
    const struct dyno_step *step = site->step;
    *tail_out = (struct dyno_cuda_tail){0};
    if (!dyno_cuda_is_f32(&site->outs[0]) || step->tail.instr_count > DYNO_TAIL_INSTRS_MAX)
        return false;
    for (uint32_t i = first; i < step->in_count; i++) {
        if (tail_out->in_count == DYNO_GPU_TAIL_INS || i >= DYNO_STEP_INS_MAX)
            return false;
        const struct dyno_layout layout = tactic->in_layouts[i];
        uint8_t spread = 0;
        if (!dyno_cuda_layout_known(layout) || (site->in_is_weight[i] && layout.elem != 0) ||
            !spread_of(site, i, layout, tactic->out_layout, &spread))
            return false;
        tail_out->ins[tail_out->in_count].idx = i;
        tail_out->ins[tail_out->in_count].spread = spread;
        tail_out->ins[tail_out->in_count++].layout = layout;
    }
    return true;
}

void dyno_cuda_tail_open(const struct dyno_site *site, struct dyno_cuda_tail *tail)
{
    for (uint32_t i = 0; i < tail->in_count; i++) {
        const uint8_t spread = tail->ins[i].spread;
        const bool is_fixed = site->in_is_weight[tail->ins[i].idx] &&
                              (spread == DYNO_CUDA_SCALAR || spread == DYNO_CUDA_COLUMN);
        if (!is_fixed)
            tail->ins[i].spread = DYNO_CUDA_ANY;
    }
}

struct dyno_layout dyno_cuda_operand_layout(const struct dyno_site *site, uint32_t i,
                                            struct dyno_layout out_layout)
{
    const bool follows = !site->in_is_weight[i] && site->ins[i].rank == site->outs[0].rank &&
                         site->ins[i].data == NULL;
    return follows ? out_layout : DYNO_ROW;
}

void dyno_cuda_tail_layouts(const struct dyno_site *site, struct dyno_layout out_layout,
                            struct dyno_tactic *tactic)
{
    const struct dyno_step *step = site->step;
    tactic->out_layout = out_layout;
    for (uint32_t i = step->own_in_count; i < step->in_count && i < DYNO_STEP_INS_MAX; i++)
        tactic->in_layouts[i] = dyno_cuda_operand_layout(site, i, out_layout);
}

/* --- text --- */

static void put_value(struct dyno_strbuf *out, float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    dyno_strbuf_printf(out, "__int_as_float(0x%08x)", bits);
}

static void put_load(struct dyno_strbuf *out, const struct dyno_cuda_tail *tail, uint32_t slot)
{
    const char *type = dyno_cuda_type(tail->ins[slot].layout);
    const bool last = dyno_cuda_is_last(tail->ins[slot].layout);
    dyno_strbuf_printf(out, "    float x%u[W];\n", slot);
    switch ((enum dyno_cuda_spread)tail->ins[slot].spread) {
    case DYNO_CUDA_SAME:
        dyno_strbuf_printf(out, "    dyno_load<W>(x%u, (const %s *)t.in[%u] + ", slot, type, slot);
        if (last)
            dyno_strbuf_printf(out, "(i64)row * t.ld[%u] + column);\n", slot);
        else
            dyno_strbuf_puts(out, "at);\n");
        break;
    case DYNO_CUDA_SCALAR:
        dyno_strbuf_printf(out,
                           "    for (int i = 0; i < W; i++)\n"
                           "        x%u[i] = dyno_to_f32(*(const %s *)t.in[%u]);\n",
                           slot, type, slot);
        break;
    case DYNO_CUDA_COLUMN:
        dyno_strbuf_printf(out, "    dyno_load<W>(x%u, (const %s *)t.in[%u] + column);\n", slot,
                           type, slot);
        break;
    case DYNO_CUDA_ITEM:
        dyno_strbuf_printf(out,
                           "    dyno_load<W>(x%u, (const %s *)t.in[%u] + row / t.batch_rows * "
                           "t.ld[%u] + column);\n",
                           slot, type, slot, slot);
        break;
    case DYNO_CUDA_ANY:
        dyno_strbuf_printf(out,
                           "    if (t.strides[%u][0] < 0)\n"
                           "        dyno_load<W>(x%u, (const %s *)t.in[%u] + at);\n"
                           "    else\n",
                           slot, slot, type, slot);
        /* fall through */
    case DYNO_CUDA_STRIDES:
        dyno_strbuf_printf(out,
                           "    for (int i = 0; i < W; i++) {\n"
                           "        unsigned left = (unsigned)(at + i);\n"
                           "        int from = 0;\n"
                           "        for (int axis = t.rank - 1; axis >= 0; axis--) {\n"
                           "            const unsigned rest = left / (unsigned)t.dims[axis];\n"
                           "            from += (int)(left - rest * (unsigned)t.dims[axis]) * "
                           "t.strides[%u][axis];\n"
                           "            left = rest;\n"
                           "        }\n"
                           "        x%u[i] = dyno_to_f32(((const %s *)t.in[%u])[from]);\n"
                           "    }\n",
                           slot, slot, type, slot);
        break;
    }
}

static void put_operand(struct dyno_strbuf *out, const struct dyno_cuda_tail *tail,
                        const struct dyno_operand *operand)
{
    uint32_t slot = 0;
    switch ((enum dyno_operand_kind)operand->kind) {
    case DYNO_OPERAND_REG:
        dyno_strbuf_printf(out, "r%u", operand->idx);
        break;
    case DYNO_OPERAND_INPUT:
        while (slot < tail->in_count && tail->ins[slot].idx != operand->idx)
            slot++;
        dyno_strbuf_printf(out, "x%u[i]", slot);
        break;
    case DYNO_OPERAND_CONST:
        put_value(out, operand->value);
        break;
    case DYNO_OPERAND_NONE:
        dyno_strbuf_puts(out, "0.0f");
        break;
    }
}

/* prelude.cuh has a form of its own. */
static bool is_quick(uint8_t op)
{
    return op == DYNO_PW_sigmoid || op == DYNO_PW_silu;
}

void dyno_cuda_tail_text(const struct dyno_tail *program, const struct dyno_cuda_tail *tail,
                         struct dyno_strbuf *out)
{
    dyno_strbuf_puts(out, "template <int W> __device__ __forceinline__ void dyno_tail(float "
                          "(&v)[W], const dyno_gpu_tail &t, i64 at, int row, int column)\n{\n");
    for (uint32_t i = 0; program->instr_count != 0 && i < tail->in_count; i++)
        put_load(out, tail, i);
    if (program->instr_count != 0)
        dyno_strbuf_puts(out, "#pragma unroll\n    for (int i = 0; i < W; i++) {\n"
                              "        const float r0 = v[i];\n");
    for (uint32_t i = 0; i < program->instr_count; i++) {
        const struct dyno_tail_instr *instr = &program->instrs[i];
        dyno_strbuf_printf(out, "        const float r%u = dyno_%s_%s(", i + 1,
                           is_quick(instr->op) ? "quick" : "pw", dyno_pw_infos[instr->op].name);
        for (int k = 0; k < 3; k++) {
            put_operand(out, tail, &instr->operands[k]);
            dyno_strbuf_puts(out, ", ");
        }
        put_value(out, instr->p);
        dyno_strbuf_puts(out, ", ");
        put_value(out, instr->q);
        dyno_strbuf_puts(out, ");\n");
    }
    if (program->instr_count != 0)
        dyno_strbuf_printf(out, "        v[i] = r%u;\n    }\n", program->instr_count);
    dyno_strbuf_puts(out, "}\n");
}

/* --- sizes and addresses --- */

static bool set_strides(const struct dyno_buf *in, const struct dyno_buf *out, int *strides)
{
    int64_t stride = 1;
    for (int i = out->rank - 1; i >= 0; i--) {
        const int64_t dim = aligned_dim(in, out, i);
        strides[i] = dim == 1 ? 0 : (int)stride;
        stride *= dim;
        if (stride > INT32_MAX)
            return false;
    }
    return true;
}

bool dyno_cuda_tail_sizes(const struct dyno_site *site, const struct dyno_tactic *tactic,
                          const struct dyno_cuda_tail *tail, struct dyno_gpu_tail *params_out)
{
    const struct dyno_buf *out = &site->outs[0];
    *params_out = (struct dyno_gpu_tail){.batch_rows = 1};
    if (dyno_cuda_is_last(tactic->out_layout)) {
        params_out->batch_rows = dyno_cuda_count(out, 2, out->rank);
        for (uint32_t i = 0; i < tail->in_count; i++) {
            if (dyno_cuda_is_last(tail->ins[i].layout))
                params_out->ld[i] =
                    (int)dyno_cuda_ld(&site->ins[tail->ins[i].idx], tail->ins[i].layout);
        }
        return true;
    }
    for (uint32_t i = 0; i < tail->in_count; i++) {
        const bool is_any = tail->ins[i].spread == DYNO_CUDA_ANY;
        if (is_any && same_shape(&site->ins[tail->ins[i].idx], out)) {
            params_out->strides[i][0] = -1;
            continue;
        }
        if (tail->ins[i].spread != DYNO_CUDA_STRIDES && !is_any)
            continue;
        if (dyno_cuda_count(out, 0, out->rank) > INT32_MAX ||
            !set_strides(&site->ins[tail->ins[i].idx], out, params_out->strides[i]))
            return false;
        params_out->rank = out->rank;
        for (int k = 0; k < out->rank; k++)
            params_out->dims[k] = (int)out->dims[k];
    }
    return true;
}

void dyno_cuda_tail_bind(const struct dyno_run_args *args, const struct dyno_cuda_tail *tail,
                         struct dyno_gpu_tail *params)
{
    for (uint32_t i = 0; i < tail->in_count; i++)
        params->in[i] = dyno_cuda_address(args->ins[tail->ins[i].idx].data);
}
