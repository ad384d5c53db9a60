/* where.c - Where: one of two values, broadcast, of any element type. */
#include "backend/cpu/broadcast.h"
#include "backend/cpu/move.h"

extern const struct dyno_kernel dyno_kernel_portable_where;

struct where_state {
    struct dyno_cpu_broadcast spread;
    int64_t elem_bytes;
};

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    if (site->step->op != DYNO_OP_where || max < 1)
        return 0;
    const int64_t elem = dyno_cpu_elem_bytes(site->outs[0].dtype);
    const double bytes = (double)(3 * elem + 1) * (double)dyno_cpu_count(&site->outs[0]);
    out[0].est_us = (float)dyno_cpu_move_us(site->target, bytes);
    return 1;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    (void)asked;
    const enum dyno_dtype dtype = site->outs[0].dtype;
    const int64_t elem = dyno_cpu_elem_bytes(dtype);
    struct dyno_cpu_broadcast spread;
    if (site->step->op != DYNO_OP_where || site->step->tail.instr_count != 0 ||
        (elem != 1 && elem != 2 && elem != 4 && elem != 8 && elem != 16) ||
        site->ins[0].dtype != DYNO_BOOL || site->ins[1].dtype != dtype ||
        site->ins[2].dtype != dtype || !dyno_cpu_settle_row(site, 0, tactic) ||
        !dyno_cpu_broadcast_init(&spread, &site->outs[0], site->ins, 3))
        return dyno_cpu_refuse(site, err);
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)tactic;
    (void)packed;
    struct where_state *state = state_bytes;
    *workspace_bytes_out = 0;
    state->elem_bytes = dyno_cpu_elem_bytes(site->outs[0].dtype);
    if (!dyno_cpu_broadcast_init(&state->spread, &site->outs[0], site->ins, 3))
        return DYNO_FAIL(err, DYNO_E_FORMAT, "the inputs of '%s' do not spread over its output",
                         site->step->name);
    return DYNO_OK;
}

/* memcpy of a constant size: a load and a store. */
#define CHOOSE(n)                                                                        \
    static void choose_##n(const struct dyno_cpu_broadcast *s, const uint8_t *condition, \
                           const char *a, const char *b, char *dst)                      \
    {                                                                                    \
        for (int64_t i = 0; i < s->cols; i++)                                            \
            memcpy(dst + i * (n),                                                        \
                   condition[i * s->col[0]] != 0 ? a + i * s->col[1] * (n)               \
                                                 : b + i * s->col[2] * (n),              \
                   n);                                                                   \
    }
CHOOSE(1)
CHOOSE(2)
CHOOSE(4)
CHOOSE(8)
CHOOSE(16)

static void do_row(const struct dyno_run_args *args, int64_t row, int thread)
{
    (void)thread;
    const struct where_state *state = args->state;
    const struct dyno_cpu_broadcast *s = &state->spread;
    int64_t at[DYNO_CPU_OPERANDS_MAX];
    dyno_cpu_broadcast_row(s, row, at);
    const uint8_t *condition = (const uint8_t *)args->ins[0].data + at[0];
    const char *a = (const char *)args->ins[1].data + at[1] * state->elem_bytes;
    const char *b = (const char *)args->ins[2].data + at[2] * state->elem_bytes;
    char *dst = (char *)args->outs[0].data + row * s->cols * state->elem_bytes;
    if (state->elem_bytes == 1)
        choose_1(s, condition, a, b, dst);
    else if (state->elem_bytes == 2)
        choose_2(s, condition, a, b, dst);
    else if (state->elem_bytes == 4)
        choose_4(s, condition, a, b, dst);
    else if (state->elem_bytes == 8)
        choose_8(s, condition, a, b, dst);
    else
        choose_16(s, condition, a, b, dst);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct where_state *state = args->state;
    dyno_cpu_units(args, state->spread.rows, state->spread.cols, do_row);
    return DYNO_OK;
}

const struct dyno_kernel dyno_kernel_portable_where = {
    .name = "where_portable",
    .isa_mask = DYNO_ISA_PORTABLE,
    .packing = 1,
    .state_bytes = sizeof(struct where_state),
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
