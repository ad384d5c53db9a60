/* attention.c - Dyno's MultiHeadAttention, on tensor cores or in plain f32. */
#include "backend/cuda/tail.h"
#include "ops/mha.h"

extern const struct dyno_kernel dyno_kernel_cuda_attention;

#define QUERIES      64 /* of attention_mma.cu */
#define KEYS         64
#define DIM_MAX      128
#define SCORES_BYTES 163840

struct attention_state {
    struct dyno_gpu_attention params;
    int64_t grid[3];
    uint32_t shared_bytes;
    bool has_mask;
};

static bool has_mask(const struct dyno_site *site)
{
    return site->step->own_in_count > 3 && site->ins[3].rank >= 0;
}

static bool mask_strides(const struct dyno_buf *mask, const int64_t *full, int *strides)
{
    int64_t stride = 1;
    if (mask->rank > 4)
        return false;
    for (int i = 3; i >= 0; i--) {
        const int axis = i - (4 - mask->rank);
        const int64_t dim = axis >= 0 ? mask->dims[axis] : 1;
        if ((dim != 1 && dim != full[i]) || stride > INT32_MAX)
            return false;
        strides[i] = dim == 1 ? 0 : (int)stride;
        stride *= dim;
    }
    return true;
}

/* Heads whose parts begin at 16 bytes, of sizes that tensor cores take. */
static bool fits_tensor(const struct dyno_site *site)
{
    const struct dyno_mha_attrs *attrs = site->step->attrs;
    const int64_t v_dim = dyno_mha_v_head_dim(attrs);
    bool ok = attrs->head_dim % 16 == 0 && attrs->head_dim <= DIM_MAX && v_dim % 16 == 0 &&
              v_dim <= DIM_MAX && attrs->q_offset % 8 == 0 && attrs->k_offset % 8 == 0 &&
              attrs->v_offset % 8 == 0;
    for (int i = 0; i < 3; i++)
        ok = ok && site->ins[i].open[2] == 0 && site->ins[i].dims[2] % 8 == 0;
    return ok;
}

static bool sizes_of(const struct dyno_site *site, struct dyno_gpu_attention *params)
{
    const struct dyno_mha_attrs *attrs = site->step->attrs;
    const struct dyno_buf *q = &site->ins[0];
    const struct dyno_buf *k = &site->ins[1];
    const struct dyno_buf *v = &site->ins[2];
    const int64_t v_dim = dyno_mha_v_head_dim(attrs);
    const int64_t sizes[] = {q->dims[0],      q->dims[1],      k->dims[1],      attrs->heads,
                             attrs->head_dim, v_dim,           q->dims[2],      k->dims[2],
                             v->dims[2],      attrs->q_offset, attrs->k_offset, attrs->v_offset};
    for (size_t i = 0; i < DYNO_COUNT(sizes); i++) {
        if (sizes[i] < 0 || sizes[i] > INT32_MAX / 16)
            return false;
    }
    if (attrs->q_offset + attrs->heads * attrs->head_dim > q->dims[2] ||
        attrs->k_offset + attrs->heads * attrs->head_dim > k->dims[2] ||
        attrs->v_offset + attrs->heads * v_dim > v->dims[2])
        return false;
    *params = (struct dyno_gpu_attention){
        .batch = (int)q->dims[0],
        .heads = (int)attrs->heads,
        .dim = (int)attrs->head_dim,
        .v_dim = (int)v_dim,
        .tq = (int)q->dims[1],
        .tk = (int)k->dims[1],
        .q_ld = (int)q->dims[2],
        .k_ld = (int)k->dims[2],
        .v_ld = (int)v->dims[2],
        .out_ld = (int)(attrs->heads * v_dim),
        .q_offset = (int)attrs->q_offset,
        .k_offset = (int)attrs->k_offset,
        .v_offset = (int)attrs->v_offset,
        .scale = attrs->scale,
    };
    const int64_t full[4] = {q->dims[0], attrs->heads, q->dims[1], k->dims[1]};
    return !has_mask(site) || mask_strides(&site->ins[3], full, params->mask_strides);
}

/* On tensor cores in 16 bits; all else is attention_ffma.cu, which reads and writes any type. */
static bool on_tensor_cores(const struct dyno_site *site, const struct dyno_tactic *tactic)
{
    const struct dyno_layout in = dyno_cuda_layouts[tactic->cfg[0]];
    return in.elem != 0 && in.elem == tactic->out_layout.elem && fits_tensor(site);
}

/* cfg[0]: number of the layout of q, k and v. */
static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    int count = 0;
    if (site->step->op != DYNO_OP_mha)
        return 0;
    const struct dyno_mha_attrs *attrs = site->step->attrs;
    const double scores = (double)site->ins[0].dims[0] * (double)attrs->heads *
                          (double)site->ins[0].dims[1] * (double)site->ins[1].dims[1];
    const double flops = 2.0 * scores * (double)(attrs->head_dim + dyno_mha_v_head_dim(attrs));
    for (int i = 0; i < dyno_cuda_layout_count * dyno_cuda_layout_count && count < max; i++) {
        const struct dyno_layout in = dyno_cuda_layouts[i / dyno_cuda_layout_count];
        const struct dyno_layout to = dyno_cuda_layouts[i % dyno_cuda_layout_count];
        if (dyno_cuda_is_last(in) || !dyno_cuda_layout_allowed(in, site->target) ||
            dyno_cuda_is_last(to) || !dyno_cuda_layout_allowed(to, site->target) ||
            (in.elem != 0 && to.elem != 0 && in.elem != to.elem))
            continue;
        out[count] =
            (struct dyno_tactic){.cfg = {(uint32_t)(i / dyno_cuda_layout_count)}, .out_layout = to};
        const bool tensor = site->ins[0].rank == 3 && on_tensor_cores(site, &out[count]);
        out[count++].est_us = (float)(4.0 + flops / (tensor ? 2e8 : 4e6));
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    const struct dyno_step *step = site->step;
    struct dyno_gpu_attention params;
    if (step->op != DYNO_OP_mha || step->tail.instr_count != 0 || step->own_in_count < 3 ||
        !dyno_cuda_rest_is_zero(asked, 1) || asked->cfg[0] >= (uint32_t)dyno_cuda_layout_count ||
        dyno_cuda_is_last(dyno_cuda_layouts[asked->cfg[0]]) ||
        dyno_cuda_is_last(asked->out_layout) || !dyno_cuda_layout_known(asked->out_layout) ||
        !dyno_cuda_is_f32(&site->outs[0]))
        return dyno_cuda_refuse(site, err);
    for (uint32_t i = 0; i < (has_mask(site) ? 4U : 3U); i++) {
        if (!dyno_cuda_is_f32(&site->ins[i]) || !dyno_cuda_readable(site, i) ||
            (i < 3 && (site->ins[i].rank != 3 || site->in_is_weight[i])))
            return dyno_cuda_refuse(site, err);
        tactic->in_layouts[i] = i < 3 ? dyno_cuda_layouts[asked->cfg[0]] : DYNO_ROW;
    }
    if (!sizes_of(site, &params))
        return dyno_cuda_refuse(site, err);
    tactic->flags =
        asked->out_layout.elem == 0 && tactic->in_layouts[0].elem == 0 ? DYNO_TACTIC_BASELINE : 0;
    return DYNO_OK;
}

static enum dyno_status program_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   const char **source_out, struct dyno_strbuf *choices,
                                   struct dyno_err *err)
{
    const struct dyno_mha_attrs *attrs = site->step->attrs;
    (void)err;
    dyno_strbuf_printf(choices, "#define T %s\n#define TO %s\n#define MASK %d\n#define TM float\n",
                       dyno_cuda_type(tactic->in_layouts[0]), dyno_cuda_type(tactic->out_layout),
                       has_mask(site));
    if (!on_tensor_cores(site, tactic)) {
        *source_out = "attention_ffma.cu";
        return DYNO_OK;
    }
    *source_out = "attention_mma.cu";
    dyno_strbuf_printf(choices, "#define DIM %lld\n#define V_DIM %lld\n",
                       (long long)attrs->head_dim, (long long)dyno_mha_v_head_dim(attrs));
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)packed;
    struct attention_state *state = state_bytes;
    *state = (struct attention_state){.has_mask = has_mask(site)};
    *workspace_bytes_out = 0;
    if (!sizes_of(site, &state->params))
        return dyno_cuda_refuse(site, err);
    const struct dyno_gpu_attention *params = &state->params;
    const bool tensor = on_tensor_cores(site, tactic);
    state->grid[0] = tensor ? dyno_cuda_div_up(params->tq, QUERIES) : params->tq;
    state->grid[1] = params->heads;
    state->grid[2] = params->batch;
    if (tensor)
        state->shared_bytes = 2U * ((QUERIES + KEYS) * (uint32_t)(params->dim + 8) +
                                    KEYS * (uint32_t)(params->v_dim + 8));
    else if (((int64_t)params->tk + params->dim) * 4 > (int64_t)SCORES_BYTES)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "attention over %d keys in f32 is too long for the GPU",
                         params->tk);
    else
        state->shared_bytes = (uint32_t)((params->tk + params->dim) * 4);
    return DYNO_OK;
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct attention_state *state = args->state;
    struct dyno_gpu_attention params = state->params;
    params.q = dyno_cuda_address(args->ins[0].data);
    params.k = dyno_cuda_address(args->ins[1].data);
    params.v = dyno_cuda_address(args->ins[2].data);
    params.mask = state->has_mask ? dyno_cuda_address(args->ins[3].data) : 0;
    params.out = dyno_cuda_address(args->outs[0].data);
    return dyno_cuda_launch(args, state->grid, 128, state->shared_bytes, &params, sizeof(params));
}

const struct dyno_kernel dyno_kernel_cuda_attention = {
    .name = "attention_cuda",
    .packing = 1,
    .state_bytes = sizeof(struct attention_state),
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
    .program = program_of,
};
