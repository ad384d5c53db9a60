/* excitation.c - Excitation: a map's means through two products, channels last, in one launch or
 * two.
 *
 * Packed: b1 [r] and b2 [m] in f32, w1 [r][c] and w2 [m][r] in the type of x; r, c and m as stored
 * channels last, what is past those that are meant is zero.
 */
#include "ops/excitation.h"

#include <string.h>

#include "backend/cuda/tail.h"

extern const struct dyno_kernel dyno_kernel_cuda_excitation;

#define THREADS    256
#define CLUSTER    8  /* blocks an item, on compute capability 9.0 */
#define CHUNKS_MAX 64 /* stretches of an item that a launch before sums up */

enum { IN_X, IN_W1, IN_W2, IN_B1, IN_B2, IN_COUNT };

struct excitation_state {
    struct dyno_gpu_excitation params;
    struct dyno_cuda_tail tail;
    int64_t batch;
    uint32_t cluster, shared_bytes, chunks;
};

/* The numbers that are meant. */
struct excitation {
    int64_t c, r, m;
};

static bool is_product(const struct dyno_site *site, uint32_t weights, uint32_t bias, int64_t from,
                       int64_t to)
{
    const struct dyno_buf *w = &site->ins[weights], *b = &site->ins[bias];
    const bool has_bias = bias < site->step->own_in_count && b->rank >= 0;
    return dyno_cuda_is_constant(site, weights) && w->rank >= 2 && w->dims[0] == to &&
           w->dims[1] == from && dyno_cuda_count(w, 0, w->rank) == from * to &&
           (!has_bias || (dyno_cuda_is_constant(site, bias) && b->rank == 1 && b->dims[0] == to));
}

static bool describe(const struct dyno_site *site, struct excitation *found)
{
    const struct dyno_buf *x = &site->ins[IN_X];
    if (site->step->op != DYNO_OP_excitation || site->step->own_in_count < IN_W2 + 1 ||
        site->step->own_in_count > IN_COUNT || site->step->out_count != 1 || !dyno_cuda_is_f32(x) ||
        x->rank < 3 || !dyno_cuda_readable(site, IN_X) || site->in_is_weight[IN_X] ||
        !dyno_cuda_is_constant(site, IN_W1) || site->ins[IN_W1].rank < 2 ||
        !dyno_cuda_is_constant(site, IN_W2) || site->ins[IN_W2].rank < 2)
        return false;
    *found = (struct excitation){
        .c = x->dims[1], .r = site->ins[IN_W1].dims[0], .m = site->ins[IN_W2].dims[0]};
    return found->c >= 1 && found->c <= DYNO_EXCITATION_MAX && found->r >= 1 &&
           found->r <= DYNO_EXCITATION_MAX && found->m >= 1 && found->m <= DYNO_EXCITATION_MAX &&
           is_product(site, IN_W1, IN_B1, found->c, found->r) &&
           is_product(site, IN_W2, IN_B2, found->r, found->m);
}

/* cfg[0]: number of the layout; cfg[1]: blocks an item; cfg[2]: 1 where another launch sums up
 * stretches before. */
static int enumerate(const struct dyno_site *site, struct dyno_tactic *out, int max)
{
    struct excitation found;
    int count = 0;
    if (!describe(site, &found))
        return 0;
    const double elems = (double)dyno_cuda_count(&site->ins[0], 0, site->ins[0].rank);
    for (int i = 0; i < dyno_cuda_layout_count; i++) {
        const struct dyno_layout layout = dyno_cuda_layouts[i];
        if (!dyno_cuda_is_last(layout) || !dyno_cuda_layout_allowed(layout, site->target))
            continue;
        for (int k = 0; k < 4 && count < max; k++) {
            const uint32_t cluster = k < 2 ? CLUSTER : 1;
            const double bytes = elems * (layout.elem != 0 ? 2.0 : 4.0);
            if (cluster > 1 && site->target->gpu.compute < 90)
                continue;
            out[count] = (struct dyno_tactic){.cfg = {(uint32_t)i, cluster, (uint32_t)k % 2}};
            dyno_cuda_tail_layouts(site, layout, &out[count]);
            /* A multiprocessor reads about 60 bytes a nanosecond. */
            const double blocks = (double)cluster * (double)site->ins[0].dims[0];
            const double read_us =
                k % 2 != 0 ? dyno_cuda_move_us(site->target, bytes) : bytes / (6e4 * blocks + 1.0);
            out[count++].est_us =
                (float)(dyno_cuda_move_us(site->target, 0.0) + read_us + (cluster > 1 ? 2.0 : 6.0));
        }
    }
    return count;
}

static enum dyno_status settle(const struct dyno_site *site, const struct dyno_tactic *asked,
                               struct dyno_tactic *tactic, struct dyno_err *err)
{
    struct excitation found;
    struct dyno_cuda_tail tail;
    if (!describe(site, &found) || !dyno_cuda_asks_layout(asked, true) ||
        (asked->cfg[1] != 1 && asked->cfg[1] != CLUSTER) || asked->cfg[2] > 1 ||
        !dyno_cuda_rest_is_zero(asked, 3))
        return dyno_cuda_refuse(site, err);
    const struct dyno_layout layout = asked->out_layout;
    tactic->in_layouts[0] = layout;
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    const uint64_t r = (uint64_t)dyno_cuda_stored(found.r, layout);
    const uint64_t m = (uint64_t)dyno_cuda_stored(found.m, layout);
    tactic->packed_bytes =
        (r + m) * sizeof(float) +
        r * ((uint64_t)dyno_cuda_stored(found.c, layout) + m) * (layout.elem != 0 ? 2U : 4U);
    return DYNO_OK;
}

static void pack_rows(void *to, const struct dyno_buf *weights, int64_t stored,
                      enum dyno_dtype elem)
{
    const float *from = weights->data;
    for (int64_t i = 0; i < weights->dims[0]; i++) {
        for (int64_t k = 0; k < weights->dims[1]; k++)
            dyno_elem_store_f64(elem, to, (size_t)(i * stored + k),
                                (double)from[i * weights->dims[1] + k]);
    }
}

static enum dyno_status pack(const struct dyno_site *site, const struct dyno_tactic *tactic,
                             void *dst, struct dyno_err *err)
{
    struct excitation found;
    const struct dyno_layout layout = tactic->in_layouts[0];
    if (!describe(site, &found))
        return dyno_cuda_refuse(site, err);
    const enum dyno_dtype elem = dyno_layout_elem(layout, DYNO_F32);
    const int64_t c = dyno_cuda_stored(found.c, layout), r = dyno_cuda_stored(found.r, layout);
    const int64_t m = dyno_cuda_stored(found.m, layout);
    float *b1 = dst, *b2 = b1 + r;
    char *w1 = (char *)(b2 + m);
    memset(dst, 0, tactic->packed_bytes);
    if (!dyno_cuda_is_absent(site, IN_B1))
        memcpy(b1, site->ins[IN_B1].data, (size_t)found.r * sizeof(float));
    if (!dyno_cuda_is_absent(site, IN_B2))
        memcpy(b2, site->ins[IN_B2].data, (size_t)found.m * sizeof(float));
    pack_rows(w1, &site->ins[IN_W1], c, elem);
    pack_rows(w1 + (size_t)(r * c) * (layout.elem != 0 ? 2U : 4U), &site->ins[IN_W2], r, elem);
    return DYNO_OK;
}

static enum dyno_status program_of(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                   const char **source_out, struct dyno_strbuf *choices,
                                   struct dyno_err *err)
{
    const struct dyno_excitation_attrs *attrs = site->step->attrs;
    struct dyno_cuda_tail tail;
    const char *type = dyno_cuda_type(tactic->out_layout);
    if (!dyno_cuda_tail_plan(site, tactic, &tail))
        return dyno_cuda_refuse(site, err);
    *source_out = "excitation.cu";
    dyno_strbuf_printf(
        choices,
        "#define T %s\n#define TO %s\n#define VEC %d\n#define CLUSTER %u\n#define SILU %d\n", type,
        type, tactic->out_layout.block, tactic->cfg[1], attrs->act == DYNO_EXCITATION_SILU);
    dyno_cuda_tail_text(&site->step->tail, &tail, choices);
    return DYNO_OK;
}

/* Stretches of positions: one a block of the cluster, or for a launch before as many as fill the
 * card. */
static void cut(const struct dyno_site *site, const struct dyno_tactic *tactic,
                struct excitation_state *state, uint64_t *workspace_bytes_out)
{
    struct dyno_gpu_excitation *params = &state->params;
    int64_t chunks = state->cluster;
    if (tactic->cfg[2] != 0) {
        const int64_t sms = site->target->gpu.sm_count > 0 ? site->target->gpu.sm_count : 100;
        chunks = dyno_cuda_div_up(2 * sms, state->batch > 0 ? state->batch : 1);
        chunks = chunks < CHUNKS_MAX ? chunks : CHUNKS_MAX;
        chunks = dyno_cuda_div_up(chunks, state->cluster) * state->cluster;
        params->chunks = (int)chunks;
        state->chunks = (uint32_t)chunks;
        *workspace_bytes_out =
            (uint64_t)state->batch * (uint64_t)chunks * (uint64_t)params->c * sizeof(float);
    }
    params->chunk = (int)dyno_cuda_div_up(params->positions, chunks);
}

static enum dyno_status prepare(const struct dyno_site *site, const struct dyno_tactic *tactic,
                                const void *packed, void *state_bytes,
                                uint64_t *workspace_bytes_out, struct dyno_err *err)
{
    (void)packed;
    struct excitation_state *state = state_bytes;
    struct dyno_gpu_excitation *params = &state->params;
    const struct dyno_buf *x = &site->ins[IN_X];
    const struct dyno_layout layout = tactic->in_layouts[0];
    struct excitation found;
    *state = (struct excitation_state){.cluster = tactic->cfg[1]};
    *workspace_bytes_out = 0;
    if (!describe(site, &found) || !dyno_cuda_tail_plan(site, tactic, &state->tail))
        return dyno_cuda_refuse(site, err);
    const int64_t positions = dyno_cuda_count(x, 2, x->rank);
    /* A thread steps past the last position; an item is a layer of the grid. */
    if (positions < 1 || positions > INT32_MAX / 64 || x->dims[0] > 65535 ||
        !dyno_cuda_tail_sizes(site, tactic, &state->tail, &params->tail))
        return DYNO_FAIL(err, DYNO_E_LIMIT, "an Excitation of %lld items of %lld positions",
                         (long long)x->dims[0], (long long)positions);
    params->positions = (int)positions;
    params->c = (int)dyno_cuda_stored(found.c, layout);
    params->r = (int)dyno_cuda_stored(found.r, layout);
    params->m = (int)dyno_cuda_stored(found.m, layout);
    params->channels = (int)found.m;
    params->x_ld = (int)dyno_cuda_ld(x, layout);
    params->y_ld = (int)dyno_cuda_ld(&site->outs[0], layout);
    state->batch = x->dims[0];
    state->shared_bytes =
        (uint32_t)((THREADS * (layout.block + 1) + 2 * params->c + 2 * params->r) *
                   (int)sizeof(float));
    cut(site, tactic, state, workspace_bytes_out);
    return DYNO_OK;
}

static enum dyno_status run(struct dyno_run_args *args)
{
    const struct excitation_state *state = args->state;
    struct dyno_gpu_excitation params = state->params;
    const bool is_wide = args->step->tactic.in_layouts[0].elem == 0;
    params.x = dyno_cuda_address(args->ins[IN_X].data);
    params.y = dyno_cuda_address(args->outs[0].data);
    params.b1 = dyno_cuda_address(args->packed);
    params.b2 = params.b1 + (unsigned long long)params.r * sizeof(float);
    params.w1 = params.b2 + (unsigned long long)params.m * sizeof(float);
    params.w2 =
        params.w1 + (unsigned long long)params.r * (unsigned long long)params.c * (is_wide ? 4 : 2);
    dyno_cuda_tail_bind(args, &state->tail, &params.tail);
    int64_t grid[] = {state->chunks, 1, state->batch};
    if (state->chunks != 0) {
        params.parts = dyno_cuda_address(args->workspace);
        DYNO_TRY(
            dyno_cuda_launch(args, grid, THREADS, state->shared_bytes, &params, sizeof(params)));
    }
    grid[0] = state->cluster;
    params.phase = 1;
    return dyno_cuda_launch(args, grid, THREADS, state->shared_bytes, &params, sizeof(params));
}

const struct dyno_kernel dyno_kernel_cuda_excitation = {
    .name = "excitation_cuda",
    .packing = 1,
    .packed_ins = 1U << IN_W1 | 1U << IN_B1 | 1U << IN_W2 | 1U << IN_B2,
    .state_bytes = sizeof(struct excitation_state),
    .strided = true,
    .place = DYNO_ON_GPU,
    .enumerate = enumerate,
    .settle = settle,
    .pack = pack,
    .prepare = prepare,
    .run = run,
    .program = program_of,
};
