/* matmul_pair.c - MatMul of two matrices as they lie in memory, rows of any length, in plain f32
 * arithmetic: of two tensors that are both made by the run, or of one and a constant that is not
 * packed.
 */
#include "backend/cuda/product.h"

extern const struct dyno_kernel dyno_kernel_cuda_matmul_pair;

#define TILES  4
#define K_STEP 16 /* BK of product_ffma.cu */

/* a [batch][m][k] x b [batch][k][n]; steps 0: the same one for every item. */
struct pair {
    int64_t batch, m, n, k, a_step, b_step;
};

struct pair_state {
    struct dyno_gpu_product params;
    struct dyno_cuda_tail tail;
    int64_t grid[3];
    int threads;
};

static bool pair_of(const struct dyno_site *site, struct pair *pair)
{
    const struct dyno_buf *a = &site->ins[0], *b = &site->ins[1], *out = &site->outs[0];
    bool a_shared = false, b_shared = false;
    *pair = (struct pair){.batch = 0};
    if (site->step->op != DYNO_OP_mat_mul || site->step->out_count != 1 || !dyno_cuda_is_f32(a) ||
        !dyno_cuda_is_f32(b) || !dyno_cuda_readable(site, 0) || !dyno_cuda_readable(site, 1) ||
        (site->in_is_weight[0] && site->in_is_weight[1]) || a->rank < 2 || b->rank < 2 ||
        out->rank < 2 || !dyno_cuda_batch_spreads(a, out, &a_shared) ||
        !dyno_cuda_batch_spreads(b, out, &b_shared))
        return false;
    *pair = (struct pair){.batch = dyno_cuda_count(out, 0, out->rank - 2),
                          .m = a->dims[a->rank - 2],
                          .k = a->dims[a->rank - 1],
                          .n = b->dims[b->rank - 1]};
    if (b_shared && !a_shared) { /* one tall matrix */
        pair->m *= pair->batch;
        pair->batch = 1;
    }
    pair->a_step = a_shared ? 0 : pair->m * pair->k;
    pair->b_step = b_shared ? 0 : pair->k * pair->n;
    return pair->k > 0 && pair->n > 0;
}

/* A constant is f32, whatever the other one is stored as. */
static struct dyno_layout layout_of(const struct dyno_site *site, uint32_t i,
                                    struct dyno_layout layout)
{
    return site->in_is_weight[i] ? DYNO_ROW : layout;
}

/* Kernels that pack a constant B read rows of A 16 bytes at a time. */
static bool is_packed_elsewhere(const struct dyno_site *site, const struct pair *pair,
                                struct dyno_layout layout)
{
    return site->in_is_weight[1] && site->ins[1].rank == 2 &&
           pair->k % (layout.elem != 0 ? 8 : 4) == 0;
}

static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    const int sms = site->target->gpu.sm_count > 0 ? site->target->gpu.sm_count : 100;
    struct pair pair;
    int count = 0;
    for (int i = 0; i < dyno_cuda_layout_count; i++) {
        const struct dyno_layout layout = dyno_cuda_layouts[i];
        if (dyno_cuda_is_last(layout) || !dyno_cuda_layout_allowed(layout, site->target) ||
            !pair_of(site, &pair) || is_packed_elsewhere(site, &pair, layout))
            continue;
        for (uint32_t tile = 0; tile < TILES && count < max; tile++) {
            int bm = 1, bn = 1, tm = 1, tn = 1;
            (void)dyno_cuda_ffma_tile(tile, &bm, &bn, &tm, &tn);
            out[count] = (struct dyno_tactic){.cfg = {(uint32_t)i, tile}};
            dyno_cuda_tail_layouts(site, layout, &out[count]);
            out[count].in_layouts[0] = layout_of(site, 0, layout);
            out[count].in_layouts[1] = layout_of(site, 1, layout);
            const double blocks =
                (double)(dyno_cuda_div_up(pair.m, bm) * dyno_cuda_div_up(pair.n, bn) * pair.batch);
            const double waves = blocks > sms ? blocks / sms : 1.0;
            out[count++].est_us = (float)(dyno_cuda_move_us(site->target, 0.0) +
                                          waves * 2.0 * bm * bn * (double)pair.k / 0.4e6);
        }
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct pair pair;
    struct dyno_cuda_tail tail;
    if (!pair_of(site, &pair) || asked->cfg[1] >= TILES || !dyno_cuda_rest_is_zero(asked, 2) ||
        !dyno_cuda_asks_layout(asked, false))
        return dyno_cuda_refuse(site, err);
    const struct dyno_layout layout = asked->out_layout;
    tactic->in_layouts[0] = layout_of(site, 0, layout);
    tactic->in_layouts[1] = layout_of(site, 1, layout);
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    if (layout.elem == 0 && !site->in_is_weight[0] && !site->in_is_weight[1])
        tactic->flags = DYNO_TACTIC_BASELINE;
    return DYNO_OK;
}

/* Elements that can be read or stored at once of rows as long as the last axis; 0: the run shows.
 */
static int at_once(const struct dyno_buf *buf)
{
    const int last = buf->rank - 1;
    if (buf->open[last] != 0)
        return 0;
    return buf->dims[last] % 4 == 0 ? 4 : 1;
}

static enum dyno_status program_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   const char **source_out, struct dyno_strbuf *choices,
                                   struct dyno_err *err)
{
    struct pair pair;
    struct dyno_cuda_tail tail;
    int bm = 0, bn = 0, tm = 0, tn = 0;
    if (!pair_of(site, &pair) || !dyno_cuda_tail_plan(site, tactic, &tail) ||
        !dyno_cuda_ffma_tile(tactic->cfg[1], &bm, &bn, &tm, &tn))
        return dyno_cuda_refuse(site, err);
    const struct dyno_layout layout = tactic->out_layout;
    *source_out = "product_ffma.cu";
    dyno_strbuf_printf(choices,
                       "#define T %s\n#define TB %s\n#define TO %s\n#define WINDOWS 0\n"
                       "#define BM %d\n#define BN %d\n#define TM %d\n#define TN %d\n"
                       "#define VEC %d\n#define AV %d\n#define BV %d\n",
                       dyno_cuda_type(layout_of(site, 0, layout)),
                       dyno_cuda_type(layout_of(site, 1, layout)), dyno_cuda_type(layout), bm, bn,
                       tm, tn, at_once(&site->outs[0]), at_once(&site->ins[0]),
                       at_once(&site->ins[1]));
    dyno_cuda_tail_text(&site->step->tail, &tail, choices);
    return DYNO_OK;
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)packed;
    struct pair_state *state = state_bytes;
    struct dyno_gpu_product *params = &state->params;
    struct pair pair;
    int bm = 1, bn = 1, tm = 1, tn = 1;
    *state = (struct pair_state){.threads = 0};
    *workspace_bytes_out = 0;
    if (!pair_of(site, &pair) || !dyno_cuda_tail_plan(site, tactic, &state->tail) ||
        !dyno_cuda_ffma_tile(tactic->cfg[1], &bm, &bn, &tm, &tn))
        return dyno_cuda_refuse(site, err);
    if (pair.batch > UINT16_MAX || pair.m > INT32_MAX / 4 || pair.n > INT32_MAX / 4 ||
        pair.k > INT32_MAX / 4 || !dyno_cuda_tail_sizes(site, tactic, &state->tail, &params->tail))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "%lld products of %lld x %lld x %lld are too large",
                         (long long)pair.batch, (long long)pair.m, (long long)pair.k,
                         (long long)pair.n);
    params->m = (int)pair.m;
    params->n = params->ldb = params->ldo = params->columns = params->out_columns = (int)pair.n;
    params->k = (int)(dyno_cuda_div_up(pair.k, K_STEP) * K_STEP);
    params->depth = params->lda = params->a_columns = (int)pair.k;
    params->a_batch = pair.a_step;
    params->b_batch = pair.b_step;
    params->out_batch = pair.m * pair.n;
    state->grid[0] = dyno_cuda_div_up(pair.m, bm);
    state->grid[1] = dyno_cuda_div_up(pair.n, bn);
    state->grid[2] = pair.batch;
    state->threads = bm / tm * (bn / tn);
    return DYNO_OK;
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct pair_state *state = args->state;
    struct dyno_gpu_product params = state->params;
    params.a = dyno_cuda_address(args->ins[0].data);
    params.b = dyno_cuda_address(args->ins[1].data);
    params.out = dyno_cuda_address(args->outs[0].data);
    dyno_cuda_tail_bind(args, &state->tail, &params.tail);
    return dyno_cuda_launch(args, state->grid, state->threads, 0, &params, sizeof(params));
}

const struct dyno_kernel dyno_kernel_cuda_matmul_pair = {
    .name = "matmul_pair_cuda",
    .packing = 1,
    .state_bytes = sizeof(struct pair_state),
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .prepare = prepare,
    .run = run,
    .program = program_of,
};
