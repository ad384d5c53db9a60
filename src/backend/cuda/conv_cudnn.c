/* conv_cudnn.c - Conv by a plan of cuDNN's: channels last with the tails that its compiled engines
 * take; and plain f32 rows, as a framework does it that does not measure.
 *
 * A plan is for one shape: at another one of the profile its text gets other sizes, and where cuDNN
 * refuses that its own first choice stands in.
 *
 * Packed: what the plan is for, its text, a bias for each output as stored, the weights
 * [m][kh][kw][c / groups], each at a multiple of 256 bytes.  Rows: bias and weights as they come.
 *
 * cfg: number of the layout (and 256: in TF32), bytes of the text, hash of engine and knobs, number
 * of the engine, is it a Winograd one, version of cuDNN.
 */
#include <string.h>

#include "backend/cpu/conv.h"
#include "backend/cuda/cudnn_conv.h"
#include "backend/cuda/kernel.h"
#include "base/dtype.h"

extern const struct dyno_kernel dyno_kernel_cuda_conv_cudnn;

#define ALIGN         256
#define BYTES_MAX     (INT64_C(1) << 40)
#define WORKSPACE_MAX (UINT64_C(256) << 20) /* where a build says nothing */
#define LAYOUT_ROW    0                     /* dyno_cuda_layouts */

#define LAYOUT_TF32 256U

enum { CFG_LAYOUT, CFG_TEXT, CFG_KNOBS, CFG_ENGINE, CFG_WINOGRAD };

/* A step as what cuDNN is asked, and where its packed form has what. */
struct plan {
    struct dyno_cudnn_conv conv;
    uint32_t z;     /* input that is added; 0: none */
    bool adds_bias; /* rows: after the plan */
    int64_t c, m;   /* channels without padding */
    uint64_t text_at, bias_at, weights_at, packed_bytes;
};

struct state {
    struct dyno_cudnn_session *session;
    struct dyno_cudnn_plan plan;
    struct plan what;
};

static uint64_t aligned(uint64_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* Of a group, as stored. */
static int64_t channels_of(const struct dyno_cudnn_conv *conv)
{
    DYNO_ASSERT(conv->groups > 0);
    return conv->c / conv->groups;
}

/* --- the step --- */

/* Input z of "r0 + z"; 0: it is not that. */
static uint32_t added_input(const struct dyno_site *site, const struct dyno_tail_instr *instr)
{
    const struct dyno_operand *a = &instr->operands[0];
    const struct dyno_operand *b = &instr->operands[1];
    if (a->kind != DYNO_OPERAND_REG) {
        const struct dyno_operand *other = a;
        a = b;
        b = other;
    }
    const bool fits = instr->op == DYNO_PW_add && a->kind == DYNO_OPERAND_REG && a->idx == 0 &&
                      b->kind == DYNO_OPERAND_INPUT && b->idx >= site->step->own_in_count &&
                      b->idx < site->step->in_count && b->idx < DYNO_STEP_INS_MAX;
    return fits ? b->idx : 0;
}

/* Another tensor of the output's shape that a step or the caller makes. */
static bool is_beside_output(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             uint32_t i)
{
    const struct dyno_buf *z = &site->ins[i];
    const struct dyno_buf *out = &site->outs[0];
    return dyno_cuda_is_f32(z) && dyno_cuda_readable(site, i) && !site->in_is_weight[i] &&
           z->rank == out->rank &&
           memcmp(z->dims, out->dims, (size_t)out->rank * sizeof(z->dims[0])) == 0 &&
           dyno_layout_same(tactic->in_layouts[i], tactic->out_layout);
}

/* [+ z] [relu], in this order. */
static bool take_tail(const struct dyno_site *site, const struct dyno_tactic *tactic,
                      struct plan *plan)
{
    const struct dyno_tail *tail = &site->step->tail;
    uint32_t at = 0;
    if (at < tail->instr_count && tail->instrs[at].op == DYNO_PW_add) {
        plan->z = added_input(site, &tail->instrs[at++]);
        if (plan->z == 0 || !is_beside_output(site, tactic, plan->z))
            return false;
    }
    if (at < tail->instr_count && tail->instrs[at].op == DYNO_PW_relu &&
        tail->instrs[at].operands[0].kind == DYNO_OPERAND_REG &&
        tail->instrs[at].operands[0].idx == at) {
        plan->conv.has_relu = 1;
        at++;
    }
    plan->conv.has_z = plan->z != 0;
    return at == tail->instr_count &&
           site->step->in_count - site->step->own_in_count == (plan->z != 0 ? 1U : 0U);
}

static bool is_constant(const struct dyno_site *site, uint32_t i)
{
    return site->ins[i].rank >= 0 && site->in_is_weight[i] && site->ins[i].dtype == DYNO_F32;
}

static bool has_bias(const struct dyno_site *site)
{
    return site->step->own_in_count > 2 && site->ins[2].rank >= 0;
}

static enum dyno_status take_sizes(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   struct plan *plan, struct dyno_err *err)
{
    const struct dyno_layout layout = tactic->out_layout;
    struct dyno_cpu_conv conv = {.batch = 0};
    DYNO_TRY(dyno_cpu_conv_resolve(site, &conv, err));
    const bool is_grouped = conv.groups != 1;
    plan->conv.tf32 = (tactic->cfg[CFG_LAYOUT] & LAYOUT_TF32) != 0;
    plan->c = conv.c;
    plan->m = conv.m;
    struct dyno_cudnn_conv *to = &plan->conv;
    to->elem = dyno_layout_elem(layout, DYNO_F32);
    to->last = dyno_cuda_is_last(layout);
    to->eager = to->last == 0;
    to->batch = conv.batch, to->groups = conv.groups;
    to->c = dyno_cuda_stored(conv.c, layout), to->m = dyno_cuda_stored(conv.m, layout);
    to->h = conv.h, to->w = conv.w, to->oh = conv.oh, to->ow = conv.ow;
    to->kh = conv.kh, to->kw = conv.kw, to->sh = conv.sh, to->sw = conv.sw;
    to->dh = conv.dh, to->dw = conv.dw, to->ph = conv.ph, to->pw = conv.pw;
    to->ph_end = conv.ph_end, to->pw_end = conv.pw_end;
    if (conv.batch < 1 || conv.c < 1 || conv.m < 1 || conv.h < 1 || conv.w < 1 || conv.oh < 1 ||
        conv.ow < 1 || conv.taps < 1 ||
        /* Groups with padding between them are no groups; those of one channel are another's. */
        (is_grouped && to->last != 0 && (to->c != conv.c || to->m != conv.m || conv.cg == 1)))
        return dyno_cuda_refuse(site, err);
    if (to->m > BYTES_MAX / 4 / conv.taps / (to->c + 1))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "weights of %lld x %lld x %lld are too large",
                         (long long)to->m, (long long)conv.taps, (long long)to->c);
    return DYNO_OK;
}

static enum dyno_status plan_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                struct plan *plan_out, struct dyno_err *err)
{
    struct plan plan = {.z = 0};
    const struct dyno_layout layout = tactic->out_layout;
    const uint32_t room = tactic->cfg[CFG_TEXT];
    if (site->step->op != DYNO_OP_conv || !dyno_cuda_is_f32(&site->ins[0]) ||
        !dyno_cuda_readable(site, 0) || site->in_is_weight[0] ||
        !dyno_cuda_is_f32(&site->outs[0]) || site->step->own_in_count < 2 ||
        !is_constant(site, 1) || (has_bias(site) && !is_constant(site, 2)) ||
        !take_tail(site, tactic, &plan))
        return dyno_cuda_refuse(site, err);
    DYNO_TRY(take_sizes(site, tactic, &plan, err));
    if (plan.conv.last != 0) /* engines that take z or RELU take a bias, too */
        plan.conv.has_bias = has_bias(site) || plan.z != 0 || plan.conv.has_relu != 0;
    else if (plan.z != 0 || plan.conv.has_relu != 0)
        return dyno_cuda_refuse(site, err);
    plan.adds_bias = plan.conv.last == 0 && has_bias(site);
    const uint64_t elem_bytes = layout.elem != 0 ? 2 : 4;
    const uint64_t biases = plan.conv.has_bias != 0 || plan.adds_bias ? (uint64_t)plan.conv.m : 0;
    plan.text_at = aligned(sizeof(plan.conv));
    plan.bias_at = plan.text_at + room;
    plan.weights_at = plan.bias_at + aligned(biases * elem_bytes);
    plan.packed_bytes = plan.weights_at + (uint64_t)(plan.conv.m * plan.conv.kh * plan.conv.kw *
                                                     channels_of(&plan.conv)) *
                                              elem_bytes;
    *plan_out = plan;
    return DYNO_OK;
}

/* --- choices --- */

/* cuDNN's session and what it has for the step; E_TARGET where there is none. */
static enum dyno_status choices_of(const struct dyno_site *site, const struct plan *plan,
                                   struct dyno_cudnn_session **session_out,
                                   const struct dyno_cudnn_choice **choices_out, int *count_out,
                                   struct dyno_err *err)
{
    void *session = NULL;
    DYNO_TRY(dyno_cuda_libraries_get(site->target->libraries, DYNO_LIBRARY_cudnn, &session, err));
    *session_out = session;
    return dyno_cudnn_conv_choices(session, &plan->conv, choices_out, count_out, err);
}

/* The one that a tactic names. */
static enum dyno_status choice_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                  const struct plan *plan, struct dyno_cudnn_session **session_out,
                                  const struct dyno_cudnn_choice **choice_out, struct dyno_err *err)
{
    const struct dyno_cudnn_choice *choices = NULL;
    int count = 0;
    DYNO_TRY(choices_of(site, plan, session_out, &choices, &count, err));
    for (int i = 0; i < count; i++) {
        if (choices[i].knobs == tactic->cfg[CFG_KNOBS] &&
            choices[i].json_bytes <= tactic->cfg[CFG_TEXT]) {
            *choice_out = &choices[i];
            return DYNO_OK;
        }
    }
    return DYNO_FAIL(err, DYNO_E_TARGET, "cuDNN has no engine %u with these knobs any more",
                     tactic->cfg[CFG_ENGINE]);
}

static double estimate(const struct dyno_site *site, const struct plan *plan)
{
    const struct dyno_cudnn_conv *conv = &plan->conv;
    const double elem_bytes = conv->elem == DYNO_F32 ? 4.0 : 2.0;
    const int sms = site->target->gpu.sm_count > 0 ? site->target->gpu.sm_count : 100;
    const double outputs = (double)(conv->batch * conv->oh * conv->ow * conv->m);
    const double depth = (double)(conv->kh * conv->kw * channels_of(conv));
    const double weights = (double)conv->m * depth;
    const double bytes = elem_bytes * (weights + outputs * (1.0 + (double)conv->has_z) +
                                       (double)(conv->batch * conv->c * conv->h * conv->w));
    const double ops = 2.0 * depth * outputs;
    /* Operations of a multiprocessor in a microsecond, at half of what it can. */
    const double rate = conv->elem != DYNO_F32 ? 2.0e6 : (conv->tf32 != 0 ? 1.0e6 : 0.2e6);
    /* Who does not measure takes it before our own (conv_rows.c) in any case. */
    if (conv->eager != 0)
        return 0.5 * dyno_cuda_move_us(site->target, 0.0) + ops / rate / sms;
    return dyno_cuda_move_us(site->target, bytes) + ops / rate / sms;
}

/* way: cfg[CFG_LAYOUT] */
static int enumerate_way(const struct dyno_site *site, uint32_t way, struct dyno_tactic *out,
                         int max)
{
    const struct dyno_layout layout = dyno_cuda_layouts[way & ~LAYOUT_TF32];
    const uint64_t asked = site->target->workspace_bytes_max;
    const uint64_t most =
        asked != UINT64_MAX || layout.kind == DYNO_LAYOUT_ROW ? asked : WORKSPACE_MAX;
    struct dyno_tactic like = {.cfg = {way}, .out_layout = layout};
    struct plan plan = {.z = 0};
    struct dyno_cudnn_session *session = NULL;
    const struct dyno_cudnn_choice *choices = NULL;
    int choice_count = 0;
    int count = 0;
    for (uint32_t i = site->step->own_in_count; i < site->step->in_count && i < DYNO_STEP_INS_MAX;
         i++)
        like.in_layouts[i] = layout;
    if (plan_of(site, &like, &plan, NULL) != DYNO_OK ||
        choices_of(site, &plan, &session, &choices, &choice_count, NULL) != DYNO_OK)
        return 0;
    for (int i = 0; i < choice_count && count < max; i++) {
        if (choices[i].workspace_bytes > most)
            continue;
        out[count] = like;
        out[count].cfg[CFG_TEXT] = (uint32_t)aligned(choices[i].json_bytes);
        out[count].cfg[CFG_KNOBS] = choices[i].knobs;
        out[count].cfg[CFG_ENGINE] = choices[i].engine;
        out[count].cfg[CFG_WINOGRAD] = choices[i].is_winograd;
        out[count].cfg[DYNO_CFG_LIBRARY] = session->version;
        /* In cuDNN's order. */
        out[count++].est_us = (float)(estimate(site, &plan) * (1.0 + 0.02 * i));
    }
    return count;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    int count = 0;
    if (site->target->libraries == NULL || site->step->op != DYNO_OP_conv)
        return 0;
    for (uint32_t i = 0; i < (uint32_t)dyno_cuda_layout_count; i++) {
        const struct dyno_layout layout = dyno_cuda_layouts[i];
        /* Rows are for who asks for nothing better. */
        const bool fits = dyno_cuda_is_last(layout) || (i == LAYOUT_ROW && site->target->baseline);
        if (!fits || !dyno_cuda_layout_allowed(layout, site->target))
            continue;
        count += enumerate_way(site, i, out + count, max - count);
        if (dyno_cuda_is_last(layout) && layout.elem == 0 &&
            (site->target->precisions & DYNO_PRECISION_TF32) != 0)
            count += enumerate_way(site, i | LAYOUT_TF32, out + count, max - count);
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    const bool tf32 = (asked->cfg[CFG_LAYOUT] & LAYOUT_TF32) != 0;
    const uint32_t idx = asked->cfg[CFG_LAYOUT] & ~LAYOUT_TF32;
    const uint32_t room = asked->cfg[CFG_TEXT];
    struct plan plan = {.z = 0};
    if (idx >= (uint32_t)dyno_cuda_layout_count ||
        (idx != LAYOUT_ROW && !dyno_cuda_is_last(dyno_cuda_layouts[idx])) ||
        !dyno_layout_same(asked->out_layout, dyno_cuda_layouts[idx]) || room == 0 ||
        (tf32 && (idx == LAYOUT_ROW || dyno_cuda_layouts[idx].elem != 0)) || room % ALIGN != 0 ||
        room > DYNO_CUDNN_JSON_BYTES_MAX || asked->cfg[CFG_WINOGRAD] > 1)
        return dyno_cuda_refuse(site, err);
    tactic->in_layouts[0] = dyno_cuda_layouts[idx];
    DYNO_TRY(plan_of(site, tactic, &plan, err));
    tactic->packed_bytes = plan.packed_bytes;
    tactic->flags = (idx == LAYOUT_ROW ? DYNO_TACTIC_BASELINE : 0U) |
                    (tf32 ? DYNO_TACTIC_TF32 : 0U) |
                    (asked->cfg[CFG_WINOGRAD] != 0 ? DYNO_TACTIC_WINOGRAD : 0U);
    return DYNO_OK;
}

/* --- packing --- */

static void pack_weights(const struct dyno_site *site, const struct plan *plan, char *to)
{
    const struct dyno_cudnn_conv *conv = &plan->conv;
    const float *from = site->ins[1].data;
    const int64_t taps = conv->kh * conv->kw;
    const int64_t stored = channels_of(conv);
    const int64_t cg = conv->groups == 1 ? plan->c : stored; /* groups are without padding */
    if (conv->last == 0) {
        memcpy(to, from, (size_t)(plan->m * cg * taps) * sizeof(float));
        return;
    }
    for (int64_t m = 0; m < plan->m; m++) {
        for (int64_t tap = 0; tap < taps; tap++) {
            for (int64_t c = 0; c < cg; c++)
                dyno_elem_store_f64((enum dyno_dtype)conv->elem, to,
                                    (size_t)((m * taps + tap) * stored + c),
                                    (double)from[(m * cg + c) * taps + tap]);
        }
    }
}

static enum dyno_status pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             void *dst, struct dyno_err *err)
{
    struct dyno_cudnn_session *session = NULL;
    const struct dyno_cudnn_choice *choice = NULL;
    struct plan plan = {.z = 0};
    char *to = dst;
    DYNO_TRY(plan_of(site, tactic, &plan, err));
    DYNO_TRY(choice_of(site, tactic, &plan, &session, &choice, err));
    memset(to, 0, plan.packed_bytes);
    memcpy(to, &plan.conv, sizeof(plan.conv));
    memcpy(to + plan.text_at, choice->json, choice->json_bytes);
    for (int64_t m = 0; has_bias(site) && m < plan.m; m++)
        dyno_elem_store_f64((enum dyno_dtype)plan.conv.elem, to + plan.bias_at, (size_t)m,
                            (double)((const float *)site->ins[2].data)[m]);
    pack_weights(site, &plan, to + plan.weights_at);
    return DYNO_OK;
}

/* --- one bound shape, one run --- */

enum use { FOR_ANOTHER_STEP, FOR_OTHER_SIZES, FOR_OTHER_PADS, FOR_THIS };

/* What a packed form is for.  Pads hang on sizes where the model says SAME. */
static enum use use_of(const char *packed, const struct dyno_cudnn_conv *conv)
{
    struct dyno_cudnn_conv was;
    memcpy(&was, packed, sizeof(was));
    if (memcmp(&was, conv, sizeof(was)) == 0)
        return FOR_THIS;
    was.batch = conv->batch;
    was.h = conv->h, was.w = conv->w, was.oh = conv->oh, was.ow = conv->ow;
    if (memcmp(&was, conv, sizeof(was)) == 0)
        return FOR_OTHER_SIZES;
    was.ph = conv->ph, was.pw = conv->pw, was.ph_end = conv->ph_end, was.pw_end = conv->pw_end;
    return memcmp(&was, conv, sizeof(was)) == 0 ? FOR_OTHER_PADS : FOR_ANOTHER_STEP;
}

/* The first plan of cuDNN's own choice at these sizes. */
static enum dyno_status first_plan(struct state *state, struct dyno_err *err)
{
    const struct dyno_cudnn_conv *conv = &state->what.conv;
    const struct dyno_cudnn_choice *choices = NULL;
    int count = 0;
    DYNO_TRY(dyno_cudnn_conv_choices(state->session, conv, &choices, &count, err));
    if (count == 0)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "cuDNN has no engine for these sizes");
    return dyno_cudnn_plan_make(state->session, conv, choices[0].json, choices[0].json_bytes,
                                &state->plan, err);
}

/* The plan whose text lies in packed form.  At other sizes than it was made for cuDNN may refuse
 * it; and who does not measure has another first choice there. */
static enum dyno_status packed_plan(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                    const char *packed, struct state *state, struct dyno_err *err)
{
    const struct dyno_cudnn_conv *conv = &state->what.conv;
    const char *text = packed + state->what.text_at;
    const size_t bytes = strnlen(text, tactic->cfg[CFG_TEXT]);
    void *session = NULL;
    const enum use use = use_of(packed, conv);
    if (use == FOR_ANOTHER_STEP)
        return DYNO_FAIL(err, DYNO_E_UNSUPPORTED, "its plan for cuDNN is for another step");
    DYNO_TRY(dyno_cuda_libraries_get(site->target->libraries, DYNO_LIBRARY_cudnn, &session, err));
    state->session = session;
    if (use == FOR_OTHER_PADS || (use == FOR_OTHER_SIZES && conv->eager != 0))
        return first_plan(state, err);
    struct dyno_err why = {0};
    const enum dyno_status status =
        dyno_cudnn_plan_make(state->session, conv, text, bytes, &state->plan, &why);
    if (status == DYNO_E_IO && use == FOR_OTHER_SIZES)
        return first_plan(state, err);
    return status == DYNO_OK ? status : DYNO_FAIL(err, status, "%s", why.text);
}

/* The plan while a build times its candidates: its text is not packed yet. */
static enum dyno_status chosen_plan(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                    struct state *state, struct dyno_err *err)
{
    const struct dyno_cudnn_choice *choice = NULL;
    DYNO_TRY(choice_of(site, tactic, &state->what, &state->session, &choice, err));
    return dyno_cudnn_plan_make(state->session, &state->what.conv, choice->json, choice->json_bytes,
                                &state->plan, err);
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    struct state *state = state_bytes;
    *state = (struct state){.session = NULL};
    *workspace_bytes_out = 0;
    if (site->target->libraries == NULL)
        return DYNO_FAIL(err, DYNO_E_TARGET, "it runs by cuDNN, which nobody opened");
    DYNO_TRY(plan_of(site, tactic, &state->what, err));
    if (packed != NULL)
        DYNO_TRY(packed_plan(site, tactic, packed, state, err));
    else
        DYNO_TRY(chosen_plan(site, tactic, state, err));
    if (state->plan.workspace_bytes > (uint64_t)BYTES_MAX) {
        dyno_cudnn_plan_drop(state->session, &state->plan);
        return DYNO_FAIL(err, DYNO_E_LIMIT, "cuDNN wants %llu bytes of workspace",
                         (unsigned long long)state->plan.workspace_bytes);
    }
    if (state->plan.workspace_bytes != 0) /* it lies at a multiple of 64 */
        *workspace_bytes_out = state->plan.workspace_bytes + ALIGN;
    return DYNO_OK;
}

static void release(void *state_bytes)
{
    struct state *state = state_bytes;
    dyno_cudnn_plan_drop(state->session, &state->plan);
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct state *state = args->state;
    const struct plan *plan = &state->what;
    char *packed = (char *)(uintptr_t)args->packed;
    void *workspace = NULL;
    if (state->plan.workspace_bytes != 0)
        workspace = (void *)(uintptr_t)aligned((uintptr_t)args->workspace);
    void *const data[DYNO_CUDNN_ID_END] = {
        [DYNO_CUDNN_X] = args->ins[0].data,
        [DYNO_CUDNN_W] = packed + plan->weights_at,
        [DYNO_CUDNN_Y] = args->outs[0].data,
        [DYNO_CUDNN_Z] = plan->z != 0 ? args->ins[plan->z].data : NULL,
        [DYNO_CUDNN_BIAS] = plan->conv.has_bias != 0 ? packed + plan->bias_at : NULL,
    };
    DYNO_TRY(dyno_cudnn_plan_run(state->session, &state->plan, args->gpu->stream, data, workspace,
                                 args->err));
    if (!plan->adds_bias)
        return DYNO_OK;
    return dyno_cudnn_add_bias(state->session, &plan->conv, args->gpu->stream,
                               packed + plan->bias_at, data[DYNO_CUDNN_Y], args->err);
}

const struct dyno_kernel dyno_kernel_cuda_conv_cudnn = {
    .name = "conv_cudnn_cuda",
    .packing = 2,
    .packed_ins = 1U << 1,
    .state_bytes = sizeof(struct state),
    .place = DYNO_ON_GPU,
    .library = DYNO_LIBRARY_cudnn,
    .enumerate = enumerate,
    .settle = settle,
    .pack = pack,
    .prepare = prepare,
    .release = release,
    .run = run,
};
