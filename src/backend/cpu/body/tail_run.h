/* tail_run.h - execution of tails: instruction by instruction over pieces that stay in L1. */
#include "backend/cpu/tail.h"

#include "backend/cpu/body/vmath.h"

#define PIECE 512 /* floats a piece: 2 KiB a register */

/* Element i of an operand is at[i & mask]: all bits for a vector, 15 for 16 repeating values. */
struct operand {
    const float *at;
    int64_t mask;
};
#define VECTOR ((int64_t)-1)
#define REPEAT ((int64_t)15)

typedef void pw_fn(float *dst, const struct operand *o, float p, float q, int64_t count);

/* One function an instruction: FULL on whole vectors, then the same on what is left. */
#define PW_LOOP(load_a, load_b, expr)         \
    for (; i + LANES <= count; i += LANES) {  \
        const vf a = vf_load(load_a);         \
        const vf b = vf_load(load_b);         \
        (void)b;                              \
        vf_store(dst + i, expr);              \
    }                                         \
    if (i < count) {                          \
        const int left = (int)(count - i);    \
        const vf a = vf_load_n(load_a, left); \
        const vf b = vf_load_n(load_b, left); \
        (void)b;                              \
        vf_store_n(dst + i, expr, left);      \
    }

#define UNARY(name, expr)                                                                       \
    static void pw_##name(float *dst, const struct operand *o, float p, float q, int64_t count) \
    {                                                                                           \
        const vf vp = vf_set1(p);                                                               \
        const vf vq = vf_set1(q);                                                               \
        const vf one = vf_set1(1.0F);                                                           \
        int64_t i = 0;                                                                          \
        (void)vp;                                                                               \
        (void)vq;                                                                               \
        (void)one;                                                                              \
        PW_LOOP(o[0].at + (i & o[0].mask), o[0].at + (i & o[0].mask), expr)                     \
    }

#define BINARY(name, expr)                                                                      \
    static void pw_##name(float *dst, const struct operand *o, float p, float q, int64_t count) \
    {                                                                                           \
        int64_t i = 0;                                                                          \
        (void)p;                                                                                \
        (void)q;                                                                                \
        PW_LOOP(o[0].at + (i & o[0].mask), o[1].at + (i & o[1].mask), expr)                     \
    }

/* fmaxf and fminf of the meanings give the number when the other is NaN. */
static inline vf hard_gate(vf x)
{
    return vf_max(vf_zero(), vf_min(x, vf_set1(1.0F)));
}

UNARY(abs, vf_abs(a))
BINARY(add, vf_add(a, b))
UNARY(ceil, vf_ceil(a))
UNARY(clip, vf_select(vf_lt(a, vp), vp, vf_min(vq, a)))
UNARY(copy, a)
UNARY(cos, vcos(a))
BINARY(div, vf_div(a, b))
UNARY(elu, vf_select(vf_lt(a, vf_zero()), vf_mul(vp, vexpm1_neg(a)), a))
UNARY(erf, verf(a))
UNARY(exp, vexp(a))
UNARY(floor, vf_floor(a))
UNARY(gelu_erf, vgelu_erf(a))
UNARY(gelu_tanh, vgelu_tanh(a))
UNARY(hardsigmoid, hard_gate(vf_add(vf_mul(vp, a), vq)))
UNARY(hardswish, vf_mul(a, hard_gate(vf_add(vf_mul(a, vf_set1(1.0F / 6.0F)), vf_set1(0.5F)))))
UNARY(leaky_relu, vf_select(vf_lt(a, vf_zero()), vf_mul(vp, a), a))
UNARY(log, vlog(a))
BINARY(max, vf_select(vf_isnan(b), b, vf_max(b, a)))
BINARY(min, vf_select(vf_isnan(b), b, vf_min(b, a)))
UNARY(mish, vmish(a))
BINARY(mul, vf_mul(a, b))
UNARY(neg, vf_neg(a))
BINARY(pow, vpow(a, b))
BINARY(prelu, vf_select(vf_lt(a, vf_zero()), vf_mul(b, a), a))
UNARY(recip, vf_div(one, a))
UNARY(relu, vf_relu(a))
UNARY(round, vf_round(a))
UNARY(sigmoid, vsigmoid(a))
UNARY(silu, vsilu(a, vp))
UNARY(sin, vsin(a))
UNARY(softplus, vsoftplus(a))
UNARY(softsign, vf_div(a, vf_add(one, vf_abs(a))))
UNARY(sqrt, vf_sqrt(a))
BINARY(sub, vf_sub(a, b))
UNARY(tanh, vtanh(a))

static pw_fn *const pw_fns[DYNO_PW_COUNT] = {
#define DYNO_PW(name, operands, immediates, meaning) pw_##name,
#include "ops/pw.def"
#undef DYNO_PW
};

/* Where a call's operands are: inputs as they lie, or repeated, or (GENERAL) spread per piece. */
struct work {
    float scratch[DYNO_TAIL_INSTRS_MAX][PIECE];
    float spread[3][PIECE];
    float repeats[DYNO_CPU_TAIL_INPUTS_MAX][16];
    float consts[3][16];
    struct operand ins[DYNO_CPU_TAIL_INPUTS_MAX]; /* at NULL: spread per piece */
};

static void fill16(float *dst, float value)
{
    for (int i = 0; i < 16; i++)
        dst[i] = value;
}

/* Fills a piece of a GENERAL input: block outputs only. */
struct place {
    int64_t n, cb, pos0;
};

static const struct place nowhere; /* ROW outputs: nothing is spread by pieces */

/* Spatial offset of position pos. */
static int64_t spatial_offset(const struct dyno_cpu_tail *tail, const struct dyno_cpu_tail_in *in,
                              int64_t pos)
{
    int64_t offset = 0;
    for (int i = tail->rank - 1; i >= 0; i--) {
        offset += pos % tail->dims[i] * in->strides[i];
        pos /= tail->dims[i];
    }
    return offset;
}

/* The 16 lanes of channel block cb whose first is at `base`; lanes past the last channel are 0. */
static void load_lanes(const struct dyno_cpu_tail *tail, const struct dyno_cpu_tail_in *in,
                       const float *base, int64_t cb, float *lanes)
{
    if (in->chan_stride == 0) {
        fill16(lanes, base[0]);
    } else if (in->block) {
        memcpy(lanes, base + cb * in->chan_stride, 16 * sizeof(float));
    } else {
        for (int64_t i = 0; i < 16; i++) {
            const int64_t channel = cb * 16 + i;
            lanes[i] = channel < tail->channels ? base[channel * in->chan_stride] : 0.0F;
        }
    }
}

static void spread_piece(const struct dyno_cpu_tail *tail, const struct dyno_cpu_tail_in *in,
                         const struct dyno_buf *ins, const struct place *place, int64_t first,
                         int64_t count, float *dst)
{
    const float *base = (const float *)ins[in->idx].data + place->n * in->batch_stride;
    for (int64_t i = 0; i < count; i += 16) {
        const int64_t pos = place->pos0 + (first + i) / 16;
        load_lanes(tail, in, base + spatial_offset(tail, in, pos), place->cb, dst + i);
    }
}

/* Where operand k of an instruction lies, for `size` elements from `first` on. */
static struct operand operand_of(const struct dyno_cpu_tail *tail, const struct dyno_buf *ins,
                                 struct work *work, const struct place *place,
                                 const struct dyno_cpu_tail_operand *from, int k, int64_t first,
                                 int64_t size)
{
    if (from->kind == DYNO_OPERAND_CONST) {
        fill16(work->consts[k], from->value);
        return (struct operand){work->consts[k], REPEAT};
    }
    struct operand o = work->ins[from->slot];
    if (o.at == NULL) {
        spread_piece(tail, &tail->ins[from->slot], ins, place, first, size, work->spread[k]);
        return (struct operand){work->spread[k], VECTOR};
    }
    if (o.mask == VECTOR)
        o.at += first;
    return o;
}

/* Run the program over count elements whose operands `work` describes. */
static void run_pieces(const struct dyno_cpu_tail *tail, const struct dyno_buf *ins,
                       struct work *work, const struct place *place, const float *src, float *dst,
                       int64_t count)
{
    for (int64_t first = 0; first < count; first += PIECE) {
        const int64_t size = count - first < PIECE ? count - first : PIECE;
        for (uint32_t i = 0; i < tail->instr_count; i++) {
            const struct dyno_cpu_tail_instr *instr = &tail->instrs[i];
            struct operand o[3];
            for (int k = 0; k < instr->operand_count; k++) {
                const struct dyno_cpu_tail_operand *from = &instr->operands[k];
                const bool is_src = from->slot == DYNO_CPU_SLOT_SRC;
                if (from->kind == DYNO_OPERAND_REG)
                    o[k] =
                        (struct operand){is_src ? src + first : work->scratch[from->slot], VECTOR};
                else
                    o[k] = operand_of(tail, ins, work, place, from, k, first, size);
            }
            const bool last = i + 1 == tail->instr_count;
            pw_fns[instr->op](last ? dst + first : work->scratch[instr->slot], o, instr->p,
                              instr->q, size);
        }
    }
}

void tail_block(const struct dyno_cpu_tail *tail, const struct dyno_buf *ins, const float *src,
                float *dst, int64_t n, int64_t cb, int64_t pos0, int64_t count)
{
    struct work work;
    for (uint32_t k = 0; k < tail->in_count; k++) {
        const struct dyno_cpu_tail_in *in = &tail->ins[k];
        const float *base = (const float *)ins[in->idx].data + n * in->batch_stride;
        work.ins[k] = (struct operand){NULL, VECTOR};
        if (in->spread == DYNO_CPU_SAME) {
            work.ins[k].at = base + cb * in->chan_stride + pos0 * 16;
        } else if (in->spread == DYNO_CPU_SCALAR || in->spread == DYNO_CPU_CHANNEL) {
            load_lanes(tail, in, base, cb, work.repeats[k]);
            work.ins[k] = (struct operand){work.repeats[k], REPEAT};
        }
    }
    const struct place place = {n, cb, pos0};
    run_pieces(tail, ins, &work, &place, src, dst, count * 16);
}

void tail_row(const struct dyno_cpu_tail *tail, const struct dyno_buf *ins, const float *src,
              float *dst, int64_t row, int64_t col0, int64_t count)
{
    struct work work;
    for (uint32_t k = 0; k < tail->in_count; k++) {
        const struct dyno_cpu_tail_in *in = &tail->ins[k];
        const float *at = ins[in->idx].data;
        const bool along = in->strides[tail->rank] != 0;
        if (in->spread == DYNO_CPU_SAME) {
            at += row * tail->cols;
        } else if (in->spread == DYNO_CPU_ROWS) {
            at += row;
        } else if (in->spread == DYNO_CPU_GENERAL) {
            int64_t left = row;
            for (int i = tail->rank - 1; i >= 0; i--) {
                at += left % tail->dims[i] * in->strides[i];
                left /= tail->dims[i];
            }
        }
        if (along || in->spread == DYNO_CPU_SAME) {
            work.ins[k] = (struct operand){at + col0, VECTOR};
        } else {
            fill16(work.repeats[k], *at);
            work.ins[k] = (struct operand){work.repeats[k], REPEAT};
        }
    }
    run_pieces(tail, ins, &work, &nowhere, src, dst, count);
}

void tail_flat(const struct dyno_cpu_tail *tail, const struct dyno_buf *ins, const float *src,
               float *dst, int64_t first, int64_t count)
{
    struct work work;
    for (uint32_t k = 0; k < tail->in_count; k++) {
        const float *at = ins[tail->ins[k].idx].data;
        if (tail->ins[k].spread == DYNO_CPU_SAME) {
            work.ins[k] = (struct operand){at + first, VECTOR};
        } else {
            fill16(work.repeats[k], *at);
            work.ins[k] = (struct operand){work.repeats[k], REPEAT};
        }
    }
    run_pieces(tail, ins, &work, &nowhere, src, dst, count);
}
