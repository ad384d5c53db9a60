/* reference.c - any operator by its reference meaning: correct, slow, one thread.
 *
 * Outputs whose rank is -1 (their shape depends on data) get dims and a data pointer into
 * args->scratch: the caller copies them before it resets the arena.
 */
#include "backend/cpu/kernel.h"

extern const struct dyno_kernel dyno_kernel_portable_reference;

#define FIXED_US   1000.0 /* always behind a kernel that can do the step */
#define ELEMENT_US 0.05

static bool can_run(const struct dyno_step *step)
{
    return dyno_ops[step->op]->reference != NULL && step->op != DYNO_OP_reorder;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    const struct dyno_step *step = site->step;
    if (max < 1 || !can_run(step))
        return 0;
    double elems = 0.0;
    for (uint32_t i = 0; i < step->in_count; i++)
        if (site->ins[i].rank >= 0)
            elems += (double)dyno_cpu_count(&site->ins[i]);
    for (uint32_t i = 0; i < step->out_count; i++)
        if (site->outs[i].rank >= 0)
            elems += (double)dyno_cpu_count(&site->outs[i]);
    out[0].est_us = (float)(FIXED_US + ELEMENT_US * elems);
    return 1;
}

/* Output 0 may be absent: Y of an LSTM. */
static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    (void)asked;
    const bool row = dyno_cpu_settle_row(site, 0, tactic) || site->outs[0].rank < 0;
    if (!can_run(site->step) || !row)
        return dyno_cpu_refuse(site, err);
    tactic->flags = DYNO_TACTIC_REFERENCE | DYNO_TACTIC_BASELINE;
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state, uint64_t *workspace_bytes_out,
                                struct dyno_err *err)
{
    (void)site;
    (void)tactic;
    (void)packed;
    (void)state;
    (void)err;
    *workspace_bytes_out = 0;
    return DYNO_OK;
}

static enum dyno_status give(const struct dyno_tensor *from, struct dyno_buf *to,
                             const struct dyno_step *step, struct dyno_err *err)
{
    if (to->rank < 0) {
        to->dtype = from->dtype;
        to->rank = from->rank;
        memcpy(to->dims, from->dims, sizeof(to->dims));
        to->data = from->data;
        return DYNO_OK;
    }
    const int64_t count = dyno_tensor_count(from);
    size_t bytes = 0;
    if (from->dtype != to->dtype || count != dyno_cpu_count(to) ||
        !dyno_dtype_bytes(from->dtype, (uint64_t)count, &bytes))
        return DYNO_FAIL(err, DYNO_E_FORMAT,
                         "'%s' gave %lld elements of %s where %lld of %s were planned", step->name,
                         (long long)count, dyno_dtype_text(from->dtype),
                         (long long)dyno_cpu_count(to), dyno_dtype_text(to->dtype));
    if (bytes != 0)
        memcpy(to->data, from->data, bytes);
    return DYNO_OK;
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct dyno_step *step = args->step;
    const size_t in_count = step->in_count;
    struct dyno_tensor *ins = dyno_arena_alloc(args->scratch, in_count + 1, sizeof(*ins));
    const struct dyno_tensor **in_ptrs =
        dyno_arena_alloc(args->scratch, in_count + 1, sizeof(*in_ptrs));
    struct dyno_tensor *outs =
        dyno_arena_alloc(args->scratch, (size_t)step->out_count + 1, sizeof(*outs));
    if (ins == NULL || in_ptrs == NULL || outs == NULL)
        return DYNO_NOMEM(args->err);
    for (size_t i = 0; i < in_count; i++) {
        const struct dyno_buf *buf = &args->ins[i];
        if (buf->rank < 0)
            continue;
        ins[i] = (struct dyno_tensor){.dtype = buf->dtype, .rank = buf->rank, .data = buf->data};
        memcpy(ins[i].dims, buf->dims, sizeof(ins[i].dims));
        in_ptrs[i] = &ins[i];
    }
    DYNO_TRY(dyno_op_run_reference(dyno_ops[step->op], step->attrs, in_ptrs, step->own_in_count,
                                   outs, step->out_count, args->scratch, args->err));
    if (step->tail.instr_count != 0)
        DYNO_TRY(dyno_tail_run_reference(&step->tail, in_ptrs, &outs[0], args->err));
    for (uint32_t i = 0; i < step->out_count; i++)
        if (step->outs[i] != DYNO_NO_TENSOR)
            DYNO_TRY(give(&outs[i], &args->outs[i], step, args->err));
    return DYNO_OK;
}

const struct dyno_kernel dyno_kernel_portable_reference = {
    .name = "reference",
    .isa_mask = DYNO_ISA_PORTABLE,
    .packing = 1,
    .state_bytes = 0,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
};
