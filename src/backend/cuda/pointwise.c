/* pointwise.c - Dyno's Pointwise, every operator that is one pointwise instruction, and their
 * tails: one pass over memory. */
#include <math.h>
#include <string.h>

#include "backend/cuda/pointwise.h"

extern const struct dyno_kernel dyno_kernel_cuda_pointwise;

#define THREADS 256

/* --- a pass --- */

/* Along the fastest axis. */
static int64_t row_of(const struct dyno_site *site, const struct dyno_tactic *tactic)
{
    const struct dyno_buf *y = &site->outs[0];
    if (dyno_cuda_is_last(tactic->out_layout))
        return dyno_cuda_stored(y->dims[1], tactic->out_layout);
    return y->rank > 0 ? y->dims[y->rank - 1] : 1;
}

/* Rows of other lengths at other shapes of the profile.  Channels last are padded to vectors. */
static bool row_is_open(const struct dyno_site *site, const struct dyno_tactic *tactic)
{
    const struct dyno_buf *y = &site->outs[0];
    return !dyno_cuda_is_last(tactic->out_layout) && y->rank > 0 && y->open[y->rank - 1] != 0;
}

static int vector_of(const struct dyno_site *site, const struct dyno_tactic *tactic, bool open)
{
    int vector = tactic->out_layout.elem != 0 ? 8 : 4;
    while (!open && vector > 1 && row_of(site, tactic) % vector != 0)
        vector /= 2;
    return vector;
}

/* Where no operand spreads along rows, all of them are one. */
static bool has_columns(const struct dyno_cuda_tail *tail)
{
    for (uint32_t i = 0; i < tail->in_count; i++) {
        if (tail->ins[i].spread == DYNO_CUDA_COLUMN)
            return true;
    }
    return false;
}

/* Elements as stored, and as rows of the fastest axis. */
static void sizes_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                     const struct dyno_buf *x, bool is_one_row, struct dyno_gpu_pointwise *params)
{
    const struct dyno_buf *y = &site->outs[0];
    const int64_t count = dyno_cuda_count(y, 0, y->rank);
    params->stored = (int)row_of(site, tactic);
    if (dyno_cuda_is_last(tactic->out_layout)) {
        params->columns = (int)y->dims[1];
        params->x_ld = x != NULL ? (int)dyno_cuda_ld(x, tactic->out_layout) : 0;
        params->y_ld = (int)dyno_cuda_ld(y, tactic->out_layout);
        params->count = y->dims[1] != 0 ? count / y->dims[1] * params->stored : 0;
        return;
    }
    if (is_one_row && count > 0 && count <= INT32_MAX / 2)
        params->stored = (int)count;
    params->columns = params->x_ld = params->y_ld = params->stored;
    params->count = count;
}

void dyno_cuda_pass_text(const struct dyno_site *site, const struct dyno_tactic *tactic,
                         const struct dyno_tail *program, const struct dyno_cuda_tail *tail,
                         bool load, bool open, const char **source_out, struct dyno_strbuf *choices)
{
    const char *type = dyno_cuda_type(tactic->out_layout);
    open = open || row_is_open(site, tactic);
    *source_out = "pointwise.cu";
    dyno_strbuf_printf(choices, "#define T %s\n#define TO %s\n#define VEC %d\n#define LOAD %d\n",
                       type, type, vector_of(site, tactic, open), load);
    if (open)
        dyno_strbuf_puts(choices, "#define OPEN 1\n");
    dyno_cuda_tail_text(program, tail, choices);
}

enum dyno_status dyno_cuda_pass_prepare(const struct dyno_site *site,
                                        const struct dyno_tactic *tactic, const struct dyno_buf *x,
                                        const struct dyno_cuda_tail *tail, bool open,
                                        struct dyno_cuda_pass *pass_out, struct dyno_err *err)
{
    const struct dyno_buf *y = &site->outs[0];
    *pass_out = (struct dyno_cuda_pass){.tail = *tail};
    for (int i = 0; i < y->rank; i++) {
        if (y->dims[i] > INT32_MAX / 16)
            return DYNO_FAIL(err, DYNO_E_LIMIT, "a dimension of %lld is too large for the GPU",
                             (long long)y->dims[i]);
    }
    struct dyno_gpu_pointwise *params = &pass_out->params;
    open = open || row_is_open(site, tactic);
    sizes_of(site, tactic, x, open && !has_columns(tail), params);
    if (!dyno_cuda_tail_sizes(site, tactic, tail, &params->tail))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "an operand is too large");
    /* As pointwise.cu has it. */
    const int vector = vector_of(site, tactic, open);
    const bool by_element = open && params->stored % vector != 0 && params->stored != params->count;
    pass_out->blocks =
        dyno_cuda_div_up(dyno_cuda_div_up(params->count, by_element ? 1 : vector), THREADS);
    return DYNO_OK;
}

enum dyno_status dyno_cuda_pass_run(const struct dyno_run_args *args,
                                    const struct dyno_cuda_pass *pass, const void *x)
{
    struct dyno_gpu_pointwise params = pass->params;
    params.x = dyno_cuda_address(x);
    params.y = dyno_cuda_address(args->outs[0].data);
    dyno_cuda_tail_bind(args, &pass->tail, &params.tail);
    const int64_t grid[3] = {pass->blocks, 1, 1};
    return dyno_cuda_launch(args, grid, THREADS, 0, &params, sizeof(params));
}

/* --- operators --- */

/* cfg[0]: 1, one text for all shapes, for rows as the unoptimised execution has them. */
static bool is_open(const struct dyno_tactic *tactic)
{
    return tactic->cfg[0] != 0;
}

static bool is_plain(const struct dyno_step *step)
{
    return step->op == DYNO_OP_pointwise || step->op == DYNO_OP_identity;
}

/* A bound of clip: a constant, or the fallback when absent. */
static bool bound_of(const struct dyno_site *site, uint32_t i, float fallback, float *out)
{
    *out = fallback;
    if (i >= site->step->own_in_count || site->ins[i].rank < 0)
        return true;
    const struct dyno_buf *in = &site->ins[i];
    if (in->dtype != DYNO_F32 || in->data == NULL || !site->in_is_weight[i] ||
        dyno_cuda_count(in, 0, in->rank) != 1)
        return false;
    memcpy(out, in->data, sizeof(*out));
    return true;
}

static void put_first(struct dyno_tail *program, const struct dyno_pw_form *form, uint32_t i,
                      bool two)
{
    struct dyno_tail_instr *instr = &program->instrs[i];
    *instr = (struct dyno_tail_instr){.op = (uint8_t)form->pw, .p = form->p, .q = form->q};
    instr->operands[0] = i == 0 ? (struct dyno_operand){DYNO_OPERAND_INPUT, 0, 0.0F}
                                : (struct dyno_operand){DYNO_OPERAND_REG, (uint16_t)i, 0.0F};
    if (two)
        instr->operands[1] = (struct dyno_operand){DYNO_OPERAND_INPUT, (uint16_t)(i + 1), 0.0F};
}

/* The operator as instructions over its own inputs, then its tail.  *first_out: the first input
 * that is an operand.  False when it is none, or too long. */
static bool compose(const struct dyno_site *site, struct dyno_tail *program, uint32_t *first_out)
{
    const struct dyno_step *step = site->step;
    *program = step->tail;
    *first_out = step->own_in_count;
    if (is_plain(step))
        return step->own_in_count == 1;
    struct dyno_pw_form form = dyno_op_pw_form(dyno_ops[step->op], step->attrs);
    *first_out = 0;
    if (form.pw < 0)
        return false;
    const bool two = dyno_pw_infos[form.pw].operand_count == 2;
    if (form.pw == DYNO_PW_clip &&
        (!bound_of(site, 1, -INFINITY, &form.p) || !bound_of(site, 2, INFINITY, &form.q)))
        return false;
    if (form.pw != DYNO_PW_clip && step->own_in_count != (two ? step->own_in_count : 1))
        return false;
    const uint32_t count = two ? step->own_in_count - 1 : 1; /* Sum, Max, Min take any number */
    if ((two && step->own_in_count < 2) || count + step->tail.instr_count > DYNO_TAIL_INSTRS_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++)
        put_first(program, &form, i, two);
    for (uint32_t i = 0; i < step->tail.instr_count; i++) {
        struct dyno_tail_instr *instr = &program->instrs[count + i];
        *instr = step->tail.instrs[i];
        for (int k = 0; k < 3; k++) {
            if (instr->operands[k].kind == DYNO_OPERAND_REG)
                instr->operands[k].idx = (uint16_t)(instr->operands[k].idx + count);
        }
    }
    program->instr_count = count + step->tail.instr_count;
    return true;
}

/* The step as a program in the layouts of `tactic`. */
static bool plan(const struct dyno_site *site, const struct dyno_tactic *tactic,
                 struct dyno_tail *program, struct dyno_cuda_tail *tail)
{
    uint32_t first = 0;
    const struct dyno_buf *x = &site->ins[0];
    const struct dyno_buf *y = &site->outs[0];
    if (site->step->out_count != 1 || !dyno_cuda_is_f32(x) || !dyno_cuda_is_f32(y) ||
        !dyno_cuda_readable(site, 0) || !compose(site, program, &first))
        return false;
    const bool is_clip = first == 0 && program->instrs[0].op == DYNO_PW_clip;
    if (is_clip && site->step->own_in_count > 1) {
        /* Its bounds are in the text: what is an operand is x, then the tail's inputs. */
        if (site->step->in_count > site->step->own_in_count)
            return false;
        struct dyno_step lone = *site->step;
        lone.in_count = lone.own_in_count = 1;
        struct dyno_site without = *site;
        without.step = &lone;
        if (!dyno_cuda_tail_plan_from(&without, tactic, 0, tail))
            return false;
        if (is_open(tactic))
            dyno_cuda_tail_open(&without, tail);
        return true;
    }
    if (first != 0 && (x->rank != y->rank ||
                       memcmp(x->dims, y->dims, (size_t)x->rank * sizeof(x->dims[0])) != 0 ||
                       site->in_is_weight[0]))
        return false;
    if (!dyno_cuda_tail_plan_from(site, tactic, first, tail))
        return false;
    if (is_open(tactic))
        dyno_cuda_tail_open(site, tail);
    return true;
}

static void set_layouts(const struct dyno_site *site, struct dyno_layout layout,
                        struct dyno_tactic *tactic)
{
    tactic->out_layout = layout;
    for (uint32_t i = 0; i < site->step->own_in_count && i < DYNO_STEP_INS_MAX; i++)
        tactic->in_layouts[i] = dyno_cuda_operand_layout(site, i, layout);
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    int count = 0;
    struct dyno_tail program;
    struct dyno_cuda_tail tail;
    /* One more for the unoptimised execution. */
    const int ways = dyno_cuda_layout_count + (site->target->baseline ? 1 : 0);
    for (int i = 0; i < ways && count < max; i++) {
        const bool opens = i == dyno_cuda_layout_count;
        const struct dyno_layout layout = opens ? DYNO_ROW : dyno_cuda_layouts[i];
        struct dyno_tactic *tactic = &out[count];
        if (!dyno_cuda_layout_allowed(layout, site->target) || site->outs[0].rank < 0 ||
            (dyno_cuda_is_last(layout) && site->outs[0].rank < 2))
            continue;
        *tactic = (struct dyno_tactic){.cfg = {opens}};
        dyno_cuda_tail_layouts(site, layout, tactic);
        set_layouts(site, layout, tactic);
        if (!plan(site, tactic, &program, &tail))
            continue;
        const double elems = (double)dyno_cuda_count(&site->outs[0], 0, site->outs[0].rank);
        tactic->est_us =
            (float)dyno_cuda_move_us(site->target, elems * (layout.elem != 0 ? 2.0 : 4.0) *
                                                       (1.0 + (double)site->step->in_count));
        count++;
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct dyno_tail program;
    struct dyno_cuda_tail tail;
    if (site->step->own_in_count < 1 || site->step->own_in_count > DYNO_STEP_INS_MAX ||
        !dyno_cuda_layout_known(asked->out_layout) || !dyno_cuda_rest_is_zero(asked, 1) ||
        asked->cfg[0] > 1 || (is_open(asked) && !dyno_cuda_is_plain(asked->out_layout)) ||
        site->outs[0].rank < (dyno_cuda_is_last(asked->out_layout) ? 2 : 0))
        return dyno_cuda_refuse(site, err);
    set_layouts(site, asked->out_layout, tactic);
    if (!plan(site, tactic, &program, &tail))
        return dyno_cuda_refuse(site, err);
    tactic->flags = is_open(tactic) ? DYNO_TACTIC_BASELINE : 0;
    return DYNO_OK;
}

static enum dyno_status program_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   const char **source_out, struct dyno_strbuf *choices,
                                   struct dyno_err *err)
{
    struct dyno_tail program;
    struct dyno_cuda_tail tail;
    if (!plan(site, tactic, &program, &tail))
        return dyno_cuda_refuse(site, err);
    dyno_cuda_pass_text(site, tactic, &program, &tail, is_plain(site->step), is_open(tactic),
                        source_out, choices);
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state, uint64_t *workspace_bytes_out,
                                struct dyno_err *err)
{
    (void)packed;
    struct dyno_tail program;
    struct dyno_cuda_tail tail;
    *workspace_bytes_out = 0;
    if (!plan(site, tactic, &program, &tail))
        return dyno_cuda_refuse(site, err);
    const struct dyno_buf *x = is_plain(site->step) ? &site->ins[0] : NULL;
    return dyno_cuda_pass_prepare(site, tactic, x, &tail, is_open(tactic), state, err);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    return dyno_cuda_pass_run(args, args->state, args->ins[0].data);
}

const struct dyno_kernel dyno_kernel_cuda_pointwise = {
    .name = "pointwise_cuda",
    .packing = 1,
    .state_bytes = sizeof(struct dyno_cuda_pass),
    .strided = true,
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
    .program = program_of,
};
