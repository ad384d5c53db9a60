/* attention.c - Dyno's MultiHeadAttention, on tensor cores or in plain f32. */
#include <math.h>

#include "backend/cuda/tail.h"
#include "ops/mha.h"

extern const struct dyno_kernel dyno_kernel_cuda_attention;

#define DIM_MAX      128
#define SCALE_MAX    1e30F
#define SCORES_BYTES 163840
#define STAGES       2
#define NARROW       128 /* of a head of q and one of v: what registers hold for twice 16 queries */

/* Tiles of attention_mma.cu: `warps` that share queries, `times` 16 each; `split` warps that share
 * keys, `keys` each, `at_once` of them in registers; blocks of narrow heads that a multiprocessor
 * holds.  Appended, never changed: engines name them by number. */
static const struct tile {
    int warps, times, split, keys, at_once, resident;
} tiles[] = {
    {4, 1, 1, 64, 64, 3}, {4, 1, 1, 64, 32, 4}, {8, 1, 1, 64, 32, 2}, {4, 2, 1, 64, 32, 3},
    {6, 2, 1, 64, 32, 2}, {8, 2, 1, 64, 32, 1}, {4, 1, 2, 64, 32, 2}, {3, 1, 4, 32, 32, 1},
    {2, 1, 4, 32, 32, 2}, {2, 1, 2, 64, 64, 3}, {1, 1, 4, 32, 32, 4}, {1, 1, 8, 16, 16, 2},
};

struct attention_state {
    struct dyno_gpu_attention params;
    int64_t grid[3];
    uint32_t shared_bytes;
    int threads;
    bool has_mask;
};

static bool has_mask(const struct dyno_site *site)
{
    return site->step->own_in_count > 3 && site->ins[3].rank >= 0;
}

/* It may have another row for each query. */
static bool mask_has_rows(const struct dyno_site *site)
{
    const struct dyno_buf *mask = &site->ins[3];
    return has_mask(site) && mask->rank >= 2 &&
           (mask->dims[mask->rank - 2] != 1 || mask->open[mask->rank - 2] != 0);
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

/* Heads whose parts begin at 16 bytes, of sizes that tensor cores take; a scale that, times a score
 * of -inf, is -inf. */
static bool fits_tensor(const struct dyno_site *site)
{
    const struct dyno_mha_attrs *attrs = site->step->attrs;
    const int64_t v_dim = dyno_mha_v_head_dim(attrs);
    bool ok = fabsf(attrs->scale) > 0.0F && fabsf(attrs->scale) < SCALE_MAX &&
              attrs->head_dim % 16 == 0 && attrs->head_dim <= DIM_MAX && v_dim % 16 == 0 &&
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

/* --- tiles --- */

static int queries_of(const struct tile *tile)
{
    return tile->warps * tile->times * 16;
}

static int threads_of(const struct tile *tile)
{
    return tile->warps * tile->split * 32;
}

static int resident_of(const struct tile *tile, int dim, int v_dim)
{
    return dim + v_dim <= NARROW || tile->resident == 1 ? tile->resident : tile->resident / 2;
}

/* Tiles of keys and values that come in turn, then what the warps that share keys tell each other.
 */
static int64_t shared_of(const struct tile *tile, int dim, int v_dim, int64_t tk)
{
    const int64_t rows = (int64_t)tile->split * tile->keys;
    const int64_t there = dyno_cuda_div_up(tk, rows);
    const int64_t ring = (there < STAGES ? there : STAGES) * rows * (dim + 8 + v_dim + 8) * 2;
    const int64_t floats = (int64_t)tile->times * (v_dim / 2 + 4);
    const int64_t parts = tile->split > 1 ? tile->split * floats * tile->warps * 32 * 4 : 0;
    return ring > parts ? ring : parts;
}

static bool tile_fits(const struct dyno_site *site, const struct tile *tile)
{
    const struct dyno_mha_attrs *attrs = site->step->attrs;
    const int dim = (int)attrs->head_dim, v_dim = (int)dyno_mha_v_head_dim(attrs);
    return (tile->times == 1 || dim + v_dim <= NARROW) &&
           shared_of(tile, dim, v_dim, INT32_MAX) <= (int64_t)site->target->gpu.shared_bytes;
}

/* Half of it or more would be padding, and a smaller one does. */
static bool is_wasteful(const struct tile *tile, const struct dyno_gpu_attention *params)
{
    return (tile->warps > 1 && 2 * params->tq <= queries_of(tile)) ||
           (tile->split > 1 && 2 * params->tk <= tile->split * tile->keys);
}

/* Blocks come in waves; a warp alone waits for most of what it begins, several beside each other
 * fill that, until a multiprocessor issues or fetches all the time. */
static double estimate(const struct dyno_site *site, const struct tile *tile,
                       const struct dyno_gpu_attention *params)
{
    const int sms = site->target->gpu.sm_count > 0 ? site->target->gpu.sm_count : 100;
    const double queries = (double)dyno_cuda_div_up(params->tq, queries_of(tile));
    const double blocks = queries * params->heads * params->batch;
    const double keys = (double)tile->split * tile->keys;
    const double rounds = ceil(params->tk / keys);
    const double shared = (double)shared_of(tile, params->dim, params->v_dim, params->tk) + 1024.0;
    const double held = fmax(1.0, floor(226e3 / shared));
    const double resident = fmin(resident_of(tile, params->dim, params->v_dim), held);
    const double wide = (params->dim + params->v_dim) / 128.0;
    const double of_warp = tile->keys / 64.0 * (160.0 + tile->times * 130.0 * (1.0 + wide));
    const double busy = rounds * of_warp * threads_of(tile) / 128.0;
    const double bytes = rounds * keys * (params->dim + params->v_dim) * 2.0;
    const double alone =
        1500.0 + rounds * (of_warp * 1.5 + 300.0) + (tile->split > 1 ? 800.0 : 0.0);
    const double at_once = fmin(resident, ceil(blocks / sms));
    return 3.0 + ceil(blocks / (sms * resident)) * fmax(alone, at_once * fmax(busy, bytes / 24.0)) /
                     1700.0;
}

/* cfg[0]: number of the layout of q, k and v; cfg[1]: tile, on tensor cores. */
static const struct tile *tile_of(const struct dyno_tactic *tactic)
{
    return &tiles[tactic->cfg[1]];
}

static int enumerate_tiles(const struct dyno_site *site, const struct dyno_gpu_attention *params,
                           const struct dyno_tactic *like, struct dyno_tactic *out, int max)
{
    int count = 0;
    for (uint32_t i = 0; i < DYNO_COUNT(tiles) && count < max; i++) {
        if (!tile_fits(site, &tiles[i]) || is_wasteful(&tiles[i], params))
            continue;
        out[count] = *like;
        out[count].cfg[1] = i;
        out[count++].est_us = (float)estimate(site, &tiles[i], params);
    }
    return count;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    int count = 0;
    struct dyno_gpu_attention params;
    if (site->step->op != DYNO_OP_mha || site->ins[0].rank != 3 || site->ins[1].rank != 3 ||
        site->ins[2].rank != 3 || !sizes_of(site, &params))
        return 0;
    const double scores =
        (double)params.batch * params.heads * (double)params.tq * (double)params.tk;
    const double flops = 2.0 * scores * (params.dim + params.v_dim);
    for (int i = 0; i < dyno_cuda_layout_count * dyno_cuda_layout_count && count < max; i++) {
        const struct dyno_layout in = dyno_cuda_layouts[i / dyno_cuda_layout_count];
        const struct dyno_layout to = dyno_cuda_layouts[i % dyno_cuda_layout_count];
        if (dyno_cuda_is_last(in) || !dyno_cuda_layout_allowed(in, site->target) ||
            dyno_cuda_is_last(to) || !dyno_cuda_layout_allowed(to, site->target) ||
            (in.elem != 0 && to.elem != 0 && in.elem != to.elem))
            continue;
        const struct dyno_tactic tactic = {.cfg = {(uint32_t)(i / dyno_cuda_layout_count)},
                                           .out_layout = to,
                                           .est_us = (float)(4.0 + flops / 4e6)};
        if (on_tensor_cores(site, &tactic))
            count += enumerate_tiles(site, &params, &tactic, out + count, max - count);
        else
            out[count++] = tactic;
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    const struct dyno_step *step = site->step;
    struct dyno_gpu_attention params;
    if (step->op != DYNO_OP_mha || step->tail.instr_count != 0 || step->own_in_count < 3 ||
        !dyno_cuda_rest_is_zero(asked, 2) || asked->cfg[0] >= (uint32_t)dyno_cuda_layout_count ||
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
    const bool tensor = on_tensor_cores(site, asked);
    if (!sizes_of(site, &params) || (!tensor && asked->cfg[1] != 0) ||
        (tensor && (asked->cfg[1] >= DYNO_COUNT(tiles) || !tile_fits(site, tile_of(asked)))))
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
    const int dim = (int)attrs->head_dim, v_dim = (int)dyno_mha_v_head_dim(attrs);
    const struct tile *tile = tile_of(tactic);
    dyno_strbuf_printf(choices,
                       "#define DIM %d\n#define V_DIM %d\n#define WARPS %d\n#define MI %d\n"
                       "#define SPLIT %d\n#define KEYS %d\n#define AT_ONCE %d\n"
                       "#define STAGES %d\n#define RESIDENT %d\n#define MASK_ROWS %d\n",
                       dim, v_dim, tile->warps, tile->times, tile->split, tile->keys, tile->at_once,
                       STAGES, resident_of(tile, dim, v_dim), mask_has_rows(site));
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
    state->grid[0] = params->tq;
    state->grid[1] = params->heads;
    state->grid[2] = params->batch;
    state->threads = 128;
    if (on_tensor_cores(site, tactic)) {
        const struct tile *tile = tile_of(tactic);
        state->grid[0] = dyno_cuda_div_up(params->tq, queries_of(tile));
        state->threads = threads_of(tile);
        state->shared_bytes = (uint32_t)shared_of(tile, params->dim, params->v_dim, params->tk);
        return DYNO_OK;
    }
    if (((int64_t)params->tk + params->dim) * 4 > (int64_t)SCORES_BYTES)
        return DYNO_FAIL(err, DYNO_E_LIMIT, "attention over %d keys in f32 is too long for the GPU",
                         params->tk);
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
    return dyno_cuda_launch(args, state->grid, state->threads, state->shared_bytes, &params,
                            sizeof(params));
}

const struct dyno_kernel dyno_kernel_cuda_attention = {
    .name = "attention_cuda",
    .packing = 2,
    .state_bytes = sizeof(struct attention_state),
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
    .program = program_of,
};
