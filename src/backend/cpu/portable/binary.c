/* binary.c - comparisons of numbers, logic, and arithmetic of integers: two broadcast inputs. */
#include "backend/cpu/broadcast.h"

extern const struct dyno_kernel dyno_kernel_portable_binary;

/* One row: a and b step by sa and sb (0 or 1). */
typedef void row_fn(const void *a, int64_t sa, const void *b, int64_t sb, void *dst, int64_t count);

#define ROW_FN(name, from, to, expr)                                                     \
    static void name(const void *va, int64_t sa, const void *vb, int64_t sb, void *vdst, \
                     int64_t count)                                                      \
    {                                                                                    \
        const from *a = va;                                                              \
        const from *b = vb;                                                              \
        to *dst = vdst; /* NOLINT(bugprone-macro-parentheses): a type */                 \
        for (int64_t i = 0; i < count; i++) {                                            \
            const from x = a[i * sa];                                                    \
            const from y = b[i * sb];                                                    \
            dst[i] = (to)(expr);                                                         \
        }                                                                                \
    }

#define COMPARISONS(type, suffix)                         \
    ROW_FN(equal_##suffix, type, uint8_t, x == y)         \
    ROW_FN(less_##suffix, type, uint8_t, x < y)           \
    ROW_FN(less_or_equal_##suffix, type, uint8_t, x <= y) \
    ROW_FN(greater_##suffix, type, uint8_t, x > y)        \
    ROW_FN(greater_or_equal_##suffix, type, uint8_t, x >= y)

/* Integers wrap: the arithmetic is done without sign. */
#define INTEGERS(type, wide, suffix)                    \
    ROW_FN(add_##suffix, type, type, (wide)x + (wide)y) \
    ROW_FN(sub_##suffix, type, type, (wide)x - (wide)y) \
    ROW_FN(mul_##suffix, type, type, (wide)x *(wide)y)  \
    ROW_FN(min_##suffix, type, type, x < y ? x : y)     \
    ROW_FN(max_##suffix, type, type, x > y ? x : y)

COMPARISONS(float, f32)
COMPARISONS(int32_t, i32)
COMPARISONS(int64_t, i64)
INTEGERS(int32_t, uint32_t, i32)
INTEGERS(int64_t, uint64_t, i64)
ROW_FN(equal_bool, uint8_t, uint8_t, (x != 0) == (y != 0))
ROW_FN(and_bool, uint8_t, uint8_t, x != 0 && y != 0)
ROW_FN(or_bool, uint8_t, uint8_t, x != 0 || y != 0)
ROW_FN(xor_bool, uint8_t, uint8_t, (x != 0) != (y != 0))

static const struct {
    enum dyno_op_id op;
    enum dyno_dtype dtype;
    row_fn *fn;
} table[] = {
    {DYNO_OP_equal, DYNO_F32, equal_f32},
    {DYNO_OP_less, DYNO_F32, less_f32},
    {DYNO_OP_less_or_equal, DYNO_F32, less_or_equal_f32},
    {DYNO_OP_greater, DYNO_F32, greater_f32},
    {DYNO_OP_greater_or_equal, DYNO_F32, greater_or_equal_f32},
    {DYNO_OP_equal, DYNO_I32, equal_i32},
    {DYNO_OP_less, DYNO_I32, less_i32},
    {DYNO_OP_less_or_equal, DYNO_I32, less_or_equal_i32},
    {DYNO_OP_greater, DYNO_I32, greater_i32},
    {DYNO_OP_greater_or_equal, DYNO_I32, greater_or_equal_i32},
    {DYNO_OP_equal, DYNO_I64, equal_i64},
    {DYNO_OP_less, DYNO_I64, less_i64},
    {DYNO_OP_less_or_equal, DYNO_I64, less_or_equal_i64},
    {DYNO_OP_greater, DYNO_I64, greater_i64},
    {DYNO_OP_greater_or_equal, DYNO_I64, greater_or_equal_i64},
    {DYNO_OP_add, DYNO_I32, add_i32},
    {DYNO_OP_sub, DYNO_I32, sub_i32},
    {DYNO_OP_mul, DYNO_I32, mul_i32},
    {DYNO_OP_min, DYNO_I32, min_i32},
    {DYNO_OP_max, DYNO_I32, max_i32},
    {DYNO_OP_add, DYNO_I64, add_i64},
    {DYNO_OP_sub, DYNO_I64, sub_i64},
    {DYNO_OP_mul, DYNO_I64, mul_i64},
    {DYNO_OP_min, DYNO_I64, min_i64},
    {DYNO_OP_max, DYNO_I64, max_i64},
    {DYNO_OP_equal, DYNO_BOOL, equal_bool},
    {DYNO_OP_and, DYNO_BOOL, and_bool},
    {DYNO_OP_or, DYNO_BOOL, or_bool},
    {DYNO_OP_xor, DYNO_BOOL, xor_bool},
};

struct binary_state {
    struct dyno_cpu_broadcast spread;
    row_fn *fn;
    int64_t in_bytes, out_bytes; /* of an element */
};

/* Sums have their operands' type, answers are booleans. */
static enum dyno_dtype out_dtype(enum dyno_op_id op, enum dyno_dtype in)
{
    const bool same = op == DYNO_OP_add || op == DYNO_OP_sub || op == DYNO_OP_mul ||
                      op == DYNO_OP_min || op == DYNO_OP_max;
    return same ? in : DYNO_BOOL;
}

static bool describe(const struct dyno_site *site, struct binary_state *state)
{
    const struct dyno_step *step = site->step;
    if (step->own_in_count != 2 || step->tail.instr_count != 0 || site->outs[0].rank < 0 ||
        site->ins[0].dtype != site->ins[1].dtype)
        return false;
    state->fn = NULL;
    for (size_t i = 0; i < DYNO_COUNT(table); i++)
        if (table[i].op == step->op && table[i].dtype == site->ins[0].dtype)
            state->fn = table[i].fn;
    state->in_bytes = dyno_dtype_bits(site->ins[0].dtype) / 8;
    state->out_bytes = dyno_dtype_bits(site->outs[0].dtype) / 8;
    return state->fn != NULL && site->outs[0].dtype == out_dtype(step->op, site->ins[0].dtype) &&
           dyno_cpu_broadcast_init(&state->spread, &site->outs[0], site->ins, 2);
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    struct binary_state state;
    if (max < 1 || !describe(site, &state))
        return 0;
    const double bytes =
        (double)(2 * state.in_bytes + state.out_bytes) * (double)dyno_cpu_count(&site->outs[0]);
    out[0].est_us = (float)dyno_cpu_move_us(site->target, bytes);
    return 1;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    (void)asked;
    struct binary_state state;
    if (!describe(site, &state) || !dyno_cpu_settle_row(site, 0, tactic))
        return dyno_cpu_refuse(site, err);
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state, uint64_t *workspace_bytes_out,
                                struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    *workspace_bytes_out = 0;
    if (!describe(site, state))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "the inputs of '%s' do not spread over its output",
                         site->step->name);
    return DYNO_OK;
}

static void do_row(const struct dyno_run_args *args, int64_t row, int thread)
{
    (void)thread;
    const struct binary_state *state = args->state;
    const struct dyno_cpu_broadcast *s = &state->spread;
    int64_t at[DYNO_CPU_OPERANDS_MAX];
    dyno_cpu_broadcast_row(s, row, at);
    state->fn((const char *)args->ins[0].data + at[0] * state->in_bytes, s->col[0],
              (const char *)args->ins[1].data + at[1] * state->in_bytes, s->col[1],
              (char *)args->outs[0].data + row * s->cols * state->out_bytes, s->cols);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct binary_state *state = args->state;
    dyno_cpu_units(args, state->spread.rows, state->spread.cols, do_row);
    return DYNO_OK;
}

const struct dyno_kernel dyno_kernel_portable_binary = {
    .name = "binary_portable",
    .isa_mask = DYNO_ISA_PORTABLE,
    .packing = 1,
    .state_bytes = sizeof(struct binary_state),
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
