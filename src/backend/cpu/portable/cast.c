/* cast.c - Cast between the common element types, and Not. */
#include "backend/cpu/kernel.h"

extern const struct dyno_kernel dyno_kernel_portable_cast;

#define SEGMENT 16384 /* elements a unit of work */

typedef void cast_fn(const void *src, void *dst, int64_t count);

#define CAST_FN(name, from, to, expr)                                    \
    static void name(const void *vsrc, void *vdst, int64_t count)        \
    {                                                                    \
        const from *src = vsrc;                                          \
        to *dst = vdst; /* NOLINT(bugprone-macro-parentheses): a type */ \
        for (int64_t i = 0; i < count; i++) {                            \
            const from x = src[i];                                       \
            dst[i] = (to)(expr);                                         \
        }                                                                \
    }

/* Outside this range, and for NaN, the rule is dyno_elem_store_f64's. */
static inline bool fits_i64(float x)
{
    return x > -9.223372036854775808e18F && x < 9.223372036854775808e18F;
}

#define FROM_F32(name, to, dtype)                                           \
    static void name(const void *vsrc, void *vdst, int64_t count)           \
    {                                                                       \
        const float *src = vsrc;                                            \
        to *dst = vdst; /* NOLINT(bugprone-macro-parentheses): a type */    \
        for (int64_t i = 0; i < count; i++) {                               \
            if (fits_i64(src[i]))                                           \
                dst[i] = (to)(int64_t)src[i];                               \
            else                                                            \
                dyno_elem_store_f64(dtype, dst, (size_t)i, (double)src[i]); \
        }                                                                   \
    }

FROM_F32(f32_to_i64, int64_t, DYNO_I64)
FROM_F32(f32_to_i32, int32_t, DYNO_I32)
FROM_F32(f32_to_u8, uint8_t, DYNO_U8)
FROM_F32(f32_to_i8, int8_t, DYNO_I8)
CAST_FN(f32_to_bool, float, uint8_t, x != 0.0F)
CAST_FN(f32_to_f64, float, double, x)
CAST_FN(f64_to_f32, double, float, x)
CAST_FN(f32_to_f16, float, uint16_t, dyno_f32_to_f16(x))
CAST_FN(f16_to_f32, uint16_t, float, dyno_f16_to_f32(x))
CAST_FN(f32_to_bf16, float, uint16_t, dyno_f32_to_bf16(x))
CAST_FN(bf16_to_f32, uint16_t, float, dyno_bf16_to_f32(x))
CAST_FN(i64_to_f32, int64_t, float, x)
CAST_FN(i32_to_f32, int32_t, float, x)
CAST_FN(u8_to_f32, uint8_t, float, x)
CAST_FN(i8_to_f32, int8_t, float, x)
CAST_FN(bool_to_f32, uint8_t, float, x != 0 ? 1.0F : 0.0F)
CAST_FN(i64_to_i32, int64_t, int32_t, x)
CAST_FN(i32_to_i64, int32_t, int64_t, x)
CAST_FN(i64_to_bool, int64_t, uint8_t, x != 0)
CAST_FN(i32_to_bool, int32_t, uint8_t, x != 0)
CAST_FN(bool_to_i64, uint8_t, int64_t, x)
CAST_FN(bool_to_i32, uint8_t, int32_t, x)
CAST_FN(bool_not, uint8_t, uint8_t, x == 0)

static const struct {
    enum dyno_dtype from, to;
    cast_fn *fn;
} table[] = {
    {DYNO_F32, DYNO_I64, f32_to_i64},   {DYNO_F32, DYNO_I32, f32_to_i32},
    {DYNO_F32, DYNO_U8, f32_to_u8},     {DYNO_F32, DYNO_I8, f32_to_i8},
    {DYNO_F32, DYNO_BOOL, f32_to_bool}, {DYNO_F32, DYNO_F64, f32_to_f64},
    {DYNO_F64, DYNO_F32, f64_to_f32},   {DYNO_F32, DYNO_F16, f32_to_f16},
    {DYNO_F16, DYNO_F32, f16_to_f32},   {DYNO_F32, DYNO_BF16, f32_to_bf16},
    {DYNO_BF16, DYNO_F32, bf16_to_f32}, {DYNO_I64, DYNO_F32, i64_to_f32},
    {DYNO_I32, DYNO_F32, i32_to_f32},   {DYNO_U8, DYNO_F32, u8_to_f32},
    {DYNO_I8, DYNO_F32, i8_to_f32},     {DYNO_BOOL, DYNO_F32, bool_to_f32},
    {DYNO_I64, DYNO_I32, i64_to_i32},   {DYNO_I32, DYNO_I64, i32_to_i64},
    {DYNO_I64, DYNO_BOOL, i64_to_bool}, {DYNO_I32, DYNO_BOOL, i32_to_bool},
    {DYNO_BOOL, DYNO_I64, bool_to_i64}, {DYNO_BOOL, DYNO_I32, bool_to_i32},
};

struct cast_state {
    cast_fn *fn;
    int64_t count, in_bytes, out_bytes; /* of an element */
};

static bool describe(const struct dyno_site *site, struct cast_state *state)
{
    const struct dyno_step *step = site->step;
    const enum dyno_dtype from = site->ins[0].dtype;
    const enum dyno_dtype to = site->outs[0].dtype;
    if (step->tail.instr_count != 0 || site->outs[0].rank < 0 ||
        dyno_cpu_count(&site->ins[0]) != dyno_cpu_count(&site->outs[0]))
        return false;
    state->fn = NULL;
    if (step->op == DYNO_OP_not && from == DYNO_BOOL && to == DYNO_BOOL)
        state->fn = bool_not;
    for (size_t i = 0; i < DYNO_COUNT(table); i++)
        if (step->op == DYNO_OP_cast && table[i].from == from && table[i].to == to)
            state->fn = table[i].fn;
    state->count = dyno_cpu_count(&site->outs[0]);
    state->in_bytes = dyno_dtype_bits(from) / 8;
    state->out_bytes = dyno_dtype_bits(to) / 8;
    return state->fn != NULL;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    struct cast_state state;
    if (max < 1 || !describe(site, &state))
        return 0;
    const double bytes = (double)state.count * (double)(state.in_bytes + state.out_bytes);
    out[0].est_us = (float)dyno_cpu_move_us(site->target, bytes);
    return 1;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    (void)asked;
    struct cast_state state;
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
        return DYNO_FAIL(err, DYNO_E_FORMAT, "'%s' casts %s to %s, which this kernel does not",
                         site->step->name, dyno_dtype_text(site->ins[0].dtype),
                         dyno_dtype_text(site->outs[0].dtype));
    return DYNO_OK;
}

static void do_segment(const struct dyno_run_args *args, int64_t unit, int thread)
{
    (void)thread;
    const struct cast_state *state = args->state;
    const int64_t first = unit * SEGMENT;
    state->fn((const char *)args->ins[0].data + first * state->in_bytes,
              (char *)args->outs[0].data + first * state->out_bytes,
              dyno_cpu_min(SEGMENT, state->count - first));
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct cast_state *state = args->state;
    dyno_cpu_units(args, dyno_cpu_div_up(state->count, SEGMENT), SEGMENT, do_segment);
    return DYNO_OK;
}

const struct dyno_kernel dyno_kernel_portable_cast = {
    .name = "cast_portable",
    .isa_mask = DYNO_ISA_PORTABLE,
    .packing = 1,
    .state_bytes = sizeof(struct cast_state),
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
